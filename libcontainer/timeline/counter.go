//go:build amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x

package timeline

// counter reads the machine's counter, as the stub does.
func counter() int64

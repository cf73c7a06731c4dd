//go:build !(amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x)

package startlimit

// prlimit is not ported to this machine. The zero limit is one that Go does not
// raise.
func prlimit(*Limit) {}

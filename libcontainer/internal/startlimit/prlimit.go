//go:build amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x

package startlimit

// prlimit reads RLIMIT_NOFILE of this process.
//
//go:noescape
func prlimit(l *Limit)

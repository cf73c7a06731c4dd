//go:build !(amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x)

package launch

import "golang.org/x/sys/unix"

// clone is not ported to this machine.
func clone(*area) int64 { return -int64(unix.ENOSYS) }

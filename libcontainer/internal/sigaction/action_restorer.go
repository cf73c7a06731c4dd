//go:build amd64 || arm64

package sigaction

import "golang.org/x/sys/unix"

// action is the kernel's struct sigaction, which differs from libc's.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const saRestorer = 0x04000000

// restoring returns the action with the address that the handler returns to.
func restoring(a action) action {
	a.flags |= saRestorer
	a.restorer = restorerAddress()
	return a
}

// restorerAddress returns the address that the handler returns to
// (sigreturn(2)). The arm64 kernel has a restorer of its own and uses ours if
// there is one.
func restorerAddress() uintptr

// For the assembly.
const sysSigreturn = unix.SYS_RT_SIGRETURN

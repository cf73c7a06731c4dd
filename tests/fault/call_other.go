//go:build !amd64

package fault

import (
	"strconv"
	"syscall"
)

// Supported reports whether calls can be changed on this machine.
const Supported = false

type registers struct{}

func readCall(int) (*registers, error)           { return nil, syscall.ENOSYS }
func (*registers) number() int                   { return -1 }
func (*registers) skip(int) error                { return syscall.ENOSYS }
func (*registers) fail(int, syscall.Errno) error { return syscall.ENOSYS }
func (*registers) ofGo() bool                    { return false }

// Name returns the number of a system call.
func Name(nr int) string { return strconv.Itoa(nr) }

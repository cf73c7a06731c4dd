package engine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ignoredSignals are those that we ignore, because we were started so (nohup,
// say): execve(2) passes that on. What is handled here is not handled there.
func ignoredSignals() []unix.Signal {
	const (
		last = 64 // _NSIG
		ign  = 1  // SIG_IGN
	)
	var ignored []unix.Signal
	for sig := unix.Signal(1); sig <= last; sig++ {
		var action [4]uint64 // struct kernel_sigaction: handler, flags, restorer, mask
		_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&action)), 8, 0, 0)
		if e == 0 && action[0] == ign {
			ignored = append(ignored, sig)
		}
	}
	return ignored
}

package sigaction

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ignore = 1 // SIG_IGN

	saSiginfo = 0x4
	saOnstack = 0x08000000
	saRestart = 0x10000000

	// faults are the signals that the kernel raises for an error of a thread:
	// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV. When a process sends one, its
	// si_code is 0 or negative.
	faults = 1<<unix.SIGILL | 1<<unix.SIGTRAP | 1<<unix.SIGBUS | 1<<unix.SIGFPE | 1<<unix.SIGSEGV

	offCode = 8 // of si_code in siginfo_t (sigaction(2))
)

// The handler reads both: the descriptor that it writes to, and the address of
// the Go runtime's handler for faults.
var writeEnd, runtimeHandler uint64

// ours returns the action of our handler. It runs on the alternative stack that
// every Go thread has, blocks all signals meanwhile, and restarts interrupted
// calls.
func ours() action {
	return restoring(action{handler: handlerAddress(), flags: saSiginfo | saOnstack | saRestart, mask: ^uint64(0)})
}

func getAction(sig unix.Signal) (action, error) {
	var a action
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&a)), 8, 0, 0)
	return a, failed(sig, e)
}

func setAction(sig unix.Signal, a action) error {
	_, err := swapAction(sig, a)
	return err
}

// swapAction sets an action and returns the one before.
func swapAction(sig unix.Signal, a action) (before action, err error) {
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&a)), uintptr(unsafe.Pointer(&before)), 8, 0, 0)
	return before, failed(sig, e)
}

func failed(sig unix.Signal, e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return os.NewSyscallError("rt_sigaction("+unix.SignalName(sig)+")", e)
}

// For the assembly.
const sysWrite = unix.SYS_WRITE

package sigaction

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ignore = 1 // SIG_IGN

	saSiginfo  = 0x4
	saRestorer = 0x04000000
	saOnstack  = 0x08000000
	saRestart  = 0x10000000

	// faults are the signals that the kernel raises for an error of a thread:
	// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV. When a process sends one, its
	// si_code is 0 or negative.
	faults = 1<<unix.SIGILL | 1<<unix.SIGTRAP | 1<<unix.SIGBUS | 1<<unix.SIGFPE | 1<<unix.SIGSEGV

	offCode = 8 // of si_code in siginfo_t (sigaction(2))
)

// The handler reads both: the descriptor that it writes to, and the address of
// the Go runtime's handler for faults.
var writeEnd, runtimeHandler uint64

// action is the kernel's struct sigaction, which differs from libc's.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// ours returns the action of our handler. It runs on the alternative stack that
// every Go thread has, blocks all signals meanwhile, and restarts interrupted
// calls.
func ours() action {
	return action{handler: handlerAddress(), flags: saSiginfo | saOnstack | saRestart | saRestorer, restorer: restorerAddress(), mask: ^uint64(0)}
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

// handlerAddress returns the address of the handler. The handler follows the
// kernel's convention: signal, siginfo_t and ucontext_t in the first three
// registers.
func handlerAddress() uintptr

// restorerAddress returns the address that the handler returns to
// (sigreturn(2)). The arm64 kernel has a restorer of its own and uses ours if
// there is one.
func restorerAddress() uintptr

// The assembly uses both.
const (
	sysWrite     = unix.SYS_WRITE
	sysSigreturn = unix.SYS_RT_SIGRETURN
)

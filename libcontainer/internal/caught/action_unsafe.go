package caught

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

	// faults are the signals for what a thread does: SIGILL, SIGTRAP, SIGBUS,
	// SIGFPE, SIGSEGV. Sent by a process, their si_code is not above 0.
	faults = 1<<unix.SIGILL | 1<<unix.SIGTRAP | 1<<unix.SIGBUS | 1<<unix.SIGFPE | 1<<unix.SIGSEGV

	offCode = 8 // of si_code in siginfo_t (sigaction(2))
)

// Both are for the handler: the descriptor that it writes to, and the handler
// that the Go runtime has for faults.
var writeEnd, runtimeHandler uint64

// action is the kernel's struct sigaction. The libc's is another.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// ours runs on the alternative stack that every thread of Go has, with all
// signals blocked, and lets interrupted calls go on.
func ours() action {
	return action{handler: handlerAddress(), flags: saSiginfo | saOnstack | saRestart | saRestorer, restorer: restorerAddress(), mask: ^uint64(0)}
}

func getAction(sig unix.Signal) (action, error) {
	var a action
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&a)), 8, 0, 0)
	return a, failed(sig, e)
}

func setAction(sig unix.Signal, a action) error {
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&a)), 0, 8, 0, 0)
	return failed(sig, e)
}

func failed(sig unix.Signal, e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return os.NewSyscallError("rt_sigaction("+unix.SignalName(sig)+")", e)
}

// handlerAddress is where the handler is, in the kernel's convention for
// calling one: signal, siginfo_t and ucontext_t in the first three registers.
func handlerAddress() uintptr

// restorerAddress is where the handler returns to (sigreturn(2)). The kernel
// of arm64 has one of its own, and prefers ours.
func restorerAddress() uintptr

// Both are for the assembly.
const (
	sysWrite     = unix.SYS_WRITE
	sysSigreturn = unix.SYS_RT_SIGRETURN
)

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deafen executes a command with all possible signals ignored and blocked.
func deafen(command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if sig != unix.SIGURG { // the Go runtime's own
			signal.Ignore(sig)
		}
		ignored := [4]uint64{1} // struct kernel_sigaction with SIG_IGN
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&ignored)), 0, 8, 0, 0)
	}
	all := ^uint64(0)
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, 8, 0, 0)
	return fmt.Errorf("execve: %w", unix.Exec(path, command, os.Environ()))
}

// stop sends a signal to every process that appears: the named one, or STOP.
func stop(which []string) error {
	sig := unix.SIGSTOP
	if len(which) > 0 {
		sig = unix.SignalNum("SIG" + which[0])
	}
	fmt.Println("ready")
	for {
		for _, pid := range processes() {
			unix.Kill(pid, sig)
		}
	}
}

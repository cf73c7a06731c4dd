package fault

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// KillBefore kills a child before its next call of the number nr, with SIGKILL. It returns when the child is traced. The
// channel gets the result once the child is dead; nobody has reaped it then.
func KillBefore(pid, nr int) (<-chan error, error) {
	attached, killed := make(chan error), make(chan error, 1)
	go onOwnThread(func() {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, unix.PTRACE_O_TRACESYSGOOD, 0, 0)
		if errno == 0 {
			_, _, errno = syscall.RawSyscall6(syscall.SYS_PTRACE, unix.PTRACE_INTERRUPT, uintptr(pid), 0, 0, 0, 0)
		}
		if errno != 0 {
			attached <- errno
			return
		}
		attached <- nil
		killed <- killBefore(pid, nr)
	})
	return killed, <-attached
}

// killBefore follows a traced child from stop to stop. A call begins if its result is not there yet.
func killBefore(pid, nr int) error {
	t := &tracer{}
	for {
		_, status, err := t.wait(pid, 0)
		if err != nil {
			return err
		}
		if !status.Stopped() {
			return fmt.Errorf("the process has ended: %v", status)
		}
		if status.StopSignal() == syscall.SIGTRAP|0x80 {
			r, err := readCall(pid)
			if err != nil {
				return err
			}
			if r.number() == nr {
				return kill(pid)
			}
		}
		if err := syscall.PtraceSyscall(pid, 0); err != nil {
			return err
		}
	}
}

// kill kills a child and waits until it is dead, without reaping it.
func kill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
}

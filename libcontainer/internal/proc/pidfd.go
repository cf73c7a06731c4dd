package proc

import (
	"context"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrGone is the error for a process that has ended. It is the errno itself, so
// that the text "no such process", which engines search for, and
// errors.Is(err, unix.ESRCH) both hold.
const ErrGone = unix.ESRCH

// OpenPid returns a pidfd of the process that has this pid now. A pid from a file
// or from a user needs Identity.Open instead.
func OpenPid(pid int) (*os.File, error) {
	fd, err := openPid(pid)
	if err != nil {
		return nil, err
	}
	return newPidfd(fd, pid), nil
}

func openPid(pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, fmt.Errorf("pidfd_open(%d): %w", pid, err)
	}
	return fd, nil
}

func newPidfd(fd, pid int) *os.File {
	return os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
}

// Signal sends sig to the process of pidfd. The error is ErrGone after a reap.
func Signal(pidfd *os.File, sig unix.Signal) error {
	return with(pidfd, func(fd int) error {
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
			return fmt.Errorf("pidfd_send_signal(%s): %w", SignalName(sig), err)
		}
		return nil
	})
}

// with calls f with the number of a descriptor. The number keeps its file until f
// returns, even if another goroutine closes the file meanwhile. A closed file
// gives os.ErrClosed: poll(2) of its number, -1, would wait for ever.
func with(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if conn.Control(func(fd uintptr) { inner = f(int(fd)) }) != nil {
		return fmt.Errorf("%s: %w", file.Name(), os.ErrClosed)
	}
	return inner
}

// SignalName returns "SIGTERM" and the like, and "signal 40" for one without a name.
func SignalName(sig unix.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}

// Wait returns when the process of pidfd has ended, reaped or not, or when ctx
// ends. The process need not be a child.
func Wait(ctx context.Context, pidfd *os.File) error {
	return with(pidfd, func(fd int) error { return wait(ctx, fd) })
}

func wait(ctx context.Context, pidfd int) error {
	return Poll(ctx, []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}})
}

// Ended reports, without waiting, whether the process of pidfd has ended. A
// zombie has ended. A process that lost only its main thread has not.
func Ended(pidfd *os.File) (is bool, err error) {
	err = with(pidfd, func(fd int) (err error) {
		is, err = ended(fd)
		return err
	})
	return is, err
}

func ended(pidfd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	for err == unix.EINTR {
		n, err = unix.Poll(fds, 0)
	}
	if err != nil {
		return false, fmt.Errorf("poll(pidfd): %w", err)
	}
	return n > 0, nil
}

// ErrNoStatus means that a process has ended and its exit status is unknown: it
// is no child of this process, or another waiter has reaped it, and the kernel
// does not tell. The errno is that of waitid(2).
var ErrNoStatus error = noStatus{}

type noStatus struct{}

func (noStatus) Error() string {
	return "the process has ended, and its exit status went to whoever collected it"
}
func (noStatus) Unwrap() error { return unix.ECHILD }

// Reap waits for a child and returns its exit status: the argument of exit, or
// 128+n after signal n.
func Reap(ctx context.Context, pidfd *os.File) (int, error) {
	code, sig, err := ReapStatus(ctx, pidfd)
	if sig != 0 {
		code = 128 + int(sig)
	}
	return code, err
}

// ReapStatus is Reap with the two parts separate: sig is 0 for a process that
// called exit. In a program that waits for all of its children another waiter may
// be first; then the kernel is asked (Linux 6.15), or the error is ErrNoStatus.
func ReapStatus(ctx context.Context, pidfd *os.File) (code int, sig unix.Signal, err error) {
	err = with(pidfd, func(fd int) (err error) {
		if err := wait(ctx, fd); err != nil {
			return err
		}
		code, sig, err = reap(fd)
		return err
	})
	return code, sig, err
}

func reap(pidfd int) (code int, sig unix.Signal, err error) {
	var info unix.Siginfo
	err = unix.Waitid(unix.P_PIDFD, pidfd, &info, unix.WEXITED, nil)
	for err == unix.EINTR {
		err = unix.Waitid(unix.P_PIDFD, pidfd, &info, unix.WEXITED, nil)
	}
	if err == unix.ECHILD {
		w, ok := reapedStatus(pidfd)
		if !ok {
			return 0, 0, ErrNoStatus
		}
		if w.Signaled() {
			return 0, w.Signal(), nil
		}
		return w.ExitStatus(), 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("waitid(P_PIDFD): %w", err)
	}
	code, sig = exitStatus(&info)
	return code, sig, nil
}

// exitStatus reads si_code and si_status of a SIGCHLD siginfo. The leading words
// are signo, errno, code, and padding where pointers have 64 bits. The union
// behind them is pid, uid, status.
func exitStatus(info *unix.Siginfo) (code int, sig unix.Signal) {
	const (
		cldExited = 1 // CLD_EXITED of <asm-generic/siginfo.h>: status is a number, else a signal
		siStatus  = (unsafe.Sizeof(uintptr(0))/8 + 3) + 2
	)
	status := (*[unsafe.Sizeof(*info) / 4]int32)(unsafe.Pointer(info))[siStatus]
	if info.Code == cldExited {
		return int(status), 0
	}
	return 0, unix.Signal(status)
}

package proc

import (
	"context"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrGone is what looking for a process that has ended gives. It is the errno
// itself, so that the text "no such process", which engines search for, and
// errors.Is(err, unix.ESRCH) both hold.
const ErrGone = unix.ESRCH

// OpenPid gives a pidfd of the process that has this pid now. Who got the pid
// from a file or a user wants Identity.Open instead.
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

// Signal sends sig to the process of pidfd: ErrGone when it has been reaped.
func Signal(pidfd *os.File, sig unix.Signal) error {
	return with(pidfd, func(fd int) error {
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
			return fmt.Errorf("pidfd_send_signal(%s): %w", SignalName(sig), err)
		}
		return nil
	})
}

// with calls f with the number of a descriptor, which is that of the same file
// until f returns, whoever closes it meanwhile. One that is closed already is
// os.ErrClosed: its number, -1, would have poll(2) wait for nothing, for ever.
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

// SignalName is "SIGTERM" and the like, and "signal 40" where there is no name.
func SignalName(sig unix.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}

// Wait returns when the process of pidfd has ended, reaped or not, or with
// the error of ctx. The process need not be a child.
func Wait(ctx context.Context, pidfd *os.File) error {
	return with(pidfd, func(fd int) error { return wait(ctx, fd) })
}

func wait(ctx context.Context, pidfd int) error {
	return Poll(ctx, []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}})
}

// Ended tells without waiting whether the process of pidfd has ended. A zombie
// has; a process whose main thread alone is gone has not.
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

// ErrNoStatus: a process has ended, and how is not known: it is no child of this
// one, or somebody else has collected it, and the kernel does not say. It is
// waitid's errno.
var ErrNoStatus error = noStatus{}

type noStatus struct{}

func (noStatus) Error() string {
	return "the process has ended, and its exit status went to whoever collected it"
}
func (noStatus) Unwrap() error { return unix.ECHILD }

// Reap waits for a child and takes its exit status: the number it gave to
// exit, or 128+n when signal n ended it.
func Reap(ctx context.Context, pidfd *os.File) (int, error) {
	code, sig, err := ReapStatus(ctx, pidfd)
	if sig != 0 {
		code = 128 + int(sig)
	}
	return code, err
}

// ReapStatus is Reap with the two apart: sig is 0 for a process that called
// exit. In a program that waits for all of its children somebody else may have
// been first; then the kernel is asked (Linux 6.15), or it is ErrNoStatus.
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

// exitStatus reads si_code and si_status of a SIGCHLD siginfo. The union
// behind the leading words (signo, errno, code, and padding where pointers
// have 64 bits) is pid, uid, status.
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

// SetSubreaper makes this process the one to which orphaned descendants fall.
func SetSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_CHILD_SUBREAPER): %w", err)
	}
	return nil
}

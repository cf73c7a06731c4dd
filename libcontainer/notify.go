package libcontainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// notifyPath is the path of the socket in the container, the same as with runc.
const notifyPath = "/run/notify/notify.sock"

// notifyDir returns the directory of the container's socket, or "" without a notify
// socket.
func (c *creation) notifyDir() string {
	if c.o.NotifySocket == "" {
		return ""
	}
	return c.store.NotifyDir(c.id)
}

// listenNotify makes the container's socket. This happens before there is any process that
// could write to it.
func (c *Container) listenNotify() error {
	if c.record.NotifySocket == "" {
		return nil
	}
	return c.notify.listen(c.dir)
}

// NotifyReady waits until the container sends READY=1 (sd_notify(3)). It passes the message
// on to CreateOptions.NotifySocket, with mainPid as the main process of the service. It
// returns nil at once if there is no such socket, and when the container ends. Only the
// program that called Start can wait, and only once.
func (c *Container) NotifyReady(ctx context.Context, mainPid int) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	socket := c.notify.take()
	if socket == nil {
		return nil
	}
	defer socket.Close()
	pidfd, err := c.open()
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	ready, err := awaitReady(ctx, socket, pidfd)
	if err != nil || !ready {
		return err
	}
	if err := sendReady(ctx, c.record.NotifySocket, mainPid); err != nil {
		return fmt.Errorf("pass READY=1 on to %s: %w", c.record.NotifySocket, err)
	}
	return nil
}

// awaitReady reads messages until one has READY=1. It returns false if the process ends
// before that.
func awaitReady(ctx context.Context, socket, pidfd *os.File) (bool, error) {
	buf := make([]byte, 64<<10) // more than systemd accepts
	for {
		fds := []unix.PollFd{{Fd: int32(socket.Fd()), Events: unix.POLLIN}, {Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		if err := proc.Poll(ctx, fds); err != nil {
			return false, err
		}
		// recvfrom has no room for descriptors, so the kernel closes one that comes with
		// the message. For BARRIER=1 this is the expected answer.
		n, _, err := unix.Recvfrom(int(socket.Fd()), buf, unix.MSG_DONTWAIT)
		switch {
		case err == nil && isReady(buf[:n]):
			return true, nil
		case err == unix.EAGAIN && fds[1].Revents != 0:
			return false, nil
		case err != nil && err != unix.EAGAIN && err != unix.EINTR:
			return false, os.NewSyscallError("recvfrom", err)
		}
	}
}

// isReady reports whether READY=1 is one of the lines of a message.
func isReady(msg []byte) bool {
	for line := range bytes.SplitSeq(msg, []byte("\n")) {
		if string(line) == "READY=1" {
			return true
		}
	}
	return false
}

// barrierTime bounds the wait for the receiver of the message. A receiver that does not know
// barriers closes the descriptor at once.
const barrierTime = 30 * time.Second

// sendReady sends both facts to the caller's service manager in one message. Between two
// messages it could take this process, which ends soon, for the service. sendReady returns
// when the message has been received.
func sendReady(ctx context.Context, path string, mainPid int) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	tv := unix.NsecToTimeval(barrierTime.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv); err != nil {
		return os.NewSyscallError("setsockopt(SO_SNDTIMEO)", err)
	}
	to := &unix.SockaddrUnix{Name: path} // a name with "@" is an abstract socket
	if err := unix.Sendto(fd, fmt.Appendf(nil, "MAINPID=%d\nREADY=1", mainPid), unix.MSG_NOSIGNAL, to); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	return barrier(ctx, fd, to)
}

// barrier waits until the receiver has read everything that was sent before. The receiver
// then closes its end of a pipe (sd_notify_barrier(3)).
func barrier(ctx context.Context, fd int, to unix.Sockaddr) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = unix.Sendmsg(fd, []byte("BARRIER=1"), unix.UnixRights(int(w.Fd())), to, unix.MSG_NOSIGNAL)
	w.Close()
	if err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	ctx, stop := context.WithTimeout(ctx, barrierTime)
	defer stop()
	if err := proc.Poll(ctx, []unix.PollFd{{Fd: int32(r.Fd())}}); err != nil { // POLLHUP is always reported
		return fmt.Errorf("wait for the answer to BARRIER=1: %w", err)
	}
	return nil
}

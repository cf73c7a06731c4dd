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

// notifyPath is where the container finds its socket, as with runc.
const notifyPath = "/run/notify/notify.sock"

// notifyDir is the directory with the container's socket, "" where nobody
// wants to be told.
func (c *creation) notifyDir() string {
	if c.o.NotifySocket == "" {
		return ""
	}
	return c.store.NotifyDir(c.id)
}

// listenNotify makes the container's socket, before there can be anyone to
// write to it.
func (c *Container) listenNotify() error {
	if c.record.NotifySocket == "" {
		return nil
	}
	return c.notify.listen(c.dir)
}

// NotifyReady waits until the container says that it is ready, READY=1
// (sd_notify(3)), and passes it on to CreateOptions.NotifySocket with mainPid
// as the service's main process. It returns at once where there is no such
// socket, and when the container ends. Only the caller of Start can wait, once.
func (c *Container) NotifyReady(ctx context.Context, mainPid int) (err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
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

// awaitReady reads messages until one is READY=1; false when the process is
// gone before.
func awaitReady(ctx context.Context, socket, pidfd *os.File) (bool, error) {
	buf := make([]byte, 64<<10) // more than systemd takes
	for {
		fds := []unix.PollFd{{Fd: int32(socket.Fd()), Events: unix.POLLIN}, {Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		if err := proc.Poll(ctx, fds); err != nil {
			return false, err
		}
		// Without room for descriptors, those that come along (BARRIER=1) are
		// closed, which is the answer to it.
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

// isReady looks for the line among the others of a message.
func isReady(msg []byte) bool {
	for line := range bytes.SplitSeq(msg, []byte("\n")) {
		if string(line) == "READY=1" {
			return true
		}
	}
	return false
}

// barrierTime is how long the receiver may take to have seen the message. A
// receiver that knows no barriers closes the descriptor at once.
const barrierTime = 30 * time.Second

// sendReady tells the caller's service manager, in one message: between two it
// could take this process, which ends soon, for the service. It returns when
// the message has been received.
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
	to := &unix.SockaddrUnix{Name: path} // "@" is an abstract one
	if err := unix.Sendto(fd, fmt.Appendf(nil, "MAINPID=%d\nREADY=1", mainPid), unix.MSG_NOSIGNAL, to); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	return barrier(ctx, fd, to)
}

// barrier waits until all that was sent has been received: until the other end
// of a pipe is closed there (sd_notify_barrier(3)).
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
	if err := proc.Poll(ctx, []unix.PollFd{{Fd: int32(r.Fd())}}); err != nil { // POLLHUP needs no asking for
		return fmt.Errorf("wait for the answer to BARRIER=1: %w", err)
	}
	return nil
}

package sendfd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
)

// sendWait bounds the connection and the write to a listener that does not
// answer, where the context has no deadline. A live listener needs microseconds.
const sendWait = 10 * time.Second

// Master sends the pty master to the console socket. The payload is the name
// of the pty; a listener may use it to tell terminals apart.
func Master(ctx context.Context, socket string, master *os.File, payload string) error {
	if err := Send(ctx, socket, master, payload); err != nil {
		return fmt.Errorf("console socket: %w", err)
	}
	return nil
}

// Send connects to a stream socket and sends the descriptor of f with one
// message. The message must not be empty, or the kernel drops the descriptor. f
// stays open.
func Send(ctx context.Context, socket string, f *os.File, payload string) error {
	if payload == "" {
		return fmt.Errorf("BUG: descriptor sent to %s without a payload", socket)
	}
	done := make(chan error, 1)
	go func() { done <- send(ctx, socket, f, payload) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		// The timeout of its socket ends the goroutine.
		return fmt.Errorf("send to %s: %w", socket, context.Cause(ctx))
	}
}

// send blocks for at most the timeout of the socket. There is no other way to
// wait for a unix socket whose backlog is full.
func send(ctx context.Context, socket string, f *os.File, payload string) (err error) {
	defer bug.Caught(&err)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket(AF_UNIX): %w", err)
	}
	defer unix.Close(fd)
	tv := unix.NsecToTimeval(timeLeft(ctx).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv); err != nil {
		return fmt.Errorf("setsockopt(SO_SNDTIMEO): %w", err)
	}
	if err := connect(fd, socket); err != nil {
		return fmt.Errorf("dial unix %s: connect: %w", socket, inTime(err))
	}
	if err := sendFile(fd, []byte(payload), f); err != nil {
		return fmt.Errorf("send to %s: %w", socket, inTime(err))
	}
	return nil
}

// sendFile sends f or nothing. Its owner may have given up and may close it at
// any time. Its number may belong to another file then.
func sendFile(fd int, payload []byte, f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if conn.Control(func(n uintptr) { sent = sendmsg(fd, payload, unix.UnixRights(int(n))) }) != nil {
		return os.ErrClosed
	}
	return sent
}

// timeLeft is never 0: the kernel takes 0 as no limit.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return sendWait
	}
	return max(min(time.Until(deadline), sendWait), time.Microsecond)
}

// inTime translates EAGAIN, "resource temporarily unavailable": a socket reports
// the end of its timeout that way.
func inTime(err error) error {
	if err == unix.EAGAIN {
		return unix.ETIMEDOUT
	}
	return err
}

// connect accepts paths of any length. A socket address has 108 bytes; connect
// reaches a longer path through a descriptor of its directory.
func connect(fd int, path string) error {
	if len(path) < len(unix.RawSockaddrUnix{}.Path) {
		return connectRetry(fd, path)
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return connectRetry(fd, fmt.Sprintf("/proc/self/fd/%d/%s", dir, filepath.Base(path)))
}

func connectRetry(fd int, path string) error {
	for {
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if err != unix.EINTR {
			return err
		}
	}
}

func sendmsg(fd int, payload, rights []byte) error {
	for {
		n, err := unix.SendmsgN(fd, payload, rights, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n < len(payload) {
			return fmt.Errorf("%d of %d bytes were taken", n, len(payload))
		}
		return err
	}
}

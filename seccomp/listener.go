package seccomp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// listenerDeadline bounds the time in which a listener accepts a connection and
// makes room for one message. A listener is a service that answers syscalls.
const listenerDeadline = 10 * time.Second

// SendListener sends the descriptor of a loaded filter to the service at the
// profile's listenerPath: one connection, the state as JSON, and the descriptor
// with its first byte (runtime-spec config-linux.md, "the container process
// state"). It sets state.Fds. The caller keeps notifyFD.
//
// It returns when ctx ends, and after 10 seconds at the latest.
func SendListener(ctx context.Context, socketPath string, state specs.ContainerProcessState, notifyFD *os.File) error {
	state.Fds = []string{specs.SeccompFdName}
	message, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("/linux/seccomp/listenerPath: %w", err)
	}
	if err := sendListener(ctx, socketPath, message, notifyFD); err != nil {
		return fmt.Errorf("/linux/seccomp/listenerPath: %s: %w", socketPath, err)
	}
	return nil
}

func sendListener(ctx context.Context, path string, message []byte, notifyFD *os.File) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(socket)
	deadline := time.Now().Add(listenerDeadline)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := connect(ctx, socket, path, deadline); err != nil {
		return err
	}
	return send(ctx, socket, message, unix.UnixRights(int(notifyFD.Fd())), deadline)
}

// connect connects the socket. It waits while the listener's backlog is full.
func connect(ctx context.Context, socket int, path string, deadline time.Time) error {
	address, release, err := addressOf(path)
	if err != nil {
		return err
	}
	defer release()
	err = retry(ctx, socket, deadline, func() error { return unix.Connect(socket, address) })
	if err != nil {
		return fmt.Errorf("failed to connect with seccomp agent specified in the seccomp profile: dial unix %s: connect: %w", path, err)
	}
	return nil
}

// addressOf returns the address of a socket. A path that is too long for
// sun_path gets an address through the descriptor of its directory.
func addressOf(path string) (address *unix.SockaddrUnix, release func(), err error) {
	if len(path) < len(unix.RawSockaddrUnix{}.Path) {
		return &unix.SockaddrUnix{Name: path}, func() {}, nil
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", filepath.Dir(path), err)
	}
	name := fmt.Sprintf("/proc/self/fd/%d/%s", dir, filepath.Base(path))
	return &unix.SockaddrUnix{Name: name}, func() { unix.Close(dir) }, nil
}

// send writes the message. The rights go with its first byte.
func send(ctx context.Context, socket int, message, rights []byte, deadline time.Time) error {
	for len(message) > 0 {
		err := retry(ctx, socket, deadline, func() error {
			n, err := unix.SendmsgN(socket, message, rights, nil, unix.MSG_NOSIGNAL)
			if err == nil {
				message, rights = message[n:], nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("sendmsg: %w", err)
		}
	}
	return nil
}

// aWhile is the longest time between two checks of ctx: a thread that is blocked
// in connect or sendmsg does not notice the end of ctx.
const aWhile = 100 * time.Millisecond

// retry repeats a call that a signal has interrupted or that has waited for
// aWhile, until the deadline. SO_SNDTIMEO bounds the wait of connect, too: unix(7)
// has no other way to wait for a backlog.
func retry(ctx context.Context, socket int, deadline time.Time, call func() error) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		left := time.Until(deadline)
		if left < time.Microsecond { // a timeout of zero means no timeout
			return unix.ETIMEDOUT
		}
		timeout := unix.NsecToTimeval(min(left, aWhile).Nanoseconds())
		if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
			return fmt.Errorf("setsockopt SO_SNDTIMEO: %w", err)
		}
		if err := call(); !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return err
		}
	}
}

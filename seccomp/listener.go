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

// listenerDeadline is how long a listener may take to accept a connection and
// to make room for one message. It is a service that answers syscalls.
const listenerDeadline = 10 * time.Second

// SendListener hands the descriptor of a loaded filter to the service at the
// profile's listenerPath: one connection, the state as JSON, and the descriptor
// with its first byte (runtime-spec config-linux.md, "the container process
// state"). It sets state.Fds. The caller keeps notifyFD.
//
// It ends with ctx, and after 10 seconds.
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

// connect waits while the listener's backlog is full.
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

// addressOf returns a socket's address. One that is too long for it is reached
// through its directory's descriptor.
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

// send writes the message, the rights with its first byte.
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

// aWhile is how long a call waits before it is seen whether ctx has ended: a
// thread in connect or sendmsg cannot be told.
const aWhile = 100 * time.Millisecond

// retry makes a call that a signal interrupts again, or that has waited for a
// while, as long as there is time left until the deadline: SO_SNDTIMEO is for
// connect, too (unix(7) has no other way to wait for a backlog).
func retry(ctx context.Context, socket int, deadline time.Time, call func() error) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		left := time.Until(deadline)
		if left < time.Microsecond { // zero would mean for ever
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

package ttrpc

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Listen returns a listening unix socket at path, with mode 0600. It fails with EADDRINUSE
// if the path exists, whether or not anybody listens there.
func Listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// bind(2) gives a socket file the mode of the descriptor, less the umask. Nobody else may
	// connect at any moment, so the mode is set before the file exists.
	err = unix.Fchmod(fd, 0o600)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			err = fmt.Errorf("bind(%s): %w", path, err)
		}
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, unix.SOMAXCONN))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Dial connects to the socket of an address: a path, or "unix://" and a path.
func Dial(address string) (*os.File, error) {
	path := strings.TrimPrefix(address, "unix://")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect(%s): %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// accept returns the next connection. It waits in Go's poller, without a thread.
func accept(listener *os.File) (*os.File, error) {
	conn, err := listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var failed error
	closed := conn.Read(func(from uintptr) bool {
		fd, _, failed = unix.Accept4(int(from), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return failed != unix.EAGAIN && failed != unix.EINTR && failed != unix.ECONNABORTED
	})
	if closed != nil {
		return nil, os.ErrClosed
	}
	if failed != nil {
		return nil, os.NewSyscallError("accept4", failed)
	}
	return os.NewFile(uintptr(fd), listener.Name()), nil
}

// isOurs reports whether the other end runs as the user of this process. The directory and
// the mode of the socket keep others out; this holds even if an administrator changes them.
func isOurs(conn *os.File) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return err == nil && failed == nil && int(peer.Uid) == os.Geteuid()
}

package ttrpc

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Listen returns a listening Unix socket at path, with mode 0600. It fails with EADDRINUSE if
// the path exists, even without a server.
func Listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// bind(2) creates the socket file with the mode of the descriptor, less the umask. The mode
	// is set before the file exists, so other users can connect at no moment.
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

// Dial connects to an address: a path, or "unix://" and a path.
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

// accept returns the next connection. It waits in Go's poller, which needs no thread.
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

// isOurs reports whether the peer runs as the user of this process. The mode of the socket
// and of its directory exclude other users already. This check holds even if an
// administrator changes them.
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

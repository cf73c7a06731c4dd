package state

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// The notify directory is the only part of a container's state directory that its processes
// can see. It is mounted in the container, read-only, and has the socket on which they
// report that they are ready (sd_notify(3)).
const (
	notifyDir    = "notify"
	notifySocket = "notify.sock"
)

// NotifyDir returns the path of the notify directory, which need not exist.
func (s Store) NotifyDir(id string) string { return filepath.Join(s.path(id), notifyDir) }

// MakeNotify makes the notify directory. ListenNotify makes the socket.
func (d *Dir) MakeNotify() error {
	if err := unix.Mkdirat(d.fd, notifyDir, 0o755); err != nil {
		return d.fail("mkdir", notifyDir, err)
	}
	// The umask must not matter: any user of the container has to reach the socket.
	return d.failUnlessNil("chmod", notifyDir, unix.Fchmodat(d.fd, notifyDir, 0o755, 0))
}

// ListenNotify makes a new socket and listens on it.
func (d *Dir) ListenNotify() (*os.File, error) {
	dir, err := openRetry(d.fd, notifyDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, d.fail("open", notifyDir, err)
	}
	defer unix.Close(dir)
	name := filepath.Join(notifyDir, notifySocket)
	if err := unlink(dir, notifySocket, 0); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_UNIX, SOCK_DGRAM)", err)
	}
	// The path names the directory by its descriptor: a socket's path may have 107
	// bytes, and the path of the state root may be longer.
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + notifySocket})
	if err == nil {
		err = unix.Fchmodat(dir, notifySocket, 0o777, 0)
	}
	if err != nil {
		unix.Close(fd)
		return nil, d.fail("bind", name, err)
	}
	return os.NewFile(uintptr(fd), d.file(name)), nil
}

package libcontainer

import (
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// checkOwner returns an error if a mount namespace is not the container's. A process of the
// container can create a user namespace without any privilege, and a mount namespace in
// it. There it has all capabilities over mounts, also over those that the runtime would
// make. It could turn a read-only mount into a writable one.
//
// The container's own mount namespace belongs to one of three user namespaces: the
// runtime's, a child of that, or the one that the container has joined. User namespaces
// made by a process in the container are children of these.
func checkOwner(mnt *os.File, spec *specs.Spec) error {
	owner, err := related(mnt, unix.NS_GET_USERNS, "NS_GET_USERNS")
	if err != nil {
		return err
	}
	defer owner.Close()
	user := specconv.Namespace(spec, specs.UserNamespace)
	if user == nil {
		own, err := isOwn(owner, "user")
		return errOwner(own, err)
	}
	if joined, err := os.Open(user.Path); err == nil {
		defer joined.Close()
		if same, err := sameNamespace(owner, joined); err != nil || same {
			return err
		}
	}
	parent, err := related(owner, unix.NS_GET_PARENT, "NS_GET_PARENT")
	if err != nil {
		return err
	}
	defer parent.Close()
	own, err := isOwn(parent, "user")
	return errOwner(own, err)
}

func errOwner(own bool, err error) error {
	if err == nil && !own {
		err = errors.New("the container's own process created it, with a user namespace: refusing to mount in it")
	}
	return err
}

// related opens a related namespace by an ioctl (ioctl_nsfs(2)).
func related(ns *os.File, request uint, name string) (*os.File, error) {
	fd, err := unix.IoctlRetInt(int(ns.Fd()), request)
	if err != nil {
		return nil, fmt.Errorf("ioctl(%s, %s): %w", ns.Name(), name, err)
	}
	return os.NewFile(uintptr(fd), name+" of "+ns.Name()), nil
}

// isOwn reports whether a namespace is that of the calling process.
func isOwn(ns *os.File, name string) (bool, error) {
	own, err := os.Open("/proc/self/ns/" + name)
	if err != nil {
		return false, err
	}
	defer own.Close()
	return sameNamespace(ns, own)
}

func sameNamespace(a, b *os.File) (bool, error) {
	var s, t unix.Stat_t
	if err := errors.Join(unix.Fstat(int(a.Fd()), &s), unix.Fstat(int(b.Fd()), &t)); err != nil {
		return false, err
	}
	return s.Dev == t.Dev && s.Ino == t.Ino, nil
}

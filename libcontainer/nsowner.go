package libcontainer

import (
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkOwner tells whether a mount namespace is the container's, and not one
// that a process of it has made with a user namespace of its own (which takes
// no privilege). There it has all capabilities over mounts, those that are made
// for it included: read-only is what it likes to be.
//
// The container's belongs to our user namespace or to a child of that, or to
// the one that it has joined. A process in the container makes children of
// these.
func checkOwner(mnt *os.File, spec *specs.Spec) error {
	owner, err := related(mnt, unix.NS_GET_USERNS, "NS_GET_USERNS")
	if err != nil {
		return err
	}
	defer owner.Close()
	user, path := userNamespace(spec)
	if !user {
		own, err := isOwn(owner, "user")
		return errOwner(own, err)
	}
	if joined, err := os.Open(path); err == nil {
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
		err = errors.New("the process has made it for itself, with a user namespace: nothing is mounted there")
	}
	return err
}

// userNamespace is whether there is one in the configuration, and its path.
func userNamespace(spec *specs.Spec) (has bool, path string) {
	if spec.Linux == nil {
		return false, ""
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == specs.UserNamespace {
			return true, ns.Path
		}
	}
	return false, ""
}

// related is another namespace, as ioctl_nsfs(2) gives it.
func related(ns *os.File, request uint, name string) (*os.File, error) {
	fd, err := unix.IoctlRetInt(int(ns.Fd()), request)
	if err != nil {
		return nil, fmt.Errorf("ioctl(%s, %s): %w", ns.Name(), name, err)
	}
	return os.NewFile(uintptr(fd), name+" of "+ns.Name()), nil
}

// isOwn tells whether a namespace is this process's.
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

package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TakeAlong has the stub take hold of what it will need of the host's file
// systems, before it leaves them: the sources of bind mounts as detached trees,
// and the directory of its own descriptors, by which it names a mount to
// umount2(2).
type TakeAlong struct{ containerStep }

// HoldRoot takes the root of the mount namespace that was entered, for the
// steps that resolve a name in it.
type HoldRoot struct {
	containerStep
	Path string // of the same directory on the host: sources below it are the container's
}

// Unmount takes a mount away that was made while the container ran.
type Unmount struct {
	containerStep
	At Place
	ID uint64 // of the mount (statx(2), stx_mnt_id)
}

func (TakeAlong) String() string { return "take the sources along" }
func (HoldRoot) String() string  { return "hold the container's root" }
func (s Unmount) String() string { return "unmount " + s.At.Path }

// LiveRequest is what is asked of a container that runs.
type LiveRequest struct {
	Spec   *specs.Spec // the container's
	Rootfs string      // absolute
	Bundle string      // absolute
	Host   Host
}

// AddMounts plans mounts in a container that runs.
//
// The stub stays out of the pid namespace, whose processes could look at it,
// and joins the others: a sysfs is that of the network namespace, an mqueue
// that of the ipc namespace, a cgroup2 that of the cgroup namespace in which
// they are mounted.
func AddMounts(r LiveRequest, mounts []specs.Mount) (*Plan, error) {
	b, ns := newLive(r)
	b.Spec.Mounts = mounts
	b.mountAll("", ns)
	b.lateReadonly()
	for i, it := range b.items {
		if err := checkLive(&b.items[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", it.Field, err)
		}
	}
	steps := b.items
	b.items = nil
	b.approach(ns, slices.ContainsFunc(steps, fromHost))
	b.items = append(b.items, steps...)
	return &Plan{b.items}, b.err
}

// RemoveMounts plans the end of mounts that AddMounts has made, in the order in
// which they are given.
func RemoveMounts(r LiveRequest, mounts []Unmount) (*Plan, error) {
	b, ns := newLive(r)
	b.approach(ns, false)
	for _, m := range mounts {
		b.add("", m)
	}
	return &Plan{b.items}, b.err
}

func newLive(r LiveRequest) (*builder, *namespaces) {
	spec := *r.Spec
	b := &builder{
		Request: &Request{Spec: &spec, Rootfs: r.Rootfs, Bundle: r.Bundle, Host: r.Host},
		further: true, spots: map[string]spot{},
	}
	if spec.Linux != nil {
		b.linux = *spec.Linux
	}
	return b, containerNamespaces(b.linux.Namespaces)
}

// approach enters the container's namespaces. With a user namespace and sources
// of the host's, the stub first makes a copy of the host's mounts that belongs
// to that user namespace: there the kernel locks what the host's mounts forbid,
// as it does in create (mount_namespaces(7), "Restrictions on mount
// namespaces").
func (b *builder) approach(ns *namespaces, sources bool) {
	const field = "/linux/namespaces"
	b.add("", Spawn{})
	b.add("", Harden{})
	b.add("", Session{})
	all := ns.join &^ (unix.CLONE_NEWPID | unix.CLONE_NEWTIME)
	if user := all&unix.CLONE_NEWUSER != 0; !user || !sources {
		b.add("", TakeAlong{})
		b.add(field, Enter{Flags: all})
		if user {
			b.becomeRoot()
		}
		b.add("", HoldRoot{Path: b.Rootfs})
		return
	}
	before, after := b.aroundUser(all)
	if before != 0 {
		b.add(field, Enter{Flags: before})
	}
	b.add(field, Enter{Flags: unix.CLONE_NEWUSER})
	b.becomeRoot()
	b.add(field, Unshare{Flags: unix.CLONE_NEWNS})
	b.add("", Propagation{Flags: unix.MS_SLAVE | unix.MS_REC})
	b.add("", TakeAlong{})
	b.add(field, Enter{Flags: after})
	b.add("", HoldRoot{Path: b.Rootfs})
}

// aroundUser says what is entered before the user namespace, some of which may
// be the host's, and what after it, which is all where there is no privilege
// before.
func (b *builder) aroundUser(all uint64) (before, after uint64) {
	if b.Host.Rootless && !b.Host.InUserns {
		return 0, all &^ unix.CLONE_NEWUSER
	}
	return all &^ (unix.CLONE_NEWUSER | unix.CLONE_NEWNS), unix.CLONE_NEWNS
}

// fromHost tells the bind mounts whose source is not in the container.
func fromHost(it Item) bool {
	s, ok := it.Step.(Bind)
	return ok && !s.Inside
}

// checkLive refuses what a container that runs cannot have, and changes what
// it has otherwise.
func checkLive(it *Item) error {
	switch s := it.Step.(type) {
	case Remount:
		// What a name leads to is the container's choice by now. It must not
		// be the mount that makes /proc/sys read-only.
		if !s.Kept {
			return errors.New("remount is not for a container that runs: remove the mount and add it again")
		}
	case Bind:
		if s.CopySymlink {
			return errors.New("copy-symlink is not for a container that runs: it makes no mount that could be removed")
		}
		if s.Inside {
			s.Attrs.Implied = 0 // as in checkInside: it keeps its restrictions
			it.Step = s
		}
		return checkInside(s)
	case Mount:
		s.OrBind = ""
		it.Step = s
	}
	return nil
}

// checkInside: what a source in the container leads to is the container's
// choice too. Without the mounts below it, it would show what they hide, and let
// be written what they make read-only.
func checkInside(s Bind) error {
	switch {
	case !s.Inside:
		return nil
	case !s.Recursive:
		return errors.New("a source in a container that runs takes rbind: mounts below it may hide something")
	case s.Attrs.RecClear&Forbidding != 0:
		return errors.New("what is mounted below a source in a container that runs keeps its restrictions: no rrw, rsuid, rdev, rexec, rsymfollow")
	}
	return nil
}

// Forbidding are the attributes of a mount that take something away from those
// who use it.
const Forbidding = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW

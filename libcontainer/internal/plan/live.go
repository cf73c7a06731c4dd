package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TakeAlong prepares what the stub needs from the host's file systems, before it
// leaves them. The stub receives the sources of bind mounts as detached trees.
// It opens the directory of its own descriptors, through which it names a mount
// for umount2(2).
type TakeAlong struct{ containerStep }

// HoldRoot opens the root of the mount namespace that the stub has entered, for
// the steps that resolve a name in it.
type HoldRoot struct {
	containerStep
	Path string // the same directory on the host: a source below it is in the container
}

// Unmount removes a mount that AddMounts made.
type Unmount struct {
	containerStep
	At Place
	ID uint64 // the mount's id (statx(2), stx_mnt_id)
}

func (TakeAlong) String() string { return "keep the sources open" }
func (HoldRoot) String() string  { return "open the container's root" }
func (s Unmount) String() string { return "unmount " + s.At.Path }

// LiveRequest describes the running container whose mounts change.
type LiveRequest struct {
	Spec   *specs.Spec // the container's
	Rootfs string      // absolute
	Bundle string      // absolute
	Host   Host
}

// AddMounts plans mounts in a running container.
//
// The stub stays out of the pid namespace, whose processes could inspect it. It
// joins the others, except the time namespace, because some file systems belong
// to the namespace of the process that mounts them: sysfs to the network
// namespace, mqueue to the ipc namespace, cgroup2 to the cgroup namespace.
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

// RemoveMounts plans the removal of mounts that AddMounts made, in the given
// order.
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
// from the host, the stub first copies the host's mounts into a mount namespace
// of that user namespace. In the copy the kernel locks the restrictions of the
// host's mounts, as it does in create (mount_namespaces(7), "Restrictions on
// mount namespaces").
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

// aroundUser splits the namespaces into those that the stub enters before the
// user namespace and those that it enters after it. Before it come those that
// may belong to the host's user namespace. Without privilege on the host, all
// come after it.
func (b *builder) aroundUser(all uint64) (before, after uint64) {
	if b.Host.Rootless && !b.Host.InUserns {
		return 0, all &^ unix.CLONE_NEWUSER
	}
	return all &^ (unix.CLONE_NEWUSER | unix.CLONE_NEWNS), unix.CLONE_NEWNS
}

// fromHost reports whether a step is a bind mount with a source of the host.
func fromHost(it Item) bool {
	s, ok := it.Step.(Bind)
	return ok && !s.Inside
}

// checkLive refuses steps that a running container cannot have, and adapts the
// others.
func checkLive(it *Item) error {
	switch s := it.Step.(type) {
	case Remount:
		// The container now decides where a name leads. It must not lead to
		// the mount that makes /proc/sys read-only.
		if !s.Kept {
			return errors.New("a mount of a running container cannot be remounted: remove it and add it again")
		}
	case Bind:
		if s.CopySymlink {
			return errors.New("copy-symlink is impossible in a running container: it creates no mount that could be removed")
		}
		if s.Inside {
			s.Attrs.Implied = 0 // the mount keeps the restrictions of its source, see checkInside
			it.Step = s
		}
		return checkInside(s)
	case Mount:
		s.OrBind = ""
		it.Step = s
	}
	return nil
}

// checkInside checks a source in the container. The container decides where its
// path leads. A clone without the mounts below it would show the files that they
// hide, and would make writable the files that they protect.
func checkInside(s Bind) error {
	switch {
	case !s.Inside:
		return nil
	case !s.Recursive:
		return errors.New("a source in a running container requires rbind: mounts below it may hide files")
	case s.Attrs.RecClear&Forbidding != 0:
		return errors.New("mounts below a source in a running container keep their restrictions: rrw, rsuid, rdev, rexec and rsymfollow are impossible")
	}
	return nil
}

// Forbidding are the mount attributes that restrict the users of a mount.
const Forbidding = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW

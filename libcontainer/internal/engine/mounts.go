package engine

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// mounts attaches new file systems.
type mounts struct {
	*rootfs
	points *mountpoints
	procfs *procfs
}

// unmount detaches the mount with the recorded id, and no other. The
// destination is a name in the container, which may lead to a mask or to a
// read-only mount by now.
func (ms *mounts) unmount(s plan.Unmount) error {
	b := ms.building
	fd := b.Openat2(ms.root, relative(s.At.Path), unix.O_PATH, 0, remote.InRoot)
	st := b.Statx(fd, "", 0)
	if err := ms.settle(); err != nil {
		return err
	}
	if st.Get().Mnt_id != s.ID {
		return fmt.Errorf("another mount has replaced it: %w", unix.EINVAL)
	}
	ms.visit.detach(&ms.building.Batch, fd)
	ms.building.Close(fd)
	ms.later(func() error {
		ms.visit.gone = append(ms.visit.gone, s.ID)
		return nil
	})
	return nil
}

func (ms *mounts) mount(s plan.Mount) error {
	flags, resolve := mountFlags(s)
	to, err := ms.destination(s.At, false, flags, resolve)
	if err != nil {
		return err
	}
	if s.ModeFromTarget && !ms.points.made[ms.at] {
		mode, err := ms.modeOf(to)
		if err != nil {
			return err
		}
		s.Params = append([]plan.Param{{Key: "mode", Value: mode}}, s.Params...)
	}
	m, err := ms.create(s, to)
	if err != nil {
		return err
	}
	return ms.attach(m, to, s)
}

// create creates the detached mount. to is its destination.
func (ms *mounts) create(s plan.Mount, to *remote.FD) (*remote.FD, error) {
	switch {
	case s.Type == "proc" && s.JoinedPID:
		return ms.procfs.joinedProc(s)
	case hasLong(s):
		return ms.longMount(s, to)
	}
	return ms.newMount(s)
}

func mountFlags(s plan.Mount) (flags, resolve uint64) {
	flags, resolve = unix.O_DIRECTORY, remote.InRoot
	if s.Ordinary {
		flags, resolve = flags|unix.O_NOFOLLOW, resolve|unix.RESOLVE_NO_SYMLINKS
	}
	if s.DestNofollow {
		flags |= unix.O_NOFOLLOW
	}
	return flags, resolve
}

func (ms *mounts) attach(m, to *remote.FD, s plan.Mount) error {
	rest := s.Attrs
	rest.Set, rest.Clear = 0, 0
	ms.attributes(m, rest)
	if s.CopyUp {
		if err := ms.copyUp(s, m); err != nil {
			return err
		}
	}
	if s.Idmap != nil {
		if err := ms.sources.idmaps.applyInStub(m, s.At.Path, s.Idmap); err != nil {
			return err
		}
	}
	if s.Keep {
		ms.kept[s.At.Path] = m
	}
	return ms.put(m, to, s.Keep)
}

// modeOf returns the mode of the directory that a tmpfs will cover. It asks
// through the descriptor to which the tmpfs will be attached.
func (ms *mounts) modeOf(to *remote.FD) (string, error) {
	st := ms.building.Statx(to, "", 0)
	if err := ms.settle(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%o", st.Get().Mode&0o7777), nil
}

func (ms *mounts) remount(s plan.Remount) error {
	if m := ms.kept[s.At.Path]; s.Kept && m != nil {
		return ms.reconfigure(m, s)
	}
	fd := ms.building.Openat2(ms.root, relative(s.At.Path), unix.O_PATH, 0, remote.InRoot)
	if err := ms.reconfigure(fd, s); err != nil {
		return err
	}
	ms.building.Close(fd)
	return nil
}

// reconfigure changes the parameters of the file system, then the attributes of
// the mount.
func (ms *mounts) reconfigure(m *remote.FD, s plan.Remount) error {
	switch {
	case anyLong(s.Params):
		if err := ms.longRemount(m, s.Params); err != nil {
			return err
		}
	case len(s.Params) > 0:
		ctx := ms.building.Fspick(m)
		if err := ms.parameters(ctx, s.Params); err != nil {
			return err
		}
		ms.building.FsconfigReconfigure(ctx)
		ms.building.Close(ctx)
	}
	ms.attributes(m, s.Attrs)
	return nil
}

func (ms *mounts) slowRemount(it plan.Item, s plan.Remount, b *remote.Batch, ce *remote.CallError) error {
	if ce.Nr == unix.SYS_MOUNT_SETATTR && ce.Errno == unix.EPERM {
		return ms.lockedFailure(it, b, ce, s.Attrs)
	}
	return failed(it, ce)
}

// slowMount creates a missing mountpoint, and replaces a file system that the
// kernel refuses here: a procfs with pidns= by one from a child, a refused mount
// by its bind mount (OrBind).
func (ms *mounts) slowMount(it plan.Item, s plan.Mount, ce *remote.CallError) (bool, error) {
	switch {
	case s.JoinedPID && ms.visit != nil && ce.Nr == unix.SYS_FSCONFIG && ce.Errno == unix.EINVAL:
		// The other way needs a privileged process in the pid namespace.
		return false, hint(it, ce, "mounting a procfs in a running container requires Linux 6.18")
	case s.JoinedPID && !ms.procfs.noPidnsOption && ce.Nr == unix.SYS_FSCONFIG && ce.Errno == unix.EINVAL:
		ms.procfs.noPidnsOption = true
		return true, nil
	case ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ENOENT:
		return true, ms.points.create(it, s.At.Path, false)
	case ce.Nr == unix.SYS_OPENAT2 && s.Ordinary && (ce.Errno == unix.ELOOP || ce.Errno == unix.ENOTDIR):
		return false, hint(it, ce, s.At.Path+" must be an ordinary directory, not a symlink")
	case s.OrBind != "" && (ce.Nr == unix.SYS_FSCONFIG || ce.Nr == unix.SYS_FSMOUNT || ce.Nr == unix.SYS_FSOPEN) && isErrno(ce, unix.EPERM, unix.EBUSY):
		attrs := s.Attrs
		if attrs.Propagation == 0 {
			attrs.Propagation = unix.MS_PRIVATE // not a peer of the host's mount
		}
		ms.items[ms.at].Step = plan.Bind{Source: s.OrBind, At: s.At, Attrs: attrs}
		return true, ms.sources.lateTree()
	case s.Type == "proc" && ce.Errno == unix.EPERM:
		return false, hint(it, ce, "the kernel allows no new procfs where mounts cover a part of the visible one; the runtime probably runs in a container itself")
	case s.Type == "sysfs" && ce.Errno == unix.EPERM:
		return false, hint(it, ce, "mounting sysfs requires a network namespace that belongs to the container's user namespace: bind /sys instead")
	case ce.Nr == unix.SYS_FSOPEN && ce.Errno == unix.ENODEV:
		return false, hint(it, ce, "the kernel has no file system "+s.Type)
	}
	return false, nil
}

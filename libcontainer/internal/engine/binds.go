package engine

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// binds attaches the sources of bind mounts.
type binds struct {
	*rootfs
	points  *mountpoints
	devices *devices
}

// copySymlink creates a copy of a symlink of the host.
func (bi *binds) copySymlink(s plan.Bind) error {
	target, err := os.Readlink(s.Source)
	if err != nil {
		return err
	}
	return bi.devices.symlink(plan.Symlink{Target: target, At: s.At})
}

// unlessLocked clears the implied attributes, unless the kernel has locked them.
// The call is separate, because it may fail; the other attributes have to
// succeed.
func (bi *binds) unlessLocked(m *remote.FD, a *plan.Attrs) {
	if a.Implied != 0 {
		bi.building.MountSetattr(m, "", false, remote.Attr{Clear: a.Implied}).Tolerate(unix.EPERM)
		a.Implied = 0
	}
}

func (bi *binds) bind(s plan.Bind) error {
	b := bi.building
	if s.CopySymlink {
		return bi.copySymlink(s)
	}
	if t := bi.sources.byItem[bi.at]; t != nil {
		return bi.bindTree(s, t)
	}
	from := b.Openat2(bi.root, relative("/"+strings.TrimPrefix(strings.TrimPrefix(s.Source, bi.rootfsPath()), "/")), unix.O_PATH, 0, remote.InRoot)
	if err := bi.checkInside(from, s); err != nil {
		return err
	}
	m := b.OpenTree(from, "", s.Recursive)
	b.Close(from)
	bi.attributes(m, s.Attrs)
	if s.Idmap != nil {
		if err := bi.sources.idmaps.applyInStub(m, s.Source, s.Idmap); err != nil {
			return err
		}
	}
	to, err := bi.destination(plan.Place{Path: s.At.Path, Below: s.At.Below}, false, destFlags(s), remote.InRoot)
	if err != nil {
		return err
	}
	return bi.put(m, to, false)
}

// checkInside refuses a source in procfs, to which a symlink may lead: the clone
// would lack the masks and read-only mounts on top of it. In a running container
// it also refuses to clear restrictions of the source's mount (ro, nosuid, …), as
// the kernel does between user namespaces. There it waits for the result before
// the mount, like notProc.
func (bi *binds) checkInside(from *remote.FD, s plan.Bind) error {
	st := bi.building.Fstatfs(from)
	bi.later(func() error {
		inside := "/" + strings.TrimPrefix(strings.TrimPrefix(s.Source, bi.rootfsPath()), "/")
		if st.Get().Type == procMagic && (bi.visit != nil || !plan.InProc(inside)) {
			return fmt.Errorf("the source %s leads into /proc: its files may not be mounted elsewhere: %w", inside, unix.EPERM)
		}
		if bi.visit != nil && s.Attrs.Clear&plan.Forbidding&attrsOf(st.Get().Flags) != 0 {
			return fmt.Errorf("the source %s is on a restricted mount (ro, nosuid, nodev, noexec or nosymfollow): a new mount of it must keep the restrictions: %w", inside, unix.EPERM)
		}
		return nil
	})
	if bi.visit != nil {
		return bi.settle()
	}
	return nil
}

// attrsOf converts the flags of a mount in statfs(2) to attributes. Their type depends on the machine.
func attrsOf[flag int64 | uint32](flags flag) (attrs uint64) {
	for _, f := range []struct {
		flag flag
		attr uint64
	}{
		{unix.ST_RDONLY, unix.MOUNT_ATTR_RDONLY},
		{unix.ST_NOSUID, unix.MOUNT_ATTR_NOSUID},
		{unix.ST_NODEV, unix.MOUNT_ATTR_NODEV},
		{unix.ST_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
		{0x2000, unix.MOUNT_ATTR_NOSYMFOLLOW}, // ST_NOSYMFOLLOW (linux/statfs.h), which x/sys/unix does not define
	} {
		if flags&f.flag != 0 {
			attrs |= f.attr
		}
	}
	return attrs
}

// bindTree attaches a tree of the host.
func (bi *binds) bindTree(s plan.Bind, t *tree) error {
	to, err := bi.destination(s.At, t.kind != unix.S_IFDIR, destFlags(s), remote.InRoot)
	if err != nil {
		return err
	}
	m := bi.sources.mountOf(t, s.Recursive, false)
	if t.origin {
		bi.unlessLocked(m, &s.Attrs)
	}
	bi.attributes(m, s.Attrs)
	if s.Idmap != nil && !t.mapped {
		if err := bi.sources.idmaps.applyInStub(m, s.Source, s.Idmap); err != nil {
			return err
		}
	}
	return bi.put(m, to, false)
}

func destFlags(s plan.Bind) uint64 {
	if s.DestNofollow {
		return unix.O_NOFOLLOW
	}
	return 0
}

func (bi *binds) slowBind(it plan.Item, s plan.Bind, b *remote.Batch, ce *remote.CallError) (bool, error) {
	t := bi.sources.byItem[bi.at]
	if ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ENOENT {
		dir, err := bi.isDir(t, it, s)
		if err != nil {
			return false, err
		}
		return true, bi.points.create(it, s.At.Path, !dir)
	}
	switch {
	case ce.Nr == unix.SYS_MOVE_MOUNT && (ce.Errno == unix.ENOTDIR || ce.Errno == unix.EINVAL) && t != nil:
		return false, bi.kindMismatch(it, s, t, ce)
	case ce.Nr == unix.SYS_OPEN_TREE && ce.Errno == unix.EINVAL && !s.Recursive:
		return false, hint(it, ce, "a mount below the source hides files, which a container with a user namespace may not see: use rbind")
	case ce.Nr == unix.SYS_MOUNT_SETATTR && ce.Errno == unix.EPERM && s.Attrs.Implied != 0 && (t == nil || !t.origin):
		s.Attrs.Implied = 0 // locked flags stay; config.json does not ask to clear them
		bi.items[bi.at].Step = s
		return true, nil
	case ce.Nr == unix.SYS_MOUNT_SETATTR && ce.Errno == unix.EPERM:
		return false, bi.lockedFailure(it, b, ce, s.Attrs)
	}
	return false, nil
}

// kindMismatch returns the error for a file that meets a directory, or a directory that
// meets a file. Engines look for its text.
func (bi *binds) kindMismatch(it plan.Item, s plan.Bind, t *tree, ce *remote.CallError) error {
	dir, err := bi.sources.isDir(it, t)
	if err != nil {
		return err
	}
	kind := "the file " + s.Source + " does not fit on a directory"
	if dir {
		kind = "the directory " + s.Source + " does not fit on a file"
	}
	f := &Failure{Field: it.Field, Step: doing(s), Syscall: ce.Call, Errno: unix.ENOTDIR}
	// Docker turns "is a directory" into 126, and "not a directory" into a hint.
	f.Hint = kind + ": are you trying to mount a directory onto a file (or vice-versa)?"
	return f
}

// isDir reports whether a source is a directory. t is nil for a source in the
// root file system.
func (bi *binds) isDir(t *tree, it plan.Item, s plan.Bind) (bool, error) {
	if t != nil {
		return bi.sources.isDir(it, t)
	}
	var q remote.Batch
	rel := relative("/" + strings.TrimPrefix(strings.TrimPrefix(s.Source, bi.rootfsPath()), "/"))
	fd := q.Openat2(bi.root, rel, unix.O_PATH, 0, remote.InRoot)
	st := q.Statx(fd, "", 0)
	q.Close(fd)
	if err := bi.ask(&q); err != nil {
		return false, failed(it, err)
	}
	return st.Get().Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

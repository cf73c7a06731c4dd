package engine

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// rootfs owns the root file system: its descriptor, the look-up of destinations in it,
// and the kept mounts on it.
type rootfs struct {
	*batches
	sources *sources
	visit   *visit                // nil in a new container
	root    *remote.FD            // the root file system's tree
	kept    map[string]*remote.FD // mounts of the plan whose descriptors are kept, by destination
	crossed bool                  // the root file system contains mounts that the plan does not know
	limits  *limits
}

func (r *rootfs) pivot(s plan.Pivot) error {
	b := r.building
	b.Fchdir(r.root)
	if s.Move {
		return r.moveRoot()
	}
	// The kernel stacks the old root on the new one, at the same ".", where
	// umount2 finds and detaches it (pivot_root(2), "pivot_root(".", ".")").
	b.PivotRoot(".", ".")
	b.Umount2(".", unix.MNT_DETACH)
	b.Chdir("/")
	return nil
}

func (r *rootfs) changeRoot() error {
	b := r.building
	b.Chroot(".")
	b.Chdir("/")
	r.root = b.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	r.root.SetName("rootfs")
	return nil
}

// put attaches a mount. Usually closeFiles closes its descriptor, with all others
// in one call; if descriptors are scarce (limits.tight), the stub closes it at once.
//
// In a running container the mount's id has to be known, so that it can be found
// again. It has to be known before the stub looks up the next name: that lookup
// may hang forever on a file system of the container.
func (r *rootfs) put(m, to *remote.FD, keep bool) error {
	b := r.building
	b.MoveMount(m, to)
	b.Close(to)
	switch {
	case r.visit != nil:
		r.visit.made = append(r.visit.made, made{r.at, m, b.Statx(m, "", 0)})
		return r.settle()
	case !keep && r.limits.tight:
		b.Close(m)
	}
	return nil
}

func (r *rootfs) holdRoot() {
	r.root = r.building.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	r.root.SetName("rootfs")
}

// target resolves the destination of a mount once. All later calls use the
// descriptor, so the container cannot redirect them. In a mount of the plan,
// target also creates the mountpoint; file selects its kind. Only there is this
// free of risk: no other entry can be in the way.
func (r *rootfs) target(at plan.Place, file bool, flags, resolve uint64) *remote.FD {
	b := r.building
	if dir := r.freshDir(at); dir != nil {
		makeNode(&b.Batch, dir, at.Name, file).Tolerate(unix.EEXIST)
		return b.Openat2(dir, at.Name, unix.O_PATH|flags, 0, remote.Beneath)
	}
	return b.Openat2(r.root, relative(at.Path), unix.O_PATH|flags, 0, resolve)
}

// destination resolves the destination of a mount and makes sure that it is not
// in procfs. If no mount may be crossed (onRoot), the destination is on the same
// mount as the root, and the check is not needed: it would be a statfs, which
// asks the file system.
func (r *rootfs) destination(at plan.Place, file bool, flags, resolve uint64) (*remote.FD, error) {
	if r.onRoot(at) {
		return r.target(at, file, flags, resolve|unix.RESOLVE_NO_XDEV), nil
	}
	to := r.target(at, file, flags, resolve)
	return to, r.notProc(to, at)
}

// onRoot reports whether no known mount covers the place or a parent of it. The
// assumption may be false: a symlink may lead to a mount, or the root file system
// may consist of several mounts. Then openat2 fails with EXDEV, slow sets crossed, and
// the walk makes no such assumption from there on.
func (r *rootfs) onRoot(at plan.Place) bool {
	return !at.Below && !r.crossed && r.visit == nil && at.Path != "/proc"
}

// freshDir returns the mount of the plan that contains the place directly, or nil.
func (r *rootfs) freshDir(at plan.Place) *remote.FD {
	if at.In == "" {
		return nil
	}
	return r.kept[at.In]
}

// attributes sets the attributes of the mount, then those of the whole tree.
func (r *rootfs) attributes(m *remote.FD, a plan.Attrs) {
	if a.First != 0 {
		r.building.MountSetattr(m, "", true, remote.Attr{Propagation: a.First})
	}
	one := remote.Attr{Set: a.Set, Clear: a.Clear | a.Implied}
	all := remote.Attr{Set: a.RecSet, Clear: a.RecClear}
	if a.PropagationRec {
		all.Propagation = a.Propagation
	} else {
		one.Propagation = a.Propagation
	}
	if !one.IsZero() {
		r.building.MountSetattr(m, "", false, one)
	}
	if !all.IsZero() {
		r.building.MountSetattr(m, "", true, all)
	}
}

// notProc refuses a destination in procfs, to which a symlink may lead. The
// result is known after the batch, when the mount is already there. That is early
// enough in a new container: no program of it has run, and the mount disappears
// with the stub. In a running container, notProc waits for the result before the
// mount.
func (r *rootfs) notProc(to *remote.FD, at plan.Place) error {
	if r.freshDir(at) != nil || at.Path == "/proc" {
		return nil
	}
	magic := r.building.Fstatfs(to)
	r.later(func() error {
		if magic.Get().Type == procMagic && !plan.InProc(at.Path) {
			return fmt.Errorf("%s leads into /proc, where nothing may be mounted: %w", at.Path, unix.EPERM)
		}
		return nil
	})
	if r.visit != nil {
		return r.visit.notShared(to, at)
	}
	return nil
}

// lockedFailure names the locked flag that cannot be changed.
func (r *rootfs) lockedFailure(it plan.Item, b *remote.Batch, ce *remote.CallError, a plan.Attrs) error {
	var q remote.Batch
	fs := q.Fstatfs(b.Subject(ce.Index))
	fs.TolerateAll()
	if err := r.ask(&q); err != nil || fs.Errno() != 0 {
		return failed(it, ce)
	}
	return hint(it, ce, lockedHint(fs.Get().Flags, a))
}

// lockedHint compares the flags of the mount with the requested attributes, a, and
// names the locked ones.
func lockedHint[flag int64 | uint32](flags flag, a plan.Attrs) string {
	var names []string
	clear := (a.Clear | a.RecClear) &^ (a.Set | a.RecSet)
	for _, f := range [...]struct {
		st   flag
		attr uint64
		name string
	}{
		{unix.ST_RDONLY, unix.MOUNT_ATTR_RDONLY, "ro"},
		{unix.ST_NOSUID, unix.MOUNT_ATTR_NOSUID, "nosuid"},
		{unix.ST_NODEV, unix.MOUNT_ATTR_NODEV, "nodev"},
		{unix.ST_NOEXEC, unix.MOUNT_ATTR_NOEXEC, "noexec"},
	} {
		if flags&f.st != 0 && clear&f.attr != 0 {
			names = append(names, f.name)
		}
	}
	const atime = unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME
	if (a.Set|a.Clear|a.RecSet|a.RecClear)&atime != 0 && len(names) == 0 {
		names = append(names, "the access time mode")
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, ", ") + " of the host's mount is locked: a container with a user namespace cannot change it"
}

// makeNode creates a mountpoint: a file or a directory.
func makeNode(b *remote.Batch, dir *remote.FD, name string, file bool) remote.Result {
	if file {
		return b.Mknodat(dir, name, unix.S_IFREG|0o644, 0)
	}
	return b.Mkdirat(dir, name, 0o755)
}

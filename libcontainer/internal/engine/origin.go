package engine

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bounded"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// Where the container has a user namespace, the kernel locks what the host's
// mounts forbid (ro, nosuid, nodev, noexec), and what is mounted over what:
// when a mount namespace is copied for it (mount_namespaces(7), "Restrictions
// on mount namespaces"). A tree that the runtime has cloned is no copy, and
// nothing of it is locked: the container's root could write to what the host
// has mounted read-only, or take away what the host has mounted over something.
// Such trees are cloned by the stub, from the copy, at their origin: an O_PATH
// descriptor that the runtime opens there. So are those that a runtime without
// privilege may not clone; the stub opens their origins itself.

// origins replaces trees by their origins where they have to be cloned by the
// stub. By now it has its mount namespace, and nothing is mounted there yet.
func (w *walk) origins(items []int) error {
	var relocate, open []int
	for _, i := range items {
		switch t := w.trees[i]; {
		case t == nil || t.origin:
		case t.file == nil:
			open = append(open, i)
		case t.elsewhere:
			relocate = append(relocate, i)
		}
	}
	if len(relocate)+len(open) == 0 {
		return nil
	}
	if err := w.settle(); err != nil {
		return err
	}
	if err := w.openOrigins(open); err != nil {
		return err
	}
	return w.relocate(relocate)
}

// copiedByUserns tells whether the stub's mount namespace is a copy of ours that
// belongs to another user namespace.
func (w *walk) copiedByUserns() bool {
	var mount, user bool
	for _, it := range w.items {
		switch s := it.Step.(type) {
		case plan.Unshare:
			mount, user = mount || s.Flags&unix.CLONE_NEWNS != 0, user || s.Flags&unix.CLONE_NEWUSER != 0
		case plan.Join:
			user = user || s.Flag == unix.CLONE_NEWUSER
		case plan.Enter:
			user = user || s.Flags&unix.CLONE_NEWUSER != 0
		}
	}
	return mount && user
}

// mustLock tells whether there is something to lock. Of a device node alone
// nothing is: what a mount forbids is not about it.
func mustLock(s plan.Step, t *tree) bool {
	b, ok := s.(plan.Bind)
	if !ok {
		return false
	}
	shared := b.Attrs.Propagation == 0 || b.Attrs.Propagation == unix.MS_SHARED // the copy is a slave, and what is mounted there stays there
	return b.Recursive || shared || restricted(t.file)
}

// restrictions are the flags that statfs(2) shows of those that are locked.
const restrictions = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC

func restricted(f *os.File) bool {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(f.Fd()), &st)
	return err != nil || st.Flags&restrictions != 0
}

func (w *walk) relocate(items []int) error {
	if len(items) == 0 {
		return nil
	}
	root, err := unix.Open("/proc/"+strconv.Itoa(w.stub.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open the stub's root", err)
	}
	// Any of them may be a volume that does not answer.
	ctx, stop := context.WithTimeoutCause(w.ctx, w.timeout(), remote.ErrTimeout)
	defer stop()
	files, err := bounded.Do(ctx, func() (map[int]*os.File, error) {
		defer unix.Close(root)
		return w.openAll(root, items)
	}, closeFiles)
	if err != nil {
		return w.lost(err)
	}
	for i, f := range files {
		w.trees[i].relocate(f)
	}
	return nil
}

// openAll finds the files of trees in the mount namespace that root is of.
func (w *walk) openAll(root int, items []int) (map[int]*os.File, error) {
	files := map[int]*os.File{}
	for _, i := range items {
		f, err := w.trees[i].find(root)
		if err != nil {
			closeFiles(files)
			return nil, failed(w.items[i], err)
		}
		files[i] = f
	}
	return files, nil
}

func closeFiles(files map[int]*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// find gives the tree's file as it is below root; nil where a path through one
// of procfs's magic links leads out of that.
func (t *tree) find(root int) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	if t.nofollow {
		how.Flags |= unix.O_NOFOLLOW
	}
	fd, err := openat2(root, relative(t.file.Name()), &how)
	if err == unix.ELOOP || err == unix.EXDEV {
		return nil, nil
	}
	if err != nil {
		return nil, &Failure{Step: "open the source " + t.file.Name() + " in the container's mount namespace", Syscall: "openat2(" + strconv.Quote(t.file.Name()) + ", RESOLVE_IN_ROOT)", Errno: err.(unix.Errno)}
	}
	f := os.NewFile(uintptr(fd), t.file.Name())
	same, err := sameFile(f, t.file)
	if err == nil && !same {
		err = errors.New("the source " + t.file.Name() + " has been replaced meanwhile")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// relocate has the stub clone the tree from f, or leaves the tree as it is.
func (t *tree) relocate(f *os.File) {
	if f == nil {
		t.elsewhere = false
		return
	}
	t.file.Close()
	t.file, t.origin = f, true
}

// openat2 tries again as often as a rename somewhere gets in its way.
func openat2(dir int, path string, how *unix.OpenHow) (fd int, err error) {
	for range maxRetries {
		if fd, err = unix.Openat2(dir, path, how); err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

func sameFile(a, b *os.File) (bool, error) {
	const what = unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC // the kernel knows
	var x, y unix.Statx_t
	err := errors.Join(unix.Statx(int(a.Fd()), "", what, unix.STATX_INO, &x), unix.Statx(int(b.Fd()), "", what, unix.STATX_INO, &y))
	return x.Dev_major == y.Dev_major && x.Dev_minor == y.Dev_minor && x.Ino == y.Ino, err
}

// openOrigins has the stub open what the runtime could not clone. Their kinds
// have to be known: a mountpoint is made of the same.
func (w *walk) openOrigins(items []int) error {
	if len(items) == 0 {
		return nil
	}
	stats := make([]remote.Stat, len(items))
	tag := w.at
	for n, i := range items {
		source, _, nofollow := hostSource(w.items[i].Step)
		flags := uint64(unix.O_PATH)
		if nofollow {
			flags |= unix.O_NOFOLLOW
		}
		w.building.Tag(i)
		w.trees[i].fd = w.building.Open(source, flags)
		stats[n] = w.building.Statx(w.trees[i].fd, "", 0)
	}
	w.building.Tag(tag)
	if err := w.settle(); err != nil {
		return err
	}
	for n, i := range items {
		st := stats[n].Get()
		w.trees[i].origin, w.trees[i].dir = true, st.Mode&unix.S_IFMT == unix.S_IFDIR
		if d, ok := hostDevice(w.items[i].Step); ok && !isDevice(d, uint32(st.Mode), unix.Mkdev(st.Rdev_major, st.Rdev_minor)) {
			return failed(w.items[i], notDevice(d.FromHost, d))
		}
	}
	return nil
}

// mountOf is the tree as a mount that can be attached.
func (w *walk) mountOf(t *tree, recursive, private bool) *remote.FD {
	if !t.origin {
		return t.fd
	}
	m := w.building.OpenTree(t.fd, "", recursive)
	if private {
		w.building.MountSetattr(m, "", false, remote.Attr{Propagation: unix.MS_PRIVATE})
	}
	w.building.Close(t.fd)
	return m
}

// lockedFailure explains a flag that cannot be changed, by name.
func (w *walk) lockedFailure(it plan.Item, b *remote.Batch, ce *remote.CallError, a plan.Attrs) error {
	var q remote.Batch
	fs := q.Fstatfs(b.Subject(ce.Index))
	fs.TolerateAll()
	if err := w.ask(&q); err != nil || fs.Errno() != 0 {
		return failed(it, ce)
	}
	return hint(it, ce, lockedHint(fs.Get().Flags, a))
}

// lockedHint: flags are what the mount has, a is what was to become of them.
func lockedHint(flags int64, a plan.Attrs) string {
	var names []string
	clear := (a.Clear | a.RecClear) &^ (a.Set | a.RecSet)
	for _, f := range [...]struct {
		st   int64
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

// all are the items that have a tree.
func (w *walk) all() []int {
	var items []int
	for i := range w.trees {
		items = append(items, i)
	}
	slices.Sort(items)
	return items
}

package engine

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/dcache"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// When the kernel copies a mount namespace for another user namespace, it locks
// two things in the copy: the restrictions of the mounts (ro, nosuid, nodev,
// noexec), and mounts on top of others (mount_namespaces(7), "Restrictions on
// mount namespaces").
//
// A tree that the runtime side has cloned is not part of the copy, and nothing in
// it is locked. The root of a container with a user namespace could write to a
// read-only mount of the host, or unmount a mount that hides something. So the
// stub clones such trees, from the copy. The place to clone is the tree's origin:
// an O_PATH descriptor in the stub's mount namespace, which the runtime side
// opens.
//
// A runtime without privilege may not clone trees at all. Then the stub also opens
// the origins itself.

// origins replaces the trees that the stub has to clone by their origins. At this
// point the stub has its mount namespace, and nothing is mounted in it yet: each
// path leads to the same file as on the host.
func (w *walk) origins(items []int) error {
	var relocate, open []int
	for _, i := range items {
		switch t := w.trees[i]; {
		case t == nil || t.origin:
		case t.fd < 0 && t.there == nil:
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

// copiedByUserns reports whether the stub's mount namespace is a copy of the
// runtime's that belongs to another user namespace.
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

// mustLock reports whether the source needs locks. A single device node needs none:
// the restrictions of a mount do not protect it.
func mustLock(s plan.Step, fs unix.Statfs_t) bool {
	b, ok := s.(plan.Bind)
	return ok && (lockedAnyway(b) || fs.Flags&restrictions != 0)
}

// lockedAnyway reports whether the source needs locks whatever its restrictions
// are. A recursive bind may contain mounts on top of others. A bind that keeps the
// propagation of its source, or is shared, has to come from the copy: the mounts
// there are slaves, so a mount in the container does not reach the host.
func lockedAnyway(b plan.Bind) bool {
	return b.Recursive || b.Attrs.Propagation == 0 || b.Attrs.Propagation == unix.MS_SHARED
}

// restrictions are the locked flags, as far as statfs(2) shows them.
const restrictions = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC

func (w *walk) relocate(items []int) error {
	if len(items) == 0 {
		return nil
	}
	root, err := unix.Open("/proc/"+strconv.Itoa(w.stub.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open the stub's root", err)
	}
	defer unix.Close(root)
	files, err := w.openAll(root, items)
	if err != nil {
		return err
	}
	for _, i := range items {
		w.trees[i].relocate(files[i])
	}
	return nil
}

// openAll opens the files of trees in the mount namespace of root. Any of them may
// be on a volume that does not answer.
func (w *walk) openAll(root int, items []int) (map[int]int, error) {
	files := map[int]int{}
	var slow []int
	var err error
	for _, i := range items {
		fd, e := w.trees[i].find(root)
		if e == unix.EAGAIN {
			slow = append(slow, i)
			continue
		}
		if e != nil {
			err = failed(w.items[i], e)
			break
		}
		files[i] = fd
	}
	if err == nil {
		err = w.findSlowly(root, slow, files)
	}
	for i, fd := range files {
		if err == nil && fd >= 0 {
			if e := w.trees[i].sameAs(fd); e != nil {
				err = failed(w.items[i], e)
			}
		}
	}
	if err != nil {
		closeFds(slices.DeleteFunc(slices.Collect(maps.Values(files)), func(fd int) bool { return fd < 0 }))
		return nil, err
	}
	return files, nil
}

// find opens the tree's file below root. It returns -1 if the path contains a magic
// link of procfs, which leads out of root. It returns EAGAIN if the kernel would
// have to ask a file system.
func (t *tree) find(root int) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | uint64(noFollow(t.nofollow)), Resolve: unix.RESOLVE_IN_ROOT}
	fd, err := dcache.OpenAt(root, relative(t.name), &how)
	switch err {
	case nil:
		return fd, nil
	case unix.ELOOP, unix.EXDEV:
		return -1, nil
	case unix.EAGAIN:
		return -1, err
	}
	return -1, &Failure{Step: "failed to fulfil mount request: open " + t.name + " in the container's mount namespace", Syscall: "openat2(" + strconv.Quote(t.name) + ", RESOLVE_IN_ROOT)", Errno: err.(unix.Errno)}
}

// sameAs checks that fd is the file that was cloned: another process may have
// replaced the source.
func (t *tree) sameAs(fd int) error {
	same, err := sameFile(fd, t.fd)
	if err == nil && !same {
		err = errors.New("the source " + t.name + " has been replaced meanwhile")
	}
	return err
}

// relocate replaces the tree by its origin fd. Without an origin (-1) the tree stays
// as it is, without locks.
func (t *tree) relocate(fd int) {
	if fd < 0 {
		t.elsewhere = false
		return
	}
	unix.Close(t.fd)
	t.fd, t.origin = fd, true
}

func sameFile(a, b int) (bool, error) {
	const what = unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC // the kernel knows these without the file system
	var x, y unix.Statx_t
	err := errors.Join(unix.Statx(a, "", what, unix.STATX_INO, &x), unix.Statx(b, "", what, unix.STATX_INO, &y))
	return x.Dev_major == y.Dev_major && x.Dev_minor == y.Dev_minor && x.Ino == y.Ino, err
}

// openOrigins has the stub open the origins of sources that the runtime side may
// not clone. It also asks for their types: a missing mountpoint gets the same type.
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
		w.trees[i].there = w.building.Open(source, flags)
		stats[n] = w.building.Statx(w.trees[i].there, "", 0)
	}
	w.building.Tag(tag)
	if err := w.settle(); err != nil {
		return err
	}
	for n, i := range items {
		st := stats[n].Get()
		w.trees[i].origin, w.trees[i].kind = true, st.Mode&unix.S_IFMT
		if d, ok := hostDevice(w.items[i].Step); ok && !isDevice(d, uint32(st.Mode), unix.Mkdev(st.Rdev_major, st.Rdev_minor)) {
			return failed(w.items[i], notDevice(d.FromHost, d))
		}
	}
	return nil
}

// mountOf returns the tree as a mount that can be attached. At an origin the stub
// clones it first.
func (w *walk) mountOf(t *tree, recursive, private bool) *remote.FD {
	if !t.origin {
		return t.there
	}
	m := w.building.OpenTree(t.there, "", recursive)
	if private {
		w.building.MountSetattr(m, "", false, remote.Attr{Propagation: unix.MS_PRIVATE})
	}
	w.building.Close(t.there)
	return m
}

// lockedFailure names the locked flag that cannot be changed.
func (w *walk) lockedFailure(it plan.Item, b *remote.Batch, ce *remote.CallError, a plan.Attrs) error {
	var q remote.Batch
	fs := q.Fstatfs(b.Subject(ce.Index))
	fs.TolerateAll()
	if err := w.ask(&q); err != nil || fs.Errno() != 0 {
		return failed(it, ce)
	}
	return hint(it, ce, lockedHint(fs.Get().Flags, a))
}

// lockedHint compares the flags of the mount with the requested attributes, a, and
// names the locked ones.
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

// all returns the items that have a tree.
func (w *walk) all() []int {
	var items []int
	for i := range w.trees {
		items = append(items, i)
	}
	slices.Sort(items)
	return items
}

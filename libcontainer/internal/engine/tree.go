package engine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/dcache"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

var deviceTypes = map[string]uint32{"c": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}

// checkDevice checks that a node of the host is the device of the step.
func checkDevice(t *tree, s plan.Device) error {
	var st unix.Statx_t
	if err := unix.Statx(t.fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st); err != nil { // the kernel knows
		return &os.PathError{Op: "statx", Path: t.name, Err: err}
	}
	if !isDevice(s, uint32(st.Mode), unix.Mkdev(st.Rdev_major, st.Rdev_minor)) {
		return notDevice(t.name, s)
	}
	return nil
}

func isDevice(s plan.Device, mode uint32, rdev uint64) bool {
	return mode&unix.S_IFMT == deviceTypes[s.Type] && rdev == unix.Mkdev(uint32(s.Major), uint32(s.Minor))
}

func notDevice(name string, s plan.Device) error {
	return fmt.Errorf("the host's %s is not device %s %d:%d: %w", name, s.Type, s.Major, s.Minor, unix.ENODEV)
}

// hostDevice returns the device that a step binds from the host.
func hostDevice(s plan.Step) (plan.Device, bool) {
	switch s := s.(type) {
	case plan.Device:
		return s, true
	case plan.AttachRootfs:
		return plan.Device{Type: "c", Major: 1, Minor: 3, FromHost: "/dev/null"}, true
	}
	return plan.Device{}, false
}

// procMagic is the type of procfs in statfs(2).
const procMagic = unix.PROC_SUPER_MAGIC

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

// tree is a detached mount that the runtime side has cloned for the container. No
// process can walk upward from it, so it gives access to nothing else of the
// host.
type tree struct {
	fd        int    // owned by the walk; -1 if the stub has to open the origin, or has the tree already
	name      string // path of the source
	kind      uint16 // S_IF…; 0 while unknown
	nofollow  bool
	elsewhere bool          // the stub has to clone it (see origin.go)
	origin    bool          // fd and there are not a mount, but the place to clone
	there     *remote.FD    // the descriptor in the stub; nil before the stub has it
	mapped    bool          // the ids are mapped
	fs        unix.Statfs_t // zero unless the step needs it
}

// letGo closes trees that the stub has, or no longer needs.
func letGo(trees map[int]*tree) {
	closeTrees(trees)
	for _, t := range trees {
		t.fd = -1
	}
}

// mayNotClone reports whether this process lacks the privilege to clone trees. It
// asks for a clone of nothing: the kernel checks the privilege first
// (open_tree(2)).
func mayNotClone() bool {
	_, err := unix.OpenTree(-1, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	return err == unix.EPERM
}

// cachedTree returns nil for a source that may block, and for a missing one. The
// later attempt reports the error.
func cachedTree(s plan.Step, source string, recursive, nofollow bool) (*tree, error) {
	if b, ok := s.(plan.Bind); ok && b.Answers {
		return openTree(source, recursive, nofollow)
	}
	fd, err := dcache.OpenFd(source, noFollow(nofollow), 0)
	if err != nil {
		return nil, nil
	}
	defer unix.Close(fd)
	return openTreeAt(fd, source, recursive, nofollow)
}

func noFollow(nofollow bool) int {
	if nofollow {
		return unix.O_NOFOLLOW
	}
	return 0
}

func closeTrees(trees map[int]*tree) {
	fds := make([]int, 0, len(trees))
	for _, t := range trees {
		if t.fd >= 0 {
			fds = append(fds, t.fd)
		}
	}
	closeFds(fds)
}

// closeFds closes descriptors, with one call for each range of neighbours.
func closeFds(fds []int) {
	slices.Sort(fds)
	for len(fds) > 0 {
		n := 1
		for n < len(fds) && fds[n] == fds[0]+n {
			n++
		}
		_ = unix.CloseRange(uint(fds[0]), uint(fds[n-1]), 0)
		fds = fds[n:]
	}
}

// hostSource returns the path that a step needs of the host's file systems, or "".
func hostSource(s plan.Step) (source string, recursive, nofollow bool) {
	switch s := s.(type) {
	case plan.Bind:
		if !s.Inside && !s.CopySymlink {
			return s.Source, s.Recursive, s.SrcNofollow
		}
	case plan.Device:
		return s.FromHost, false, false
	case plan.AttachRootfs:
		if s.MaskSources && s.HostNull {
			return "/dev/null", false, false
		}
	}
	return "", false, false
}

func openTree(source string, recursive, nofollow bool) (*tree, error) {
	flags, names := cloneFlags(recursive)
	if nofollow {
		flags, names = flags|unix.AT_SYMLINK_NOFOLLOW, names+"|AT_SYMLINK_NOFOLLOW"
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, flags)
	if err != nil {
		return nil, &Failure{Step: "failed to fulfil mount request: open " + source, Syscall: fmt.Sprintf("open_tree(AT_FDCWD, %q, %s)", source, names), Errno: err.(unix.Errno)}
	}
	return &tree{fd: fd, name: source, nofollow: nofollow}, nil
}

// openTreeAt is openTree for a source that is open already.
func openTreeAt(at int, source string, recursive, nofollow bool) (*tree, error) {
	flags, names := cloneFlags(recursive)
	fd, err := unix.OpenTree(at, "", flags|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, &Failure{Step: "failed to fulfil mount request: open " + source, Syscall: fmt.Sprintf("open_tree(%s, \"\", %s|AT_EMPTY_PATH)", source, names), Errno: err.(unix.Errno)}
	}
	return &tree{fd: fd, name: source, nofollow: nofollow}, nil
}

func cloneFlags(recursive bool) (flags uint, names string) {
	flags, names = unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC"
	if recursive {
		flags, names = flags|unix.AT_RECURSIVE, names+"|AT_RECURSIVE"
	}
	return flags, names
}

// findKind determines the file type of the source. The kernel knows the type; most
// file systems are not asked (AT_STATX_DONT_SYNC).
func (t *tree) findKind() error {
	var st unix.Statx_t
	if err := unix.Statx(t.fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st); err != nil {
		return &os.PathError{Op: "statx", Path: t.name, Err: err}
	}
	t.kind = st.Mode & unix.S_IFMT
	return nil
}

// prepareTree checks a tree before the stub gets it.
func prepareTree(it plan.Item, t *tree) error {
	if d, ok := hostDevice(it.Step); ok {
		return errors.Join(checkDevice(t, d), t.makePrivate())
	}
	s, ok := it.Step.(plan.Bind)
	switch {
	case ok && s.At.Path == "/proc":
		return checkProcfs(t)
	case ok && s.At.In != "":
		return t.findKind()
	}
	return nil
}

// checkProcfs refuses a source on /proc that is not a procfs.
func checkProcfs(t *tree) error {
	if t.fs.Type != procMagic {
		return fmt.Errorf("%s cannot be mounted because it is not of type proc, as only a procfs may be mounted on /proc: %w", t.name, unix.EPERM)
	}
	return nil
}

// makePrivate removes the tree from the peer group of its original. In the group, a
// mount of the container's root over a device would also appear over the host's
// device.
func (t *tree) makePrivate() error {
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(t.fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr(<%s>, AT_EMPTY_PATH, MS_PRIVATE): %w", t.name, err)
	}
	return nil
}

package engine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/dcache"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

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

// fewSources is the number of sources that are opened at once. More are opened in
// parts of this size (see handOver).
const fewSources = 32

// meanwhile uses the time in which the stub creates namespaces: it calls
// Job.Meanwhile once and opens the sources of bind mounts. If no step gave an
// opportunity, it runs before the first step that needs trees.
func (w *walk) meanwhile() error {
	if err := w.launch(); err != nil { // without new namespaces, nothing has been sent yet
		return err
	}
	if err := w.others(); err != nil {
		return err
	}
	n := w.unopened()
	if n == 0 {
		return nil
	}
	if n > fewSources {
		w.widen(n)
	}
	if _, err := w.openNext(len(w.items)); err != nil {
		return err
	}
	return nil
}

// widen makes the kernel enlarge the descriptor table once, for n more descriptors
// and for the n that replace them (see relocate). Each enlargement is slow: see
// handOver.
func (w *walk) widen(n int) {
	if fd, err := unix.FcntlInt(uintptr(w.stub.Pidfd()), unix.F_DUPFD_CLOEXEC, 2*n+fewSources); err == nil {
		unix.Close(fd)
	}
}

func (w *walk) others() error {
	f := w.Meanwhile
	if f == nil {
		return nil
	}
	w.Meanwhile = nil
	if err := f(w.ctx, w.stub.Pid); err != nil {
		return others{err}
	}
	return nil
}

// openNext opens up to n sources. This process opens the sources for which the
// kernel need not ask a file system. The opener opens the others, which may be on
// a volume that does not answer.
func (w *walk) openNext(n int) (map[int]*tree, error) {
	trees := map[int]*tree{}
	slow, err := w.openCached(n, trees)
	if err == nil {
		err = w.openSlowly(slow, trees)
	}
	if err != nil {
		closeTrees(trees)
		return nil, err
	}
	maps.Copy(w.trees, trees)
	return trees, nil
}

// handOver opens many sources in parts and gives each part to the stub. When the
// number of descriptors of a process passes a power of two, the kernel enlarges
// its table. For a process with threads, such as this one, it waits for all
// processors (expand_fdtable, synchronize_rcu), 10 ms and more. The stub has no
// threads.
func (w *walk) handOver() error {
	if w.unopened() <= fewSources || w.needsTrees() {
		return nil
	}
	for w.unopened() > 0 {
		trees, err := w.openNext(fewSources)
		if err != nil {
			return err
		}
		w.receiveTrees()
		if err := w.cut(); err != nil {
			return err
		}
		letGo(trees)
	}
	return nil
}

// needsTrees reports whether the runtime side still needs the trees after they are
// opened: to map ids, or to find the origins.
func (w *walk) needsTrees() bool {
	mapped := slices.ContainsFunc(w.items, func(it plan.Item) bool {
		b, ok := it.Step.(plan.Bind)
		return ok && b.Idmap != nil
	})
	return mapped || w.copiedByUserns()
}

// letGo closes trees that the stub has, or no longer needs.
func letGo(trees map[int]*tree) {
	closeTrees(trees)
	for _, t := range trees {
		t.fd = -1
	}
}

// unopened returns the number of sources that are not open yet.
func (w *walk) unopened() (n int) {
	for i := w.at; i < len(w.items); i++ {
		if source, _, _ := hostSource(w.items[i].Step); source != "" && w.trees[i] == nil {
			n++
		}
	}
	return n
}

// openCached opens up to n sources for which the kernel need not ask a file
// system. Usually these are most of them. It returns the items of the others.
func (w *walk) openCached(n int, trees map[int]*tree) (slow []int, err error) {
	copied := w.copiedByUserns()
	for i := w.at; i < len(w.items) && len(trees)+len(slow) < n; i++ {
		s := w.items[i].Step
		source, recursive, nofollow := hostSource(s)
		if source == "" || w.trees[i] != nil {
			continue
		}
		if copied && mayNotClone() {
			trees[i] = &tree{fd: -1, name: source, nofollow: nofollow, elsewhere: true}
			continue
		}
		var t *tree
		if !w.asksForMore(s, copied) {
			if t, err = cachedTree(s, source, recursive, nofollow); err != nil {
				return nil, failed(w.items[i], err)
			}
		}
		if t == nil {
			slow = append(slow, i)
			continue
		}
		_, bind := s.(plan.Bind)
		trees[i], t.elsewhere = t, copied && bind
		if err := prepareTree(w.items[i], t); err != nil {
			return nil, failed(w.items[i], err)
		}
	}
	return slow, nil
}

// asksForMore reports whether the walk needs statfs(2) of the source, which asks
// the file system. It has to tell a procfs from other file systems. And it has to
// know whether the mount has restrictions, because the stub clones those that
// have. The stub cannot clone every mount: the kernel refuses a single mount with
// mounts below it, which are locked there (has_locked_children in
// fs/namespace.c).
func (w *walk) asksForMore(s plan.Step, copied bool) bool {
	b, ok := s.(plan.Bind)
	return ok && (b.At.Path == "/proc" || copied && !lockedAnyway(b))
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

// treeIsDir reports whether the root of a tree is a directory. For a mountpoint in
// a mount of the plan the type is known. For a missing mountpoint, treeIsDir asks
// for the types of all trees at once: others are likely to be missing too.
func (w *walk) treeIsDir(it plan.Item, t *tree) (bool, error) {
	if t.kind == 0 {
		if err := w.findKinds(); err != nil {
			return false, failed(it, w.lost(err))
		}
	}
	return t.kind == unix.S_IFDIR, nil
}

// findKinds asks the stub for the types: it has all trees by now.
func (w *walk) findKinds() error {
	var q remote.Batch
	stats := map[*tree]remote.Stat{}
	ask := func() error {
		err := w.ask(&q)
		for t, st := range stats {
			if err == nil {
				t.kind = st.Get().Mode & unix.S_IFMT
			}
		}
		clear(stats)
		q = remote.Batch{}
		return err
	}
	for _, i := range w.all() {
		if t := w.trees[i]; t.kind == 0 && t.there != nil && t.there.Number() >= 0 {
			stats[t] = q.Statx(t.there, "", unix.AT_STATX_DONT_SYNC)
		}
		if q.Size() > maxBatch {
			if err := ask(); err != nil {
				return err
			}
		}
	}
	return ask()
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

func (w *walk) closeTrees() {
	letGo(w.trees)
	for _, ns := range w.mappings {
		ns.Close()
	}
}

func (w *walk) receiveTrees() {
	var files []int
	var names []string
	var list []*tree
	for i := range w.items {
		if t := w.trees[i]; t != nil && t.elsewhere == t.origin && t.fd >= 0 && (t.there == nil || t.there.Number() == remote.Gone) {
			files, names, list = append(files, t.fd), append(names, t.name), append(list, t)
		}
	}
	if len(files) == 0 {
		return
	}
	for i, fd := range w.receive(files, names) {
		list[i].there = fd
	}
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bounded"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// tree is a detached mount that the runtime side made for the container. It
// cannot be walked upward, so nothing else of the host comes with it.
type tree struct {
	file      *os.File // nil where the stub has to open the origin
	dir       bool
	nofollow  bool
	elsewhere bool       // it has to be cloned by the stub
	origin    bool       // not a mount, but the place to clone one from
	fd        *remote.FD // in the stub, once it is there
	mapped    bool       // its ids are
}

// meanwhile is for what the runtime side has to do sometime, while the stub
// makes namespaces: others' work, once, and opening the sources of bind mounts.
func (w *walk) meanwhile() error {
	if f := w.Meanwhile; f != nil {
		w.Meanwhile = nil
		if err := f(w.ctx); err != nil {
			return others{err}
		}
	}
	if err := w.openCached(); err != nil {
		return err
	}
	if !w.hasSources() {
		return nil
	}
	// Any of them may be a volume that does not answer.
	ctx, stop := context.WithTimeoutCause(w.ctx, w.timeout(), remote.ErrTimeout)
	defer stop()
	trees, err := bounded.Do(ctx, w.openSources, closeTrees)
	if err != nil {
		return w.lost(err)
	}
	maps.Copy(w.trees, trees)
	return nil
}

func (w *walk) hasSources() bool {
	for i := w.at; i < len(w.items); i++ {
		if source, _, _ := hostSource(w.items[i].Step); source != "" && w.trees[i] == nil {
			return true
		}
	}
	return false
}

// openCached opens the sources for which no file system has to be asked: most,
// most of the time. Where there is a user namespace, or a procfs has to be
// told from other file systems, their file systems are asked for more.
func (w *walk) openCached() error {
	if w.copiedByUserns() {
		return nil
	}
	for i := w.at; i < len(w.items); i++ {
		source, recursive, nofollow := hostSource(w.items[i].Step)
		if b, ok := w.items[i].Step.(plan.Bind); source == "" || w.trees[i] != nil || ok && b.At.Path == "/proc" {
			continue
		}
		t, err := cachedTree(w.items[i].Step, source, recursive, nofollow)
		if t == nil && err == nil {
			continue
		}
		if err == nil {
			w.trees[i] = t
			err = prepareTree(w.items[i], t)
		}
		if err != nil {
			return failed(w.items[i], err)
		}
	}
	return nil
}

// cachedTree is nil for a source that may have to be waited for, or that is not
// there: that will be said.
func cachedTree(s plan.Step, source string, recursive, nofollow bool) (*tree, error) {
	if b, ok := s.(plan.Bind); ok && b.Answers {
		return openTree(source, recursive, nofollow)
	}
	f, err := bounded.Cached(source, noFollow(nofollow), 0)
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	return openTreeAt(f, recursive, nofollow)
}

func noFollow(nofollow bool) int {
	if nofollow {
		return unix.O_NOFOLLOW
	}
	return 0
}

// openSources opens all that are still to be opened, or none.
func (w *walk) openSources() (map[int]*tree, error) {
	trees := map[int]*tree{}
	for i := w.at; i < len(w.items); i++ {
		source, recursive, nofollow := hostSource(w.items[i].Step)
		if source == "" || w.trees[i] != nil {
			continue
		}
		t, err := openTree(source, recursive, nofollow)
		if isErrno(err, unix.EPERM) && w.copiedByUserns() {
			trees[i] = &tree{nofollow: nofollow, elsewhere: true}
			continue
		}
		if err == nil {
			trees[i] = t
			err = prepareTree(w.items[i], t)
		}
		if err != nil {
			closeTrees(trees)
			return nil, failed(w.items[i], err)
		}
		t.elsewhere = w.copiedByUserns() && mustLock(w.items[i].Step, t)
	}
	return trees, nil
}

func closeTrees(trees map[int]*tree) {
	for _, t := range trees {
		t.file.Close()
	}
}

// hostSource is what a step needs of the host's file systems.
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
		return nil, &Failure{Step: "open the source " + source, Syscall: fmt.Sprintf("open_tree(AT_FDCWD, %q, %s)", source, names), Errno: err.(unix.Errno)}
	}
	return newTree(fd, source, nofollow)
}

// openTreeAt is openTree for a source that has been found.
func openTreeAt(source *os.File, recursive, nofollow bool) (*tree, error) {
	flags, names := cloneFlags(recursive)
	fd, err := unix.OpenTree(int(source.Fd()), "", flags|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, &Failure{Step: "open the source " + source.Name(), Syscall: fmt.Sprintf("open_tree(%s, \"\", %s|AT_EMPTY_PATH)", source.Name(), names), Errno: err.(unix.Errno)}
	}
	return newTree(fd, source.Name(), nofollow)
}

func cloneFlags(recursive bool) (flags uint, names string) {
	flags, names = unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC"
	if recursive {
		flags, names = flags|unix.AT_RECURSIVE, names+"|AT_RECURSIVE"
	}
	return flags, names
}

// newTree owns fd.
func newTree(fd int, source string, nofollow bool) (*tree, error) {
	f := os.NewFile(uintptr(fd), source)
	var st unix.Statx_t
	// The type is what the kernel knows already; the file system is not asked.
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "statx", Path: source, Err: err}
	}
	return &tree{file: f, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR, nofollow: nofollow}, nil
}

// prepareTree checks what came from the host, while the tree is still nobody's.
func prepareTree(it plan.Item, t *tree) error {
	if d, ok := hostDevice(it.Step); ok {
		return errors.Join(checkDevice(t.file, d), t.makePrivate())
	}
	if s, ok := it.Step.(plan.Bind); ok && s.At.Path == "/proc" {
		return checkProcfs(t.file)
	}
	return nil
}

// checkProcfs is for what is bound on /proc.
func checkProcfs(f *os.File) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "fstatfs", Path: f.Name(), Err: err}
	}
	if st.Type != procMagic {
		return fmt.Errorf("only a procfs may be mounted on /proc, and %s is none: %w", f.Name(), unix.EPERM)
	}
	return nil
}

// makePrivate takes the tree out of the peer group of the mount it was cloned
// from: what the container's root mounted over a device would appear over the
// host's, too.
func (t *tree) makePrivate() error {
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(int(t.file.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr(<%s>, AT_EMPTY_PATH, MS_PRIVATE): %w", t.file.Name(), err)
	}
	return nil
}

func (w *walk) closeTrees() {
	closeTrees(w.trees)
	for _, ns := range w.mappings {
		ns.Close()
	}
}

// attachRootfs is the first step that uses trees: the stub gets all of them
// here, in one message or a few.
func (w *walk) attachRootfs(s plan.AttachRootfs) error {
	if err := w.meanwhile(); err != nil {
		return err
	}
	if err := w.origins(w.all()); err != nil {
		return err
	}
	if err := w.mapTrees(); err != nil {
		return err
	}
	w.receiveTrees()
	b := w.building
	w.root = b.OpenTree(remote.Cwd(), ".", true)
	w.root.SetName("rootfs")
	if s.MaskSources {
		w.maskSources(s)
	}
	b.MoveMountAt(w.root, ".")
	b.Fchdir(w.root)
	return nil
}

func (w *walk) receiveTrees() {
	var files []*os.File
	var names []string
	var list []*tree
	for i := range w.items {
		if t := w.trees[i]; t != nil && t.elsewhere == t.origin && t.file != nil && (t.fd == nil || t.fd.Number() == remote.Gone) {
			files, names, list = append(files, t.file), append(names, t.file.Name()), append(list, t)
		}
	}
	if len(files) == 0 {
		return
	}
	for i, fd := range w.receive(files, names) {
		list[i].fd = fd
	}
}

// target resolves where a mount goes, once, to the descriptor that is its only
// handle from then on. file tells the kind of mountpoint to make where that is
// free of risk: in a mount of the plan.
func (w *walk) target(at plan.Place, file bool, flags, resolve uint64) *remote.FD {
	b := w.building
	if dir := w.freshDir(at); dir != nil {
		if file {
			b.Mknodat(dir, at.Name, unix.S_IFREG|0o644, 0).Tolerate(unix.EEXIST)
		} else {
			b.Mkdirat(dir, at.Name, 0o755).Tolerate(unix.EEXIST)
		}
		return b.Openat2(dir, at.Name, unix.O_PATH|flags, 0, remote.Beneath)
	}
	return b.Openat2(w.root, relative(at.Path), unix.O_PATH|flags, 0, resolve)
}

// freshDir is the mount that a place is in, where the plan made it.
func (w *walk) freshDir(at plan.Place) *remote.FD {
	if at.In == "" {
		return nil
	}
	return w.kept[at.In]
}

// relative is a clean absolute path as seen from the root's descriptor.
func relative(p string) string {
	if p == "/" {
		return "."
	}
	return strings.TrimPrefix(p, "/")
}

func (w *walk) mount(s plan.Mount) error {
	flags, resolve := mountFlags(s)
	to := w.target(s.At, false, flags, resolve)
	if err := w.notProc(to, s.At); err != nil {
		return err
	}
	if s.ModeFromTarget {
		mode, err := w.modeOf(to, s.At)
		if err != nil {
			return err
		}
		s.Params = append([]plan.Param{{Key: "mode", Value: mode}}, s.Params...)
	}
	if s.Type == "proc" && s.JoinedPID {
		return w.attach(w.joinedProc(s), to, s)
	}
	return w.attach(w.newMount(s), to, s)
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

// newMount makes a detached mount.
func (w *walk) newMount(s plan.Mount) *remote.FD {
	b := w.building
	ctx := b.Fsopen(s.Type)
	if s.Source != "" {
		b.FsconfigString(ctx, "source", s.Source)
	}
	w.parameters(ctx, s.Params)
	b.FsconfigCreate(ctx)
	m := b.Fsmount(ctx, s.At.Path, s.Attrs.Set)
	b.Close(ctx)
	if s.RootLabel != "" {
		root := b.Openat2(m, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, remote.Beneath)
		b.Fsetxattr(root, "security.selinux", s.RootLabel)
		b.Close(root)
	}
	return m
}

func (w *walk) parameters(ctx *remote.FD, list []plan.Param) {
	for _, p := range list {
		if p.Value == "" {
			w.building.FsconfigFlag(ctx, p.Key)
		} else {
			w.building.FsconfigString(ctx, p.Key, p.Value)
		}
	}
}

func (w *walk) attach(m, to *remote.FD, s plan.Mount) error {
	rest := s.Attrs
	rest.Set, rest.Clear = 0, 0
	w.attributes(m, rest)
	if s.CopyUp {
		if err := w.copyUp(s.At, m); err != nil {
			return err
		}
	}
	if s.Idmap != nil {
		if err := w.mapMount(m, s.At.Path, s.Idmap); err != nil {
			return err
		}
	}
	if s.Keep {
		w.kept[s.At.Path] = m
	}
	return w.put(m, to, s.Keep)
}

// attributes applies to the mount, then to all of the tree.
func (w *walk) attributes(m *remote.FD, a plan.Attrs) {
	one := remote.Attr{Set: a.Set, Clear: a.Clear}
	all := remote.Attr{Set: a.RecSet, Clear: a.RecClear}
	if a.PropagationRec {
		all.Propagation = a.Propagation
	} else {
		one.Propagation = a.Propagation
	}
	if !one.IsZero() {
		w.building.MountSetattr(m, "", false, one)
	}
	if !all.IsZero() {
		w.building.MountSetattr(m, "", true, all)
	}
}

// modeOf is the mode of the directory that a tmpfs will cover, asked of the
// descriptor that it will be attached to.
func (w *walk) modeOf(to *remote.FD, at plan.Place) (string, error) {
	if w.freshDir(at) != nil {
		return "755", nil // that of the mountpoint that is made for it
	}
	st := w.building.Statx(to, "", 0)
	if err := w.settle(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%o", st.Get().Mode&0o7777), nil
}

// procMagic is what statfs(2) says of procfs.
const procMagic = unix.PROC_SUPER_MAGIC

// notProc refuses a destination that turns out to be in procfs, by way of a
// symlink. It is known only when the batch is back, behind the mount, but
// before anything of the container has run, and the mount goes with the stub.
// In a container that runs already it has to be known before.
func (w *walk) notProc(to *remote.FD, at plan.Place) error {
	if w.freshDir(at) != nil || at.Path == "/proc" {
		return nil
	}
	magic := w.building.Statfs(to)
	w.later(func() error {
		if magic.Magic() == procMagic && !plan.InProc(at.Path) {
			return fmt.Errorf("%s leads into /proc, where nothing may be mounted: %w", at.Path, unix.EPERM)
		}
		return nil
	})
	if w.live != nil {
		return w.notShared(to, at)
	}
	return nil
}

func (w *walk) bind(s plan.Bind) error {
	b := w.building
	if s.CopySymlink {
		return w.copySymlink(s)
	}
	if t := w.trees[w.at]; t != nil {
		return w.bindTree(s, t)
	}
	from := b.Openat2(w.root, relative("/"+strings.TrimPrefix(strings.TrimPrefix(s.Source, w.rootfs()), "/")), unix.O_PATH, 0, remote.InRoot)
	if err := w.checkInside(from, s); err != nil {
		return err
	}
	b = w.building
	m := b.OpenTree(from, "", s.Recursive)
	b.Close(from)
	w.attributes(m, s.Attrs)
	if s.Idmap != nil {
		if err := w.mapMount(m, s.Source, s.Idmap); err != nil {
			return err
		}
		b = w.building
	}
	to := b.Openat2(w.root, relative(s.At.Path), unix.O_PATH|destFlags(s), 0, remote.InRoot)
	if err := w.notProc(to, s.At); err != nil {
		return err
	}
	return w.put(m, to, false)
}

// checkInside refuses a source in the container that turns out to be in procfs,
// by way of a symlink: its clone would be without the masks and read-only mounts
// that are on it. In a container that runs, the mount keeps what it forbids, as
// the kernel has it between user namespaces. As in notProc, there it has to be
// known before.
func (w *walk) checkInside(from *remote.FD, s plan.Bind) error {
	st := w.building.Statfs(from)
	w.later(func() error {
		inside := "/" + strings.TrimPrefix(strings.TrimPrefix(s.Source, w.rootfs()), "/")
		if st.Magic() == procMagic && (w.live != nil || !plan.InProc(inside)) {
			return fmt.Errorf("the source %s leads into /proc, of which nothing may be mounted elsewhere: %w", inside, unix.EPERM)
		}
		if w.live != nil && s.Attrs.Clear&plan.Forbidding&attrsOf(st.Flags()) != 0 {
			return fmt.Errorf("the source %s is on a mount that is more restricted in the container, as ro, nosuid, nodev, noexec or nosymfollow, and stays so: %w", inside, unix.EPERM)
		}
		return nil
	})
	if w.live != nil {
		return w.settle()
	}
	return nil
}

// attrsOf are the attributes of a mount as statfs(2) has them.
func attrsOf(flags int64) (attrs uint64) {
	for _, f := range []struct {
		flag int64
		attr uint64
	}{
		{unix.ST_RDONLY, unix.MOUNT_ATTR_RDONLY},
		{unix.ST_NOSUID, unix.MOUNT_ATTR_NOSUID},
		{unix.ST_NODEV, unix.MOUNT_ATTR_NODEV},
		{unix.ST_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
		{0x2000, unix.MOUNT_ATTR_NOSYMFOLLOW}, // ST_NOSYMFOLLOW (linux/statfs.h), which x/sys/unix has not
	} {
		if flags&f.flag != 0 {
			attrs |= f.attr
		}
	}
	return attrs
}

// bindTree attaches a tree of the host.
func (w *walk) bindTree(s plan.Bind, t *tree) error {
	to := w.target(s.At, !t.dir, destFlags(s), remote.InRoot)
	if err := w.notProc(to, s.At); err != nil {
		return err
	}
	m := w.mountOf(t, s.Recursive, false)
	w.attributes(m, s.Attrs)
	if s.Idmap != nil && !t.mapped {
		if err := w.mapMount(m, s.Source, s.Idmap); err != nil {
			return err
		}
	}
	return w.put(m, to, false)
}

func destFlags(s plan.Bind) uint64 {
	if s.DestNofollow {
		return unix.O_NOFOLLOW
	}
	return 0
}

// rootfs is the path that sources inside of the root file system begin with.
func (w *walk) rootfs() string {
	for _, it := range w.items {
		switch s := it.Step.(type) {
		case plan.AttachRootfs:
			return s.Path
		case plan.HoldRoot:
			return s.Path
		}
	}
	return ""
}

func (w *walk) remount(s plan.Remount) error {
	if m := w.kept[s.At.Path]; s.Kept && m != nil {
		w.reconfigure(m, s)
		return nil
	}
	fd := w.building.Openat2(w.root, relative(s.At.Path), unix.O_PATH, 0, remote.InRoot)
	w.reconfigure(fd, s)
	w.building.Close(fd)
	return nil
}

// reconfigure changes the parameters of the file system, then the attributes
// of the mount.
func (w *walk) reconfigure(m *remote.FD, s plan.Remount) {
	if b := w.building; len(s.Params) > 0 {
		ctx := b.Fspick(m)
		w.parameters(ctx, s.Params)
		b.FsconfigReconfigure(ctx)
		b.Close(ctx)
	}
	w.attributes(m, s.Attrs)
}

func (w *walk) slowRemount(it plan.Item, s plan.Remount, b *remote.Batch, ce *remote.CallError) error {
	if isCall(ce, "mount_setattr") && ce.Errno == unix.EPERM {
		return w.lockedFailure(it, b, ce, s.Attrs)
	}
	return failed(it, ce)
}

// slowMount is for a mountpoint that is not there, and for file systems that
// the kernel refuses here.
func (w *walk) slowMount(it plan.Item, s plan.Mount, ce *remote.CallError) (bool, error) {
	switch {
	case s.JoinedPID && w.live != nil && isCall(ce, "fsconfig") && ce.Errno == unix.EINVAL:
		// The other way takes a privileged process in the pid namespace.
		return false, hint(it, ce, "mounting a procfs in a container that runs takes Linux 6.18")
	case s.JoinedPID && !w.noPidnsOption && isCall(ce, "fsconfig") && ce.Errno == unix.EINVAL:
		w.noPidnsOption = true
		return true, nil
	case isCall(ce, "openat2") && ce.Errno == unix.ENOENT:
		return true, w.makeMountpoint(it, s.At.Path, false)
	case isCall(ce, "openat2") && s.Ordinary && (ce.Errno == unix.ELOOP || ce.Errno == unix.ENOTDIR):
		return false, hint(it, ce, s.At.Path+" must be an ordinary directory, not a symlink")
	case s.OrBind != "" && (isCall(ce, "fsconfig") || isCall(ce, "fsmount") || isCall(ce, "fsopen")) && isErrno(ce, unix.EPERM, unix.EBUSY):
		attrs := s.Attrs
		if attrs.Propagation == 0 {
			attrs.Propagation = unix.MS_PRIVATE // no peer of the host's mount
		}
		w.items[w.at].Step = plan.Bind{Source: s.OrBind, At: s.At, Attrs: attrs}
		return true, w.lateTree()
	case s.Type == "proc" && ce.Errno == unix.EPERM:
		return false, hint(it, ce, "the kernel lets nobody mount a new procfs where the one that is visible here is covered in part; the runtime is probably in a container itself")
	case s.Type == "sysfs" && ce.Errno == unix.EPERM:
		return false, hint(it, ce, "mounting sysfs takes a network namespace that belongs to the container's user namespace: bind /sys instead")
	case isCall(ce, "fsopen") && ce.Errno == unix.ENODEV:
		return false, hint(it, ce, "the kernel has no file system "+s.Type)
	}
	return false, nil
}

// lateTree opens the source of a bind mount that the plan did not foresee, and
// hands it over.
func (w *walk) lateTree() error {
	if err := w.meanwhile(); err != nil {
		return err
	}
	if err := w.origins([]int{w.at}); err != nil {
		return err
	}
	t := w.trees[w.at]
	if t.file == nil {
		return nil
	}
	var q remote.Batch
	fd := q.ReceiveFiles(w.stub.Control(), []string{t.file.Name()})[0]
	if err := w.stub.Send(&q); err != nil {
		return err
	}
	if err := w.stub.SendFiles(&q, []*os.File{t.file}); err != nil {
		return err
	}
	t.fd = fd
	return w.stub.Receive(&q)
}

func (w *walk) slowBind(it plan.Item, s plan.Bind, b *remote.Batch, ce *remote.CallError) (bool, error) {
	t := w.trees[w.at]
	if isCall(ce, "openat2") && ce.Errno == unix.ENOENT {
		file := t != nil && !t.dir
		if t == nil {
			var err error
			if file, err = w.insideFile(it, s); err != nil {
				return false, err
			}
		}
		return true, w.makeMountpoint(it, s.At.Path, file)
	}
	switch {
	case isCall(ce, "move_mount") && (ce.Errno == unix.ENOTDIR || ce.Errno == unix.EINVAL) && t != nil:
		return false, w.kindMismatch(it, s, t, ce)
	case isCall(ce, "open_tree") && ce.Errno == unix.EINVAL && !s.Recursive:
		return false, hint(it, ce, "something is mounted below the source, and a container with a user namespace may not look under it: use rbind")
	case isCall(ce, "mount_setattr") && ce.Errno == unix.EPERM:
		return false, w.lockedFailure(it, b, ce, s.Attrs)
	}
	return false, nil
}

// kindMismatch says what engines look for when a file meets a directory.
func (w *walk) kindMismatch(it plan.Item, s plan.Bind, t *tree, ce *remote.CallError) error {
	kind := "a file"
	if t.dir {
		kind = "a directory"
	}
	f := &Failure{Field: it.Field, Step: it.Step.String(), Syscall: ce.Call, Errno: unix.ENOTDIR}
	f.Hint = s.Source + " is " + kind + ", the destination is not: are you trying to mount a directory onto a file (or vice-versa)?"
	return f
}

// insideFile tells whether a source in the root file system is a file.
func (w *walk) insideFile(it plan.Item, s plan.Bind) (bool, error) {
	var q remote.Batch
	rel := relative("/" + strings.TrimPrefix(strings.TrimPrefix(s.Source, w.rootfs()), "/"))
	fd := q.Openat2(w.root, rel, unix.O_PATH, 0, remote.InRoot)
	st := q.Statx(fd, "", 0)
	q.Close(fd)
	if err := w.ask(&q); err != nil {
		return false, failed(it, err)
	}
	return st.Get().Mode&unix.S_IFMT != unix.S_IFDIR, nil
}

func isCall(ce *remote.CallError, name string) bool {
	return strings.HasPrefix(ce.Call, name+"(")
}

package engine

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// attachRootfs attaches a clone of the root file system over the original. It is
// the first step that uses trees: before it all sources are opened, their ids
// mapped, and the stub receives them in one message or a few. So no bind source
// is looked up after anything is mounted in the container.
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
	return w.notProc(w.root, plan.Place{Path: "/"})
}

// target resolves the destination of a mount once. All later calls use the
// descriptor, so the container cannot redirect them. In a mount of the plan,
// target also creates the mountpoint; file selects its kind. Only there is this
// free of risk: no other entry can be in the way.
func (w *walk) target(at plan.Place, file bool, flags, resolve uint64) *remote.FD {
	b := w.building
	if dir := w.freshDir(at); dir != nil {
		makeNode(&b.Batch, dir, at.Name, file).Tolerate(unix.EEXIST)
		return b.Openat2(dir, at.Name, unix.O_PATH|flags, 0, remote.Beneath)
	}
	return b.Openat2(w.root, relative(at.Path), unix.O_PATH|flags, 0, resolve)
}

// destination resolves the destination of a mount and makes sure that it is not
// in procfs. If no mount may be crossed (onRoot), the destination is on the same
// mount as the root, and the check is not needed: it would be a statfs, which
// asks the file system.
func (w *walk) destination(at plan.Place, file bool, flags, resolve uint64) (*remote.FD, error) {
	if w.onRoot(at) {
		return w.target(at, file, flags, resolve|unix.RESOLVE_NO_XDEV), nil
	}
	to := w.target(at, file, flags, resolve)
	return to, w.notProc(to, at)
}

// onRoot reports whether no known mount covers the place or a parent of it. The
// assumption may be false: a symlink may lead to a mount, or the root file system
// may consist of several mounts. Then openat2 fails with EXDEV, slow sets
// places.crossed, and the walk makes no such assumption from there on.
func (w *walk) onRoot(at plan.Place) bool {
	return !at.Below && !w.places.crossed && w.live == nil && at.Path != "/proc"
}

// freshDir returns the mount of the plan that contains the place directly, or nil.
func (w *walk) freshDir(at plan.Place) *remote.FD {
	if at.In == "" {
		return nil
	}
	return w.kept[at.In]
}

// relative turns a clean absolute path into a path below the root's descriptor.
func relative(p string) string {
	if p == "/" {
		return "."
	}
	return strings.TrimPrefix(p, "/")
}

func (w *walk) mount(s plan.Mount) error {
	flags, resolve := mountFlags(s)
	to, err := w.destination(s.At, false, flags, resolve)
	if err != nil {
		return err
	}
	if s.ModeFromTarget && !w.places.made[w.at] {
		mode, err := w.modeOf(to)
		if err != nil {
			return err
		}
		s.Params = append([]plan.Param{{Key: "mode", Value: mode}}, s.Params...)
	}
	if s.Type == "proc" && s.JoinedPID {
		m, err := w.joinedProc(s)
		if err != nil {
			return err
		}
		return w.attach(m, to, s)
	}
	if hasLong(s) {
		return w.longMount(s, to)
	}
	m, err := w.newMount(s)
	if err != nil {
		return err
	}
	return w.attach(m, to, s)
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

// newMount creates a detached mount.
func (w *walk) newMount(s plan.Mount) (*remote.FD, error) {
	ctx := w.fileSystem(s)
	if err := w.parameters(ctx, s.Params); err != nil {
		return nil, err
	}
	b := w.building
	b.FsconfigCreate(ctx)
	m := b.Fsmount(ctx, s.At.Path, s.Attrs.Set)
	b.Close(ctx)
	if s.RootLabel != "" {
		root := b.Openat2(m, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, remote.Beneath)
		b.Fsetxattr(root, "security.selinux", s.RootLabel)
		b.Close(root)
	}
	return m, nil
}

// fileSystem begins a file system, with the source that mountinfo will show.
func (w *walk) fileSystem(s plan.Mount) *remote.FD {
	ctx := w.building.Fsopen(s.Type)
	if s.Source != "" {
		w.building.FsconfigString(ctx, "source", s.Source)
	}
	return ctx
}

// parameters sets the parameters. It flushes if they do not fit into one batch.
func (w *walk) parameters(ctx *remote.FD, list []plan.Param) error {
	for _, p := range list {
		if w.overfull() {
			if err := w.settle(); err != nil {
				return err
			}
		}
		if p.Value == "" {
			w.building.FsconfigFlag(ctx, p.Key)
		} else {
			w.building.FsconfigString(ctx, p.Key, p.Value)
		}
	}
	return nil
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

// unlessLocked clears the implied attributes, unless the kernel has locked them.
// The call is separate, because it may fail; the other attributes have to
// succeed.
func (w *walk) unlessLocked(m *remote.FD, a *plan.Attrs) {
	if a.Implied != 0 {
		w.building.MountSetattr(m, "", false, remote.Attr{Clear: a.Implied}).Tolerate(unix.EPERM)
		a.Implied = 0
	}
}

// attributes sets the attributes of the mount, then those of the whole tree.
func (w *walk) attributes(m *remote.FD, a plan.Attrs) {
	if a.First != 0 {
		w.building.MountSetattr(m, "", true, remote.Attr{Propagation: a.First})
	}
	one := remote.Attr{Set: a.Set, Clear: a.Clear | a.Implied}
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

// modeOf returns the mode of the directory that a tmpfs will cover. It asks
// through the descriptor to which the tmpfs will be attached.
func (w *walk) modeOf(to *remote.FD) (string, error) {
	st := w.building.Statx(to, "", 0)
	if err := w.settle(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%o", st.Get().Mode&0o7777), nil
}

// procMagic is the type of procfs in statfs(2).
const procMagic = unix.PROC_SUPER_MAGIC

// notProc refuses a destination in procfs, to which a symlink may lead. The
// result is known after the batch, when the mount is already there. That is early
// enough in a new container: no program of it has run, and the mount disappears
// with the stub. In a running container, notProc waits for the result before the
// mount.
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
	m := b.OpenTree(from, "", s.Recursive)
	b.Close(from)
	w.attributes(m, s.Attrs)
	if s.Idmap != nil {
		if err := w.mapMount(m, s.Source, s.Idmap); err != nil {
			return err
		}
	}
	to, err := w.destination(plan.Place{Path: s.At.Path, Below: s.At.Below}, false, destFlags(s), remote.InRoot)
	if err != nil {
		return err
	}
	return w.put(m, to, false)
}

// checkInside refuses a source in procfs, to which a symlink may lead: the clone
// would lack the masks and read-only mounts on top of it. In a running container
// it also refuses to clear restrictions of the source's mount (ro, nosuid, …), as
// the kernel does between user namespaces. There it waits for the result before
// the mount, like notProc.
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

// attrsOf converts the flags of a mount in statfs(2) to attributes.
func attrsOf(flags int64) (attrs uint64) {
	for _, f := range []struct {
		flag int64
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
func (w *walk) bindTree(s plan.Bind, t *tree) error {
	to, err := w.destination(s.At, t.kind != unix.S_IFDIR, destFlags(s), remote.InRoot)
	if err != nil {
		return err
	}
	m := w.mountOf(t, s.Recursive, false)
	if t.origin {
		w.unlessLocked(m, &s.Attrs)
	}
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

// rootfs returns the path of the root file system on the host. Sources inside it
// begin with this path.
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
		return w.reconfigure(m, s)
	}
	fd := w.building.Openat2(w.root, relative(s.At.Path), unix.O_PATH, 0, remote.InRoot)
	if err := w.reconfigure(fd, s); err != nil {
		return err
	}
	w.building.Close(fd)
	return nil
}

// reconfigure changes the parameters of the file system, then the attributes of
// the mount.
func (w *walk) reconfigure(m *remote.FD, s plan.Remount) error {
	if len(s.Params) > 0 {
		ctx := w.building.Fspick(m)
		if err := w.parameters(ctx, s.Params); err != nil {
			return err
		}
		w.building.FsconfigReconfigure(ctx)
		w.building.Close(ctx)
	}
	w.attributes(m, s.Attrs)
	return nil
}

func (w *walk) slowRemount(it plan.Item, s plan.Remount, b *remote.Batch, ce *remote.CallError) error {
	if isCall(ce, "mount_setattr") && ce.Errno == unix.EPERM {
		return w.lockedFailure(it, b, ce, s.Attrs)
	}
	return failed(it, ce)
}

// slowMount creates a missing mountpoint, and replaces a file system that the
// kernel refuses here: a procfs with pidns= by one from a child, a refused mount
// by its bind mount (OrBind).
func (w *walk) slowMount(it plan.Item, s plan.Mount, ce *remote.CallError) (bool, error) {
	switch {
	case s.JoinedPID && w.live != nil && isCall(ce, "fsconfig") && ce.Errno == unix.EINVAL:
		// The other way needs a privileged process in the pid namespace.
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
			attrs.Propagation = unix.MS_PRIVATE // not a peer of the host's mount
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

// lateTree opens the source of a bind mount that replaces another step, and hands
// it over.
func (w *walk) lateTree() error {
	if err := w.meanwhile(); err != nil {
		return err
	}
	if err := w.origins([]int{w.at}); err != nil {
		return err
	}
	t := w.trees[w.at]
	if t.fd < 0 {
		return nil
	}
	var q remote.Batch
	fd := q.ReceiveFiles(w.stub.Control(), []string{t.name})[0]
	if err := w.stub.Send(&q); err != nil {
		return err
	}
	if err := w.stub.SendFiles(&q, []int{t.fd}); err != nil {
		return err
	}
	t.there = fd
	return w.stub.Receive(&q)
}

func (w *walk) slowBind(it plan.Item, s plan.Bind, b *remote.Batch, ce *remote.CallError) (bool, error) {
	t := w.trees[w.at]
	if isCall(ce, "openat2") && ce.Errno == unix.ENOENT {
		dir, err := w.isDir(t, it, s)
		if err != nil {
			return false, err
		}
		return true, w.makeMountpoint(it, s.At.Path, !dir)
	}
	switch {
	case isCall(ce, "move_mount") && (ce.Errno == unix.ENOTDIR || ce.Errno == unix.EINVAL) && t != nil:
		return false, w.kindMismatch(it, s, t, ce)
	case isCall(ce, "open_tree") && ce.Errno == unix.EINVAL && !s.Recursive:
		return false, hint(it, ce, "something is mounted below the source, and a container with a user namespace may not look under it: use rbind")
	case isCall(ce, "mount_setattr") && ce.Errno == unix.EPERM && s.Attrs.Implied != 0 && (t == nil || !t.origin):
		s.Attrs.Implied = 0 // locked flags stay; config.json does not ask to clear them
		w.items[w.at].Step = s
		return true, nil
	case isCall(ce, "mount_setattr") && ce.Errno == unix.EPERM:
		return false, w.lockedFailure(it, b, ce, s.Attrs)
	}
	return false, nil
}

// kindMismatch returns the error that engines look for if a file meets a
// directory.
func (w *walk) kindMismatch(it plan.Item, s plan.Bind, t *tree, ce *remote.CallError) error {
	dir, err := w.treeIsDir(it, t)
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
func (w *walk) isDir(t *tree, it plan.Item, s plan.Bind) (bool, error) {
	if t != nil {
		return w.treeIsDir(it, t)
	}
	var q remote.Batch
	rel := relative("/" + strings.TrimPrefix(strings.TrimPrefix(s.Source, w.rootfs()), "/"))
	fd := q.Openat2(w.root, rel, unix.O_PATH, 0, remote.InRoot)
	st := q.Statx(fd, "", 0)
	q.Close(fd)
	if err := w.ask(&q); err != nil {
		return false, failed(it, err)
	}
	return st.Get().Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

func isCall(ce *remote.CallError, name string) bool {
	return strings.HasPrefix(ce.Call, name+"(")
}

package engine

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// sysctl writes through a procfs of the plan's own making, by a path of which
// no component is a symlink and none leads to another mount: what is written is
// what was checked (CVE-2025-52881).
func (w *walk) sysctl(s plan.Sysctl) error {
	b := w.building
	fd := b.Openat2(w.sysctlProc(), "sys/"+strings.Join(s.Path, "/"), unix.O_WRONLY, 0, remote.Beneath|unix.RESOLVE_NO_XDEV)
	b.Write(fd, s.Value)
	b.Close(fd)
	return nil
}

func (w *walk) sysctlProc() *remote.FD {
	switch {
	case w.procfs != nil && w.procfs.Number() != remote.Gone:
		return w.procfs
	case w.kept["/proc"] != nil && !w.readonlyProc():
		return w.kept["/proc"]
	}
	b := w.building
	ctx := b.Fsopen("proc")
	b.FsconfigCreate(ctx)
	w.procfs = b.Fsmount(ctx, "procfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	b.Close(ctx)
	return w.procfs
}

// readonlyProc tells whether the container's own procfs can be written to.
func (w *walk) readonlyProc() bool {
	for _, it := range w.items {
		if m, ok := it.Step.(plan.Mount); ok && m.At.Path == "/proc" {
			return m.Attrs.Set&unix.MOUNT_ATTR_RDONLY != 0
		}
	}
	return false
}

// slowSysctl turns to the procfs of the old root, which is the host's and
// still there, where the kernel refuses us one of our own.
func (w *walk) slowSysctl(it plan.Item, s plan.Sysctl, ce *remote.CallError) (bool, error) {
	switch {
	case ce.Errno == unix.EPERM && (isCall(ce, "fsmount") || isCall(ce, "fsopen") || isCall(ce, "fsconfig")):
		var q remote.Batch
		w.procfs = q.Open("/proc", unix.O_PATH|unix.O_DIRECTORY)
		return true, w.ask(&q)
	case isCall(ce, "openat2") && ce.Errno == unix.ENOENT:
		return false, hint(it, ce, "this kernel has no such parameter")
	}
	return false, nil
}

// joinedProc mounts a procfs of the pid namespace that was joined, which the
// stub itself is not in: by the file system's own parameter (Linux 6.18), or
// in a child that shares the stub's memory and descriptors and lives for these
// few calls only.
func (w *walk) joinedProc(s plan.Mount) *remote.FD {
	ns := w.joinedPID()
	if !w.noPidnsOption {
		b := w.building
		ctx := w.fileSystem(s)
		b.FsconfigFD(ctx, "pidns", ns)
		w.parameters(ctx, s.Params)
		b.FsconfigCreate(ctx)
		m := b.Fsmount(ctx, s.At.Path, s.Attrs.Set)
		b.Close(ctx)
		return m
	}
	b := w.building
	child := b.CloneShared()
	ctx := w.fileSystem(s)
	w.parameters(ctx, s.Params)
	b.FsconfigCreate(ctx)
	m := b.Fsmount(ctx, s.At.Path, s.Attrs.Set)
	b.Close(ctx)
	b.Exit(0)
	child.OnPositiveSkip()
	b.Reap(child)
	return m
}

func (w *walk) joinedPID() *remote.FD {
	if w.live != nil {
		return w.live.pid
	}
	for i, it := range w.items {
		if j, ok := it.Step.(plan.Join); ok && j.Flag == unix.CLONE_NEWPID {
			return w.joined[i]
		}
	}
	return nil
}

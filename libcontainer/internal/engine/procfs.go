package engine

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// sysctl writes through a procfs that the plan itself has mounted. The path may
// contain no symlink and may cross no mount, so the stub writes to exactly the
// checked parameter (CVE-2025-52881).
func (w *walk) sysctl(s plan.Sysctl) error {
	b := w.building
	fd := b.Openat2(w.sysctlProc(), "sys/"+strings.Join(s.Path, "/"), unix.O_WRONLY, 0, remote.Beneath|unix.RESOLVE_NO_XDEV)
	if len(s.Value) >= sysctlPiece {
		return w.longSysctl(fd, s.Value)
	}
	b.Write(fd, s.Value)
	b.Close(fd)
	return nil
}

// sysctlPiece is smaller than a page: the kernel reads at most one page of a list
// in one write (proc_do_large_bitmap in kernel/sysctl.c).
const sysctlPiece = 4000

// longSysctl writes a value in pieces. For each write the kernel returns the
// number of bytes that it has used; it adds the next piece to the list.
func (w *walk) longSysctl(fd *remote.FD, value string) error {
	if err := w.settle(); err != nil {
		return err
	}
	for len(value) > 0 {
		var q remote.Batch
		piece := value[:min(len(value), sysctlPiece)]
		if end := strings.LastIndexAny(piece, ", \t"); end > 0 && len(piece) < len(value) {
			piece = piece[:end+1] // do not cut a number in two
		}
		r := q.Write(fd, piece)
		if err := w.ask(&q); err != nil {
			return err
		}
		if r.Value() == 0 {
			return errors.New("the kernel does not take all of the value")
		}
		value = value[min(int(r.Value()), len(value)):]
	}
	return w.closeAll([]*remote.FD{fd})
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

// readonlyProc reports whether the container's own procfs is read-only.
func (w *walk) readonlyProc() bool {
	for _, it := range w.items {
		if m, ok := it.Step.(plan.Mount); ok && m.At.Path == "/proc" {
			return m.Attrs.Set&unix.MOUNT_ATTR_RDONLY != 0
		}
	}
	return false
}

// slowSysctl falls back to the procfs of the old root, the host's, if the kernel
// refuses a new procfs. The old root is still there at this point.
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

// joinedProc mounts a procfs for the pid namespace that the plan joins. The stub
// itself is not in that namespace. Since Linux 6.18 the file system has an option
// for it (pidns). Before, a child of the stub mounts it: the child shares the
// stub's memory and descriptors, and exits after these few calls.
func (w *walk) joinedProc(s plan.Mount) (*remote.FD, error) {
	ns := w.joinedPID()
	if !w.noPidnsOption {
		ctx := w.fileSystem(s)
		w.building.FsconfigFD(ctx, "pidns", ns)
		if err := w.parameters(ctx, s.Params); err != nil {
			return nil, err
		}
		b := w.building
		b.FsconfigCreate(ctx)
		m := b.Fsmount(ctx, s.At.Path, s.Attrs.Set)
		b.Close(ctx)
		return m, nil
	}
	b := w.building
	child := b.CloneShared()
	ctx := w.fileSystem(s)
	if err := w.parameters(ctx, s.Params); err != nil {
		return nil, err
	}
	b.FsconfigCreate(ctx)
	m := b.Fsmount(ctx, s.At.Path, s.Attrs.Set)
	b.Close(ctx)
	b.Exit(0)
	child.OnPositiveSkip()
	b.Reap(child)
	return m, nil
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

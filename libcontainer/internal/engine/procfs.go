package engine

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// procfs writes sysctls, and mounts the procfs of a joined pid namespace.
type procfs struct {
	*rootfs
	namespaces    *namespaces
	mount         *remote.FD // the procfs for sysctls; nil if the container's own serves
	noPidnsOption bool       // this kernel's procfs has no option pidns= (before 6.18)
}

// sysctl writes through a procfs that the plan itself has mounted. The path may
// contain no symlink and may cross no mount, so the stub writes to exactly the
// checked parameter (CVE-2025-52881).
func (pf *procfs) sysctl(s plan.Sysctl) error {
	b := pf.building
	fd := b.Openat2(pf.sysctlProc(), "sys/"+strings.Join(s.Path, "/"), unix.O_WRONLY, 0, remote.Beneath|unix.RESOLVE_NO_XDEV)
	if len(s.Value) >= sysctlPiece {
		return pf.longSysctl(fd, s.Value)
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
func (pf *procfs) longSysctl(fd *remote.FD, value string) error {
	if err := pf.settle(); err != nil {
		return err
	}
	for len(value) > 0 {
		var q remote.Batch
		piece := value[:min(len(value), sysctlPiece)]
		if end := strings.LastIndexAny(piece, ", \t"); end > 0 && len(piece) < len(value) {
			piece = piece[:end+1] // do not cut a number in two
		}
		r := q.Write(fd, piece)
		if err := pf.ask(&q); err != nil {
			return err
		}
		if r.Value() == 0 {
			return errors.New("the kernel accepted only a part of the value")
		}
		value = value[min(int(r.Value()), len(value)):]
	}
	return pf.closeAll([]*remote.FD{fd})
}

func (pf *procfs) sysctlProc() *remote.FD {
	switch {
	case pf.mount != nil && pf.mount.Number() != remote.Gone:
		return pf.mount
	case pf.kept["/proc"] != nil && !pf.readonlyProc():
		return pf.kept["/proc"]
	}
	b := pf.building
	ctx := b.Fsopen("proc")
	b.FsconfigCreate(ctx)
	pf.mount = b.Fsmount(ctx, "procfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	b.Close(ctx)
	return pf.mount
}

// readonlyProc reports whether the container's own procfs is read-only.
func (pf *procfs) readonlyProc() bool {
	for _, it := range pf.items {
		if m, ok := it.Step.(plan.Mount); ok && m.At.Path == "/proc" {
			return m.Attrs.Set&unix.MOUNT_ATTR_RDONLY != 0
		}
	}
	return false
}

// slowSysctl falls back to the procfs of the old root, the host's, if the kernel
// refuses a new procfs. The old root is still there at this point.
func (pf *procfs) slowSysctl(it plan.Item, s plan.Sysctl, ce *remote.CallError) (bool, error) {
	switch {
	case ce.Errno == unix.EPERM && (ce.Nr == unix.SYS_FSMOUNT || ce.Nr == unix.SYS_FSOPEN || ce.Nr == unix.SYS_FSCONFIG):
		var q remote.Batch
		pf.mount = q.Open("/proc", unix.O_PATH|unix.O_DIRECTORY)
		return true, pf.ask(&q)
	case ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ENOENT:
		return false, hint(it, ce, "this kernel has no such parameter")
	}
	return false, nil
}

// joinedProc mounts a procfs for the pid namespace that the plan joins. The stub
// itself is not in that namespace. Since Linux 6.18 the file system has an option
// for it (pidns). Before, a child of the stub mounts it: the child shares the
// stub's memory and descriptors, and exits after these few calls.
func (pf *procfs) joinedProc(s plan.Mount) (*remote.FD, error) {
	ns := pf.joinedPID()
	if !pf.noPidnsOption {
		ctx := pf.fileSystem(s)
		pf.building.FsconfigFD(ctx, "pidns", ns)
		if err := pf.parameters(ctx, s.Params); err != nil {
			return nil, err
		}
		b := pf.building
		b.FsconfigCreate(ctx)
		m := b.Fsmount(ctx, s.At.Path, s.Attrs.Set)
		b.Close(ctx)
		return m, nil
	}
	b := pf.building
	child := b.CloneShared()
	ctx := pf.fileSystem(s)
	if err := pf.parameters(ctx, s.Params); err != nil {
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

func (pf *procfs) joinedPID() *remote.FD {
	if pf.visit != nil {
		return pf.visit.pid
	}
	for i, it := range pf.items {
		if j, ok := it.Step.(plan.Join); ok && j.Flag == unix.CLONE_NEWPID {
			return pf.namespaces.joined[i]
		}
	}
	return nil
}

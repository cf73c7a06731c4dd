package engine

import (
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

var deviceTypes = map[string]uint32{"c": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}

func (w *walk) device(s plan.Device) error {
	b := w.building
	if t := w.trees[w.at]; t != nil {
		to := w.target(s.At, true, 0, remote.InRoot)
		m := w.mountOf(t, false, true)
		b.MoveMount(m, to)
		b.Close(to)
		b.Close(m)
		return nil
	}
	dir, opened := w.parent(s.At)
	name := path.Base(s.At.Path)
	b.Mknodat(dir, name, deviceTypes[s.Type]|s.Mode, unix.Mkdev(uint32(s.Major), uint32(s.Minor)))
	if s.UID != 0 || s.GID != 0 {
		b.Fchownat(dir, name, s.UID, s.GID)
	}
	if opened {
		b.Close(dir)
	}
	return nil
}

// parent returns the directory for a node, and whether parent has opened it.
func (w *walk) parent(at plan.Place) (dir *remote.FD, opened bool) {
	if dir := w.freshDir(at); dir != nil {
		return dir, false
	}
	return w.building.Openat2(w.root, relative(path.Dir(at.Path)), unix.O_PATH|unix.O_DIRECTORY, 0, remote.InRoot), true
}

// slowDevice creates a missing directory. If the node exists already, it has to
// be the same device (config-linux.md, "Devices").
func (w *walk) slowDevice(it plan.Item, s plan.Device, ce *remote.CallError) (bool, error) {
	switch {
	case isCall(ce, "openat2") && ce.Errno == unix.ENOENT && s.FromHost != "":
		return true, w.makeMountpoint(it, s.At.Path, true)
	case isCall(ce, "openat2") && ce.Errno == unix.ENOENT:
		return true, w.makeDirectory(it, path.Dir(s.At.Path))
	case isCall(ce, "mknodat") && ce.Errno == unix.EEXIST:
		return true, w.sameDevice(it, s)
	case isCall(ce, "mknodat") && ce.Errno == unix.EPERM:
		return false, hint(it, ce, "making device nodes takes CAP_MKNOD in the initial user namespace, and the device cgroup's leave")
	}
	return false, nil
}

// sameDevice checks an existing node, sets its mode and owner, and marks the step
// as done. It uses one descriptor for all: by now the name may be a symlink to
// any file.
func (w *walk) sameDevice(it plan.Item, s plan.Device) error {
	var q remote.Batch
	fd := q.Openat2(w.root, relative(s.At.Path), unix.O_PATH|unix.O_NOFOLLOW, 0, remote.InRoot)
	st := q.Statx(fd, "", 0)
	if err := w.ask(&q); err != nil {
		return failed(it, err)
	}
	have := st.Get()
	if uint32(have.Mode)&unix.S_IFMT != deviceTypes[s.Type] || s.Type != "p" && (int64(have.Rdev_major) != s.Major || int64(have.Rdev_minor) != s.Minor) {
		return &Failure{Field: it.Field, Step: it.Step.String(), Errno: unix.EEXIST, Hint: "another file is there already"}
	}
	if err := w.own(fd, have, s); err != nil {
		return failed(it, err)
	}
	var end remote.Batch
	end.Close(fd)
	if err := w.ask(&end); err != nil {
		return failed(it, err)
	}
	w.skipStep()
	return nil
}

// own sets the owner of the node behind fd, then its mode: a change of the owner
// clears mode bits.
func (w *walk) own(fd *remote.FD, have unix.Statx_t, s plan.Device) error {
	if have.Uid != s.UID || have.Gid != s.GID {
		var q remote.Batch
		q.Fchown(fd, s.UID, s.GID)
		if err := w.ask(&q); err != nil {
			return err
		}
	}
	if uint32(have.Mode)&0o7777 == s.Mode {
		return nil
	}
	return w.chmod(fd, s.Mode)
}

// chmod changes the mode of the file behind fd, an O_PATH descriptor. Before
// Linux 6.6 there is no fchmodat2(2), and the stub uses the link to the
// descriptor in procfs. That procfs is the host's, on the old root. The link is
// the stub's own, and leads to the open file, not to a name.
func (w *walk) chmod(fd *remote.FD, mode uint32) error {
	if !w.noFchmodat2 {
		var q remote.Batch
		q.Fchmodat2(fd, mode)
		err := w.ask(&q)
		if w.noFchmodat2 = isErrno(err, unix.ENOSYS); !w.noFchmodat2 {
			return err
		}
	}
	var q remote.Batch
	q.Chmod("/proc/self/fd/"+strconv.Itoa(fd.Number()), mode)
	return w.ask(&q)
}

// skipStep makes the step a done one, so that its repetition does nothing.
func (w *walk) skipStep() { w.items[w.at].Step = done{w.items[w.at].Step} }

// done is a step that its slow path has completed.
type done struct{ plan.Step }

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

func (w *walk) symlink(s plan.Symlink) error {
	b := w.building
	dir, opened := w.parent(s.At)
	name := path.Base(s.At.Path)
	r := b.Symlinkat(s.Target, dir, name)
	if !s.Force {
		r.Tolerate(unix.EEXIST)
	}
	if opened {
		b.Close(dir)
	}
	return nil
}

// slowSymlink creates a missing directory, or removes the file that a forced
// symlink replaces.
func (w *walk) slowSymlink(it plan.Item, s plan.Symlink, ce *remote.CallError) (bool, error) {
	switch {
	case isCall(ce, "openat2") && ce.Errno == unix.ENOENT:
		return true, w.makeDirectory(it, path.Dir(s.At.Path))
	case isCall(ce, "symlinkat") && ce.Errno == unix.EEXIST && s.Force:
		var q remote.Batch
		dir := q.Openat2(w.root, relative(path.Dir(s.At.Path)), unix.O_PATH|unix.O_DIRECTORY, 0, remote.InRoot)
		q.Unlinkat(dir, path.Base(s.At.Path), 0).Tolerate(unix.ENOENT)
		q.Close(dir)
		if err := w.ask(&q); err != nil {
			return false, failed(it, err)
		}
		return true, nil
	}
	return false, nil
}

// copySymlink creates a copy of a symlink of the host.
func (w *walk) copySymlink(s plan.Bind) error {
	target, err := os.Readlink(s.Source)
	if err != nil {
		return err
	}
	return w.symlink(plan.Symlink{Target: target, At: s.At})
}

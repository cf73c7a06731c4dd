package engine

import (
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// devices creates device nodes and symlinks.
type devices struct {
	*rootfs
	points      *mountpoints
	noFchmodat2 bool // this kernel has no fchmodat2 (before 6.6)
}

func (d *devices) create(s plan.Device) error {
	b := d.building
	if t := d.sources.byItem[d.at]; t != nil {
		to := d.target(s.At, true, 0, remote.InRoot)
		m := d.sources.mountOf(t, false, true)
		b.MoveMount(m, to)
		b.Close(to)
		b.Close(m)
		return nil
	}
	dir, opened := d.parent(s.At)
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
func (d *devices) parent(at plan.Place) (dir *remote.FD, opened bool) {
	if dir := d.freshDir(at); dir != nil {
		return dir, false
	}
	return d.building.Openat2(d.root, relative(path.Dir(at.Path)), unix.O_PATH|unix.O_DIRECTORY, 0, remote.InRoot), true
}

// slowDevice creates a missing directory. If the node exists already, it has to
// be the same device (config-linux.md, "Devices").
func (d *devices) slowDevice(it plan.Item, s plan.Device, ce *remote.CallError) (bool, error) {
	switch {
	case ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ENOENT && s.FromHost != "":
		return true, d.points.create(it, s.At.Path, true)
	case ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ENOENT:
		return true, d.points.createDirectory(it, path.Dir(s.At.Path))
	case ce.Nr == unix.SYS_MKNODAT && ce.Errno == unix.EEXIST:
		return true, d.sameDevice(it, s)
	case ce.Nr == unix.SYS_MKNODAT && ce.Errno == unix.EPERM:
		return false, hint(it, ce, "creating a device node requires CAP_MKNOD in the initial user namespace, and a device rule that allows mknod")
	}
	return false, nil
}

// sameDevice checks an existing node, sets its mode and owner, and marks the step
// as done. It uses one descriptor for all: by now the name may be a symlink to
// any file.
func (d *devices) sameDevice(it plan.Item, s plan.Device) error {
	var q remote.Batch
	fd := q.Openat2(d.root, relative(s.At.Path), unix.O_PATH|unix.O_NOFOLLOW, 0, remote.InRoot)
	st := q.Statx(fd, "", 0)
	if err := d.ask(&q); err != nil {
		return failed(it, err)
	}
	have := st.Get()
	if uint32(have.Mode)&unix.S_IFMT != deviceTypes[s.Type] || s.Type != "p" && (int64(have.Rdev_major) != s.Major || int64(have.Rdev_minor) != s.Minor) {
		return &Failure{Field: it.Field, Step: it.Step.String(), Errno: unix.EEXIST, Hint: "another file is there already"}
	}
	if err := d.own(fd, have, s); err != nil {
		return failed(it, err)
	}
	var end remote.Batch
	end.Close(fd)
	if err := d.ask(&end); err != nil {
		return failed(it, err)
	}
	d.skipStep()
	return nil
}

// own sets the owner of the node behind fd, then its mode: a change of the owner
// clears mode bits.
func (d *devices) own(fd *remote.FD, have unix.Statx_t, s plan.Device) error {
	if have.Uid != s.UID || have.Gid != s.GID {
		var q remote.Batch
		q.Fchown(fd, s.UID, s.GID)
		if err := d.ask(&q); err != nil {
			return err
		}
	}
	if uint32(have.Mode)&0o7777 == s.Mode {
		return nil
	}
	return d.chmod(fd, s.Mode)
}

// chmod changes the mode of the file behind fd, an O_PATH descriptor. Before
// Linux 6.6 there is no fchmodat2(2), and the stub uses the link to the
// descriptor in procfs. That procfs is the host's, on the old root. The link is
// the stub's own, and leads to the open file, not to a name.
func (d *devices) chmod(fd *remote.FD, mode uint32) error {
	if !d.noFchmodat2 {
		var q remote.Batch
		q.Fchmodat2(fd, mode)
		err := d.ask(&q)
		if d.noFchmodat2 = isErrno(err, unix.ENOSYS); !d.noFchmodat2 {
			return err
		}
	}
	var q remote.Batch
	q.Chmod("/proc/self/fd/"+strconv.Itoa(fd.Number()), mode)
	return d.ask(&q)
}

func (d *devices) symlink(s plan.Symlink) error {
	b := d.building
	dir, opened := d.parent(s.At)
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
func (d *devices) slowSymlink(it plan.Item, s plan.Symlink, ce *remote.CallError) (bool, error) {
	switch {
	case ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ENOENT:
		return true, d.points.createDirectory(it, path.Dir(s.At.Path))
	case ce.Nr == unix.SYS_SYMLINKAT && ce.Errno == unix.EEXIST && s.Force:
		var q remote.Batch
		dir := q.Openat2(d.root, relative(path.Dir(s.At.Path)), unix.O_PATH|unix.O_DIRECTORY, 0, remote.InRoot)
		q.Unlinkat(dir, path.Base(s.At.Path), 0).Tolerate(unix.ENOENT)
		q.Close(dir)
		if err := d.ask(&q); err != nil {
			return false, failed(it, err)
		}
		return true, nil
	}
	return false, nil
}

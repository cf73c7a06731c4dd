package cgroup

import (
	"errors"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// SelfJoinFiles are the `tasks` files of the v1 cgroups. A process of one thread
// joins by writing "0" to each: that moves the thread alone, without the
// kernel's lock on all threads of all processes, whose taking waits for an RCU
// grace period: 7 ms for all hierarchies where cgroup.procs is written after a
// moment's rest, 0.2 ms this way.
func (p Paths) SelfJoinFiles() []string {
	files := make([]string, len(p.V1))
	for i, d := range p.V1 {
		files[i] = path.Join(d.Abs(), "tasks")
	}
	return files
}

// OpenUnified is the cgroup2 directory for CLONE_INTO_CGROUP, an O_PATH
// descriptor; nil where there is no such hierarchy.
//
// Linux 6.18 (not 6.1) kills such a child at birth if cgroup.kill has been written
// to more often for the one cgroup than for the caller's own: since "cgroup: fix
// race between fork and cgroup.kill" it compares the caller's counter with that
// of the new cgroup. A child that dies so, by SIGKILL before its first
// instruction, is to be made without the flag, and moved with Join.
func (p Paths) OpenUnified() (*os.File, error) {
	if p.Unified == nil {
		return nil, nil
	}
	g, err := openGroup(p.Unified.Abs())
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(g.fd), g.path), nil
}

// Join moves process pid with all its threads into the cgroup, in all
// hierarchies. It is the slow way in; see SelfJoinFiles.
func (p Paths) Join(pid int) error {
	for _, d := range p.dirs() {
		g, err := openGroup(d.Abs())
		if err != nil {
			return err
		}
		err = g.write("cgroup.procs", strconv.Itoa(pid))
		g.close()
		if err != nil {
			return joinError(err)
		}
	}
	return nil
}

// Occupy makes the cgroup2 cgroup and moves process pid there from the one above
// it, which can have controllers for its children only without a process of its
// own: so before Create.
func (p Paths) Occupy(pid int) error {
	if p.Unified == nil {
		return nil
	}
	var c creation
	if err := c.mkdirs(p.Unified.missing(), unprepared); err != nil {
		return err
	}
	err := Paths{Unified: p.Unified}.Join(pid)
	if err != nil {
		c.undo(0)
	}
	return err
}

func joinError(err error) error {
	var fe *FileError
	if !errors.As(err, &fe) {
		return err
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		fe.Hint = "the cgroup gives controllers to its children, and so has no processes of its own"
	case errors.Is(err, unix.ENOSPC):
		fe.Hint = "cpuset.cpus or cpuset.mems is empty"
	case errors.Is(err, unix.EOPNOTSUPP):
		fe.Hint = "the cgroup is in a threaded subtree"
	}
	return fe
}

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
// grace period (milliseconds, where writing a pid to cgroup.procs takes it).
func (p Paths) SelfJoinFiles() []string {
	files := make([]string, len(p.V1))
	for i, d := range p.V1 {
		files[i] = path.Join(d.Abs(), "tasks")
	}
	return files
}

// OpenUnified is the cgroup2 directory for CLONE_INTO_CGROUP, an O_PATH
// descriptor; nil where there is no such hierarchy.
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

package cgroup

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// SelfJoinFiles returns the `tasks` files of the v1 cgroups. A process with one
// thread joins by writing "0" to each. This moves the thread alone and avoids the
// kernel's lock on all threads of all processes. A writer of that lock waits for an
// RCU grace period: after an idle moment, cgroup.procs of all hierarchies takes
// 7 ms, `tasks` takes 0.2 ms.
func (p Paths) SelfJoinFiles() []string {
	files := make([]string, len(p.V1))
	for i, d := range p.V1 {
		files[i] = d.Abs() + "/tasks"
	}
	return files
}

// OpenUnified returns an O_PATH descriptor of the cgroup2 directory for
// CLONE_INTO_CGROUP, or nil if there is no cgroup2 hierarchy.
//
// Linux 6.18 (not 6.1) kills such a child at birth if cgroup.kill was written more
// often in the new cgroup than in the caller's own cgroup. Since the commit
// "cgroup: fix race between fork and cgroup.kill" the kernel compares the caller's
// counter with that of the new cgroup. The child then dies by SIGKILL before its
// first instruction. The caller must create it again without the flag and move it
// with Join.
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

// Join moves process pid with all its threads into the cgroup, in all hierarchies.
// It is slower than SelfJoinFiles.
func (p Paths) Join(pid int) error {
	for d := range p.dirs() {
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

// Occupy makes the cgroup2 cgroup and moves process pid there from the cgroup above
// it. The cgroup above can enable controllers for its children only while it has no
// process itself, so Occupy must run before Create.
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

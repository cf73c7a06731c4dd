package cgroup

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// delegatedFiles is where the kernel lists what to give away with a cgroup.
const delegatedFiles = "/sys/kernel/cgroup/delegate"

// Delegate gives the cgroup2 cgroup to uid, the directory and the files that
// the kernel means to be delegated (config-linux.md, "Cgroup ownership"): the
// one that maps to root in the container's user namespace.
func (p Paths) Delegate(uid int) error {
	if p.Unified == nil {
		return nil
	}
	g, err := openGroup(p.Unified.Abs())
	if err != nil {
		return err
	}
	defer g.close()
	if err := unix.Fchownat(g.fd, "", uid, -1, unix.AT_EMPTY_PATH); err != nil {
		return &FileError{Op: "chown", Path: g.path, Err: err}
	}
	for _, file := range filesToDelegate(delegatedFiles) {
		err := unix.Fchownat(g.fd, file, uid, -1, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && err != unix.ENOENT {
			return &FileError{Op: "chown", Path: g.join(file), Err: err}
		}
	}
	return nil
}

// EnterSub moves process pid into the cgroup2 cgroup sub, below p, which is made
// for it and belongs to uid. The controllers of p are turned on for its children
// once p itself has no process any more.
func (p Paths) EnterSub(sub string, pid, uid int) error {
	s := p.Below(sub)
	c := creation{warn: warner(nil)}
	if err := c.mkdirs(s.Missing(), unprepared); err != nil {
		return err
	}
	if err := s.Join(pid); err != nil {
		return err
	}
	if _, err := c.enable(*s.Unified, 0); err != nil {
		return err
	}
	return s.Delegate(uid)
}

// Below is the cgroup2 cgroup sub of p, whether there is one or not.
func (p Paths) Below(sub string) Paths {
	u := *p.Unified
	u.Path = path.Join(u.Path, sub)
	return Paths{Unified: &u}
}

// filesToDelegate reads the kernel's list; where there is none, that of
// config-linux.md holds.
func filesToDelegate(list string) []string {
	text, err := readPath(list)
	if err != nil {
		return []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	}
	return strings.Fields(text)
}

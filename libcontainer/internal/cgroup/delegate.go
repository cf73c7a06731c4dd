package cgroup

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// delegatedFiles is the kernel's list of the cgroup files to delegate.
const delegatedFiles = "/sys/kernel/cgroup/delegate"

// Delegate changes the owner of the cgroup2 cgroup to uid: of the directory and of
// the files that the kernel lists for delegation (config-linux.md, "Cgroup
// ownership"). uid is the user of the container's program, as the host numbers it.
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

// EnterSub creates the cgroup2 cgroup sub below p, moves process pid into it and
// gives it to uid. Between these steps, when p itself has no process any more,
// EnterSub turns on p's controllers for its children.
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

// Below returns the paths of the cgroup2 cgroup sub below p. It need not exist.
func (p Paths) Below(sub string) Paths {
	u := *p.Unified
	u.Path = path.Join(u.Path, sub)
	return Paths{Unified: &u}
}

// filesToDelegate reads the kernel's list. If the kernel has none, it returns the
// list of config-linux.md.
func filesToDelegate(list string) []string {
	text, err := readPath(list)
	if err != nil {
		return []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	}
	return strings.Fields(text)
}

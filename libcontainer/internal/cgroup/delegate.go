package cgroup

import (
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
	for _, file := range filesToDelegate() {
		err := unix.Fchownat(g.fd, file, uid, -1, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && err != unix.ENOENT {
			return &FileError{Op: "chown", Path: g.join(file), Err: err}
		}
	}
	return nil
}

func filesToDelegate() []string {
	text, err := readPath(delegatedFiles)
	if err != nil {
		return []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	}
	return strings.Fields(text)
}

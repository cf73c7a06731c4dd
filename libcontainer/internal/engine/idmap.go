package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// idmapTree maps the ids of a tree before it is attached anywhere
// (mount_setattr(2), "ID-mapped mounts").
func (w *walk) idmapTree(t *tree, m *plan.Idmap) error {
	ns, err := w.userns(m)
	if err != nil {
		return err
	}
	defer ns.Close()
	flags := uint(unix.AT_EMPTY_PATH)
	if m.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(int(t.file.Fd()), "", flags, &attr); err != nil {
		return idmapFailure(t.file.Name(), err)
	}
	return nil
}

func idmapFailure(name string, err error) error {
	f := &Failure{Step: "map the ids of " + name, Syscall: fmt.Sprintf("mount_setattr(<%s>, AT_EMPTY_PATH, MOUNT_ATTR_IDMAP)", name), Errno: err.(unix.Errno)}
	switch err {
	case unix.EINVAL:
		f.Hint = "the file system may not support id-mapped mounts in this kernel, or is mapped already"
	case unix.EPERM:
		f.Hint = "it takes CAP_SYS_ADMIN in the user namespace that the file system was mounted in"
	}
	return f
}

// idmapMount is idmapTree for a new mount, which is the stub's.
func (w *walk) idmapMount(m *remote.FD, i *plan.Idmap) error {
	ns, err := w.userns(i)
	if err != nil {
		return err
	}
	defer ns.Close()
	fds, err := w.receive([]*os.File{ns}, []string{"user namespace"})
	if err != nil {
		return err
	}
	if err := w.settle(); err != nil { // its number is part of a structure
		return err
	}
	w.building.MountSetattr(m, "", i.Recursive, remote.Attr{Set: unix.MOUNT_ATTR_IDMAP, UsernsFD: fds[0]})
	return nil
}

// userns is a user namespace with the mapping: the container's own, or that of
// a process that is made for this and ended again.
func (w *walk) userns(m *plan.Idmap) (*os.File, error) {
	if len(m.UIDs) == 0 {
		return os.Open("/proc/" + strconv.Itoa(w.stub.Pid) + "/ns/user")
	}
	holder, err := remote.Start(w.ctx, remote.Spawn{Cloneflags: unix.CLONE_NEWUSER, Control: 3, Timeout: defaultTimeout, Argv0: w.Name})
	if err != nil {
		return nil, fmt.Errorf("make a user namespace for the mapping: %w", err)
	}
	defer holder.Kill()
	if err := writeProc(holder.Pid, "uid_map", idMapText(m.UIDs)); err != nil {
		return nil, err
	}
	if err := writeProc(holder.Pid, "gid_map", idMapText(m.GIDs)); err != nil {
		return nil, err
	}
	return os.Open("/proc/" + strconv.Itoa(holder.Pid) + "/ns/user")
}

// idMapText is what is written to uid_map and gid_map (user_namespaces(7)).
func idMapText(list []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}

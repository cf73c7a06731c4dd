package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// idmaps owns the user namespaces for id-mapped mounts.
type idmaps struct {
	*batches
	mappings map[string]*os.File // by their maps
}

func (im *idmaps) close() {
	for _, ns := range im.mappings {
		ns.Close()
	}
	clear(im.mappings)
}

// applyInStub maps the ids of a detached mount that the stub created. The runtime
// side makes the call: the call requires privilege over the user namespaces of
// the mapping and of the file system. The stub has privilege over the
// container's only.
func (im *idmaps) applyInStub(m *remote.FD, name string, i *plan.Idmap) error {
	if err := im.settle(); err != nil { // the number of m has to be known
		return err
	}
	fd, err := unix.PidfdGetfd(im.stub.Pidfd(), m.Number(), 0)
	if err != nil {
		return os.NewSyscallError("pidfd_getfd", err)
	}
	defer unix.Close(fd)
	return im.apply(fd, name, i)
}

// apply maps the ids of a tree. The kernel allows it only before the tree is
// attached (mount_setattr(2), "ID-mapped mounts").
func (im *idmaps) apply(tree int, name string, m *plan.Idmap) error {
	ns, err := im.mapping(m)
	if err != nil {
		return err
	}
	flags, names := uint(unix.AT_EMPTY_PATH), "AT_EMPTY_PATH"
	if m.Recursive {
		flags, names = flags|unix.AT_RECURSIVE, names+"|AT_RECURSIVE"
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(tree, "", flags, &attr); err != nil {
		return &Failure{
			Step:    "map the ids of " + name,
			Syscall: fmt.Sprintf("mount_setattr(<%s>, %s, MOUNT_ATTR_IDMAP)", name, names), Errno: err.(unix.Errno),
			Hint: mapHint(err),
		}
	}
	return nil
}

func mapHint(err error) string {
	switch err {
	case unix.EINVAL:
		return "this kernel may not support id-mapped mounts of the file system (with ridmap: of one mounted below), or the mount is id-mapped already"
	case unix.EPERM:
		return "it requires CAP_SYS_ADMIN in the user namespace in which the file system was mounted"
	}
	return ""
}

// mapping returns a user namespace with the mapping: the container's own, or one
// created for it. Mounts with the same mapping share one.
func (im *idmaps) mapping(m *plan.Idmap) (*os.File, error) {
	key := idMapText(m.UIDs) + "/" + idMapText(m.GIDs)
	if ns := im.mappings[key]; ns != nil {
		return ns, nil
	}
	var ns *os.File
	var err error
	if len(m.UIDs) == 0 {
		ns, err = usernsOf(im.stub.Pid)
	} else {
		ns, err = newMapping(im.ctx, im.job.Name, m)
	}
	if err != nil {
		return nil, err
	}
	im.mappings[key] = ns
	return ns, nil
}

// CloneMapped returns a detached clone of a directory's mount in which the ids of the files
// are mapped. name is for ps(1).
func CloneMapped(ctx context.Context, name string, dir *os.File, m plan.Idmap) (*os.File, error) {
	ns, err := newMapping(ctx, name, &m)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	tree, err := unix.OpenTree(int(dir.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: dir.Name(), Err: err}
	}
	clone := os.NewFile(uintptr(tree), dir.Name())
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		clone.Close()
		return nil, fmt.Errorf("map the ids of %s: mount_setattr: %w", dir.Name(), err)
	}
	return clone, nil
}

// newMapping starts a process in a new user namespace, writes the maps, opens the
// namespace, and ends the process.
func newMapping(ctx context.Context, name string, m *plan.Idmap) (*os.File, error) {
	holder, err := remote.Start(ctx, remote.Spawn{Cloneflags: unix.CLONE_NEWUSER, Control: 3, Timeout: defaultTimeout, Argv0: name})
	if err != nil {
		return nil, fmt.Errorf("make a user namespace for the mapping: %w", err)
	}
	defer holder.Kill()
	// Before its execve the holder shares this process's memory, which is
	// undumpable (PR_SET_DUMPABLE). Without CAP_SYS_PTRACE this process cannot
	// write the holder's maps then. An answer proves that the execve is done.
	var b remote.Batch
	b.Umask(0)
	if err := holder.Do(&b); err != nil {
		return nil, err
	}
	if err := proc.WriteFile(holder.Pid, "uid_map", idMapText(m.UIDs)); err != nil {
		return nil, err
	}
	if err := proc.WriteFile(holder.Pid, "gid_map", idMapText(m.GIDs)); err != nil {
		return nil, err
	}
	return usernsOf(holder.Pid)
}

func usernsOf(pid int) (*os.File, error) {
	return os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user")
}

// idMapText returns the text for uid_map and gid_map (user_namespaces(7)).
func idMapText(list []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}

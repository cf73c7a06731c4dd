package rootfs

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// parseMap reads the value of uidmap or gidmap: CONTAINER:HOST:SIZE, and more of these after commas.
func parseMap(text string) ([]syscall.SysProcIDMap, error) {
	var list []syscall.SysProcIDMap
	for entry := range strings.SplitSeq(text, ",") {
		fields := strings.Split(entry, ":")
		if len(fields) != 3 {
			return nil, fmt.Errorf("%q is not CONTAINER:HOST:SIZE", entry)
		}
		var n [3]int
		for i, field := range fields {
			id, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q is not CONTAINER:HOST:SIZE: %w", entry, err)
			}
			n[i] = int(id)
		}
		list = append(list, syscall.SysProcIDMap{ContainerID: n[0], HostID: n[1], Size: n[2]})
	}
	return list, nil
}

// mapped says whether the layers are id-mapped.
func (r request) mapped() bool { return len(r.uids)+len(r.gids) > 0 }

// mountMapped mounts an overlay or a bind mount with id-mapped layers. The kernel can do this
// for an overlay since Linux 5.19. The upper directory is not mapped: the snapshotter has
// given it the owners of the host.
func (r request) mountMapped(target string) error {
	if r.fsType != "overlay" && r.flags&unix.MS_BIND == 0 {
		return errors.New("uidmap, gidmap: only overlays and bind mounts can be id-mapped")
	}
	namespace, err := userNamespace(r.uids, r.gids)
	if err != nil {
		return fmt.Errorf("user namespace for the id-mapped layers: %w", err)
	}
	defer namespace.Close()
	if r.fsType != "overlay" {
		tree, err := cloneMapped(r.source, r.flags&unix.MS_REC, namespace)
		if err != nil {
			return err
		}
		if err := attach(tree, target); err != nil {
			return err
		}
		return r.restrict(target)
	}
	tree := -1
	err = onThread(unix.CLONE_FS|unix.CLONE_NEWNS, func() (err error) {
		tree, err = r.overlayMapped(target, namespace)
		return err
	})
	if err != nil {
		return err
	}
	return attach(tree, target)
}

// overlayMapped mounts the overlay in the mount namespace of this thread, which nobody else
// sees, and returns a detached copy. Up to Linux 6.14, only an attached mount can be a layer.
// The layers are attached on a tmpfs over target, with short names.
func (r request) overlayMapped(target string, namespace *os.File) (tree int, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return -1, fmt.Errorf("mount(/, MS_REC|MS_PRIVATE): %w", err)
	}
	if err := unix.Mount("tmpfs", target, "tmpfs", 0, "mode=0700"); err != nil {
		return -1, fmt.Errorf("mount(%s, tmpfs): %w", target, err)
	}
	defer func() {
		err = errors.Join(err, os.NewSyscallError("umount", unix.Unmount(target, unix.MNT_DETACH)))
	}()
	if err := unix.Chdir(target); err != nil {
		return -1, fmt.Errorf("chdir(%s): %w", target, err)
	}
	r.data = append([]string(nil), r.data...)
	for i, option := range r.data {
		if lower, ok := strings.CutPrefix(option, "lowerdir="); ok {
			names, err := attachLayers(strings.Split(lower, ":"), namespace)
			if err != nil {
				return -1, err
			}
			r.data[i] = "lowerdir=" + names
		}
	}
	const merged = "merged"
	if err := unix.Mkdir(merged, 0o700); err != nil {
		return -1, fmt.Errorf("mkdir(%s): %w", merged, err)
	}
	data := strings.Join(r.data, ",")
	if len(data) >= pageSize {
		return -1, fmt.Errorf("options of %d bytes: mount(2) takes %d", len(data), pageSize-1)
	}
	if err := r.call(merged, data); err != nil {
		return -1, err
	}
	return openTree(merged, 0)
}

// attachLayers attaches a mapped copy of each layer to a directory in the working directory.
// It returns the value for lowerdir.
func attachLayers(layers []string, namespace *os.File) (names string, err error) {
	for i, layer := range layers {
		name := strconv.Itoa(i)
		if err := unix.Mkdir(name, 0o700); err != nil {
			return "", fmt.Errorf("mkdir(%s): %w", name, err)
		}
		tree, err := cloneMapped(layer, 0, namespace)
		if err != nil {
			return "", err
		}
		if err := attach(tree, name); err != nil {
			return "", err
		}
		if i > 0 {
			names += ":"
		}
		names += name
	}
	return names, nil
}

// cloneMapped returns a detached copy of the mount at path, mapped by the user namespace.
func cloneMapped(path string, flags uintptr, namespace *os.File) (tree int, err error) {
	recursive := uint(0)
	if flags&unix.MS_REC != 0 {
		recursive = unix.AT_RECURSIVE
	}
	tree, err = openTree(path, recursive)
	if err != nil {
		return -1, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(namespace.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|recursive, &attr); err != nil {
		unix.Close(tree)
		return -1, fmt.Errorf("mount_setattr(%s, MOUNT_ATTR_IDMAP): %w", path, err)
	}
	return tree, nil
}

// openTree returns a detached copy of the mount at path.
func openTree(path string, recursive uint) (int, error) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|recursive)
	if err != nil {
		return -1, fmt.Errorf("open_tree(%s, OPEN_TREE_CLONE): %w", path, err)
	}
	return tree, nil
}

// attach moves a detached mount to target and closes its descriptor.
func attach(tree int, target string) error {
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount(%s): %w", target, err)
	}
	return nil
}

// userNamespace returns a user namespace with the maps. Its process is this program, which
// ptrace stops at its first instruction; it ends when the namespace is open.
func userNamespace(uids, gids []syscall.SysProcIDMap) (namespace *os.File, err error) {
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	process, err := os.StartProcess("/proc/self/exe", []string{"idmap"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: uids, GidMappings: gids, Ptrace: true, Pdeathsig: unix.SIGKILL,
	}})
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, process.Kill())
		_, waited := process.Wait()
		err = errors.Join(err, waited)
	}()
	return os.Open("/proc/" + strconv.Itoa(process.Pid) + "/ns/user")
}

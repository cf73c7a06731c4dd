package remote

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

var attrFlags = &flagSet{
	[]uint64{unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_NODEV, unix.MOUNT_ATTR_NOEXEC, unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR_NODIRATIME, unix.MOUNT_ATTR_NOSYMFOLLOW, unix.MOUNT_ATTR_IDMAP},
	[]string{"MOUNT_ATTR_RDONLY", "MOUNT_ATTR_NOSUID", "MOUNT_ATTR_NODEV", "MOUNT_ATTR_NOEXEC", "MOUNT_ATTR_NOATIME", "MOUNT_ATTR_STRICTATIME", "MOUNT_ATTR_NODIRATIME", "MOUNT_ATTR_NOSYMFOLLOW", "MOUNT_ATTR_IDMAP"},
}

var propagationFlags = &flagSet{
	[]uint64{unix.MS_SHARED, unix.MS_SLAVE, unix.MS_PRIVATE, unix.MS_UNBINDABLE},
	[]string{"MS_SHARED", "MS_SLAVE", "MS_PRIVATE", "MS_UNBINDABLE"},
}

var atFlags = &flagSet{
	[]uint64{unix.OPEN_TREE_CLONE, unix.AT_RECURSIVE, unix.AT_EMPTY_PATH, unix.AT_SYMLINK_NOFOLLOW, unix.OPEN_TREE_CLOEXEC},
	[]string{"OPEN_TREE_CLONE", "AT_RECURSIVE", "AT_EMPTY_PATH", "AT_SYMLINK_NOFOLLOW", "OPEN_TREE_CLOEXEC"},
}

// opensContext adds a call that returns a file system context.
func (b *Batch) opensContext(of, name string, nr uintptr, args ...Arg) *FD {
	fd := b.opens(of+" context", name, nr, args...)
	fd.context = true
	return fd
}

// Fsopen opens a context for a new mount of file system type fs.
func (b *Batch) Fsopen(fs string) *FD {
	return b.opensContext(fs, "fsopen", unix.SYS_FSOPEN, b.str(fs), Hex(unix.FSOPEN_CLOEXEC))
}

var fsconfigCommands = [...]string{"FSCONFIG_SET_FLAG", "FSCONFIG_SET_STRING", "FSCONFIG_SET_BINARY", "FSCONFIG_SET_PATH", "FSCONFIG_SET_PATH_EMPTY", "FSCONFIG_SET_FD", "FSCONFIG_CMD_CREATE", "FSCONFIG_CMD_RECONFIGURE"}

func (b *Batch) fsconfig(ctx *FD, cmd int, key, value Arg) Result {
	return b.call("fsconfig", unix.SYS_FSCONFIG, fdArg(ctx), named(fsconfigCommands[cmd], uint64(cmd)), key, value, Int(0))
}

// FsconfigString sets a parameter with a value.
func (b *Batch) FsconfigString(ctx *FD, key, value string) Result {
	return b.fsconfig(ctx, unix.FSCONFIG_SET_STRING, b.str(key), b.str(value))
}

// FsconfigFlag sets a parameter without a value.
func (b *Batch) FsconfigFlag(ctx *FD, key string) Result {
	return b.fsconfig(ctx, unix.FSCONFIG_SET_FLAG, b.str(key), Hex(0))
}

// FsconfigFD sets a parameter whose value is a descriptor.
func (b *Batch) FsconfigFD(ctx *FD, key string, fd *FD) Result {
	return b.call("fsconfig", unix.SYS_FSCONFIG, fdArg(ctx), named("FSCONFIG_SET_FD", unix.FSCONFIG_SET_FD), b.str(key), Hex(0), fdArg(fd))
}

// FsconfigCreate creates the superblock.
func (b *Batch) FsconfigCreate(ctx *FD) Result {
	return b.fsconfig(ctx, unix.FSCONFIG_CMD_CREATE, Hex(0), Hex(0))
}

// Fspick opens a context that changes the file system of the mount behind fd.
func (b *Batch) Fspick(fd *FD) *FD {
	return b.opensContext(fd.name, "fspick", unix.SYS_FSPICK, fdArg(fd), b.str(""), Hex(unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH))
}

// FsconfigReconfigure applies the parameters.
func (b *Batch) FsconfigReconfigure(ctx *FD) Result {
	return b.fsconfig(ctx, unix.FSCONFIG_CMD_RECONFIGURE, Hex(0), Hex(0))
}

// Fsmount makes a detached mount of the context's superblock. what is its name in
// error messages.
func (b *Batch) Fsmount(ctx *FD, what string, attr uint64) *FD {
	return b.opens(what, "fsmount", unix.SYS_FSMOUNT, fdArg(ctx), Hex(unix.FSMOUNT_CLOEXEC), attrFlags.arg(attr))
}

// OpenTree clones the mount at path in dir, or at dir itself if path is empty. If
// recursive, it also clones the mounts below.
func (b *Batch) OpenTree(dir *FD, path string, recursive bool) *FD {
	flags := uint64(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	what := path
	if path == "" {
		what = dir.name
	}
	return b.opens(what, "open_tree", unix.SYS_OPEN_TREE, fdArg(dir), b.str(path), atFlags.arg(flags))
}

// OpenSource clones the mount at a path of the stub's. With nofollow it does not follow a
// symlink at the end of the path.
func (b *Batch) OpenSource(path string, recursive, nofollow bool) *FD {
	flags := uint64(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if nofollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	return b.opens(path, "open_tree", unix.SYS_OPEN_TREE, fdArg(cwd), b.str(path), atFlags.arg(flags))
}

// MoveMount attaches the mount behind from to the file or directory behind to.
func (b *Batch) MoveMount(from, to *FD) Result {
	empty := b.str("")
	return b.call("move_mount", unix.SYS_MOVE_MOUNT, fdArg(from), empty, fdArg(to), empty,
		named("MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// MoveMountAt attaches the mount behind from to path. The stub resolves path in its
// own root.
func (b *Batch) MoveMountAt(from *FD, path string) Result {
	return b.call("move_mount", unix.SYS_MOVE_MOUNT, fdArg(from), b.str(""), fdArg(cwd), b.str(path),
		named("MOVE_MOUNT_F_EMPTY_PATH", unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// Attr is a change of mount_setattr(2).
type Attr struct {
	Set, Clear  uint64 // MOUNT_ATTR_…
	Propagation uint64 // MS_…, 0: no change
}

// IsZero reports whether there is nothing to change.
func (a *Attr) IsZero() bool { return a.Set|a.Clear|a.Propagation == 0 }

// MountSetattr changes the mount at path in dir, or at dir itself if path is empty.
// If recursive, it also changes the mounts below.
func (b *Batch) MountSetattr(dir *FD, path string, recursive bool, a Attr) Result {
	clear := a.Clear
	if a.Set&unix.MOUNT_ATTR__ATIME != 0 || clear&unix.MOUNT_ATTR__ATIME != 0 {
		clear |= unix.MOUNT_ATTR__ATIME // not single bits: the kernel wants the whole field cleared
	}
	m := b.words(a.Set, clear, a.Propagation, 0)
	m.show = showMountAttr
	var flags uint64
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return b.call("mount_setattr", unix.SYS_MOUNT_SETATTR, fdArg(dir), b.str(path), atFlags.arg(flags), m, Int(32))
}

// PivotRoot changes the root mount (pivot_root(2)).
func (b *Batch) PivotRoot(newRoot, putOld string) Result {
	return b.call("pivot_root", unix.SYS_PIVOT_ROOT, b.str(newRoot), b.str(putOld))
}

// Umount2 unmounts path.
func (b *Batch) Umount2(path string, flags int) Result {
	return b.call("umount2", unix.SYS_UMOUNT2, b.str(path), Hex(uint64(flags)))
}

// Mount calls mount(2). It is for operations that the newer calls do not have, such as
// moving a mount by path.
func (b *Batch) Mount(source, target, fs string, flags uint64, data string) Result {
	return b.call("mount", unix.SYS_MOUNT, b.optional(source), b.str(target), b.optional(fs), Hex(flags), b.optional(data))
}

// MountBasics is the result of a Statmount call: the fields that every mount has.
type MountBasics struct {
	Result
	buf Buf
}

// Statmount calls statmount(2) (Linux 6.8) for the mount with a unique id.
func (b *Batch) Statmount(id uint64) MountBasics {
	const mntBasic, size = 2, 512 // STATMOUNT_MNT_BASIC; more than the size of the structure
	m := b.buf(size)
	r := b.call("statmount", unix.SYS_STATMOUNT, b.words(stub.Word(24), id, mntBasic), m.arg(), Int(size), Hex(0))
	return MountBasics{r, m}
}

// PeerGroup returns the number after "shared:" in mountinfo, or 0 if the mount is not
// shared.
func (m MountBasics) PeerGroup() uint64 {
	const propagation, group = 72, 80
	if p := m.buf.Bytes(); binary.NativeEndian.Uint64(p[propagation:])&unix.MS_SHARED != 0 {
		return binary.NativeEndian.Uint64(p[group:])
	}
	return 0
}

package remote

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

var openFlags = &flagSet{
	[]uint64{unix.O_PATH, unix.O_DIRECTORY, unix.O_RDWR, unix.O_WRONLY, unix.O_CREAT, unix.O_EXCL, unix.O_TRUNC, unix.O_NONBLOCK, unix.O_NOCTTY, unix.O_NOFOLLOW, unix.O_CLOEXEC},
	[]string{"O_PATH", "O_DIRECTORY", "O_RDWR", "O_WRONLY", "O_CREAT", "O_EXCL", "O_TRUNC", "O_NONBLOCK", "O_NOCTTY", "O_NOFOLLOW", "O_CLOEXEC"},
}

var resolveFlags = &flagSet{
	[]uint64{unix.RESOLVE_IN_ROOT, unix.RESOLVE_BENEATH, unix.RESOLVE_NO_MAGICLINKS, unix.RESOLVE_NO_SYMLINKS, unix.RESOLVE_NO_XDEV},
	[]string{"RESOLVE_IN_ROOT", "RESOLVE_BENEATH", "RESOLVE_NO_MAGICLINKS", "RESOLVE_NO_SYMLINKS", "RESOLVE_NO_XDEV"},
}

// InRoot resolves paths as if dir were /. Symlinks stay inside dir. The magic links
// of procfs, which can lead anywhere, are not followed (openat2(2)).
const InRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// Beneath refuses paths that lead out of dir or over a symlink.
const Beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS

// Openat2 opens path in dir and adds O_CLOEXEC.
func (b *Batch) Openat2(dir *FD, path string, flags, mode, resolve uint64) *FD {
	flags |= unix.O_CLOEXEC
	how := b.words(flags, mode, resolve)
	how.show = showOpenHow
	return b.opens(path, "openat2", unix.SYS_OPENAT2, fdArg(dir), b.str(path), how, Int(unix.SizeofOpenHow))
}

// Open opens a path that the stub resolves in its own root and working directory. It
// adds O_CLOEXEC. It is for paths that the container does not control.
func (b *Batch) Open(path string, flags uint64) *FD {
	flags |= unix.O_CLOEXEC
	return b.opens(path, "openat", unix.SYS_OPENAT, fdArg(cwd), b.str(path), openFlags.arg(flags), Int(0))
}

// Close closes fd.
func (b *Batch) Close(fd *FD) Result {
	r := b.call("close", unix.SYS_CLOSE, fdArg(fd))
	b.calls[r.i].closes = fd
	return r
}

// CloseRange applies close_range(2) to the descriptors from first on.
func (b *Batch) CloseRange(first int, flags uint64) Result {
	return b.call("close_range", unix.SYS_CLOSE_RANGE, Int(first), Hex(0xffffffff), Hex(flags))
}

// Dup3 duplicates fd as number n, close-on-exec if cloexec.
func (b *Batch) Dup3(fd *FD, n int, cloexec bool) Result {
	var flags uint64
	if cloexec {
		flags = unix.O_CLOEXEC
	}
	return b.call("dup3", unix.SYS_DUP3, fdArg(fd), Int(n), openFlags.arg(flags))
}

// Mkdirat makes the directory name in dir. name is one component.
func (b *Batch) Mkdirat(dir *FD, name string, mode uint32) Result {
	return b.call("mkdirat", unix.SYS_MKDIRAT, fdArg(dir), b.str(name), Mode(mode))
}

// Mknodat makes a node. mode includes the file type.
func (b *Batch) Mknodat(dir *FD, name string, mode uint32, dev uint64) Result {
	return b.call("mknodat", unix.SYS_MKNODAT, fdArg(dir), b.str(name), Mode(mode), Hex(dev))
}

// Symlinkat makes the symlink name in dir.
func (b *Batch) Symlinkat(target string, dir *FD, name string) Result {
	return b.call("symlinkat", unix.SYS_SYMLINKAT, b.str(target), fdArg(dir), b.str(name))
}

// Unlinkat removes name from dir.
func (b *Batch) Unlinkat(dir *FD, name string, flags int) Result {
	return b.call("unlinkat", unix.SYS_UNLINKAT, fdArg(dir), b.str(name), Int(flags))
}

// Fchown changes the owner of the file behind fd, which may be an O_PATH descriptor.
func (b *Batch) Fchown(fd *FD, uid, gid uint32) Result {
	return b.call("fchownat", unix.SYS_FCHOWNAT, fdArg(fd), b.str(""), Int(uid), Int(gid), Hex(unix.AT_EMPTY_PATH))
}

// Fchownat changes the owner of name in dir. name is one component; a symlink is not
// followed.
func (b *Batch) Fchownat(dir *FD, name string, uid, gid uint32) Result {
	return b.call("fchownat", unix.SYS_FCHOWNAT, fdArg(dir), b.str(name), Int(uid), Int(gid), Hex(unix.AT_SYMLINK_NOFOLLOW))
}

// Fchmod changes the mode of the file behind fd. It fails for an O_PATH descriptor.
func (b *Batch) Fchmod(fd *FD, mode uint32) Result {
	return b.call("fchmod", unix.SYS_FCHMOD, fdArg(fd), Mode(mode))
}

// Fchmodat changes the mode of name in dir. name is one component; a symlink is
// followed.
func (b *Batch) Fchmodat(dir *FD, name string, mode uint32) Result {
	return b.call("fchmodat", unix.SYS_FCHMODAT, fdArg(dir), b.str(name), Mode(mode))
}

// Fchmodat2 changes the mode of the file behind fd, which may be an O_PATH descriptor
// (Linux 6.6, "fs: Add fchmodat2()").
func (b *Batch) Fchmodat2(fd *FD, mode uint32) Result {
	return b.call("fchmodat2", unix.SYS_FCHMODAT2, fdArg(fd), b.str(""), Mode(mode), Hex(unix.AT_EMPTY_PATH))
}

// Chmod changes the mode of a file. The stub resolves the path in its own root.
func (b *Batch) Chmod(path string, mode uint32) Result {
	return b.call("fchmodat", unix.SYS_FCHMODAT, fdArg(cwd), b.str(path), Mode(mode))
}

// Fsetxattr sets an extended attribute of the file behind fd. It fails for an O_PATH
// descriptor.
func (b *Batch) Fsetxattr(fd *FD, name, value string) Result {
	return b.call("fsetxattr", unix.SYS_FSETXATTR, fdArg(fd), b.str(name), b.str(value), Int(len(value)), Int(0))
}

// Write writes p to fd.
func (b *Batch) Write(fd *FD, p string) Result {
	a := b.str(p)
	return b.call("write", unix.SYS_WRITE, fdArg(fd), a, Int(len(p)))
}

// Read reads at most n bytes from fd.
func (b *Batch) Read(fd *FD, n int) (Result, Buf) {
	m := b.buf(n)
	return b.call("read", unix.SYS_READ, fdArg(fd), m.arg(), Int(n)), m
}

// ReadTo reads from fd to the buffer of an earlier Read of the same batch.
func (b *Batch) ReadTo(memory Buf, fd *FD, n int) Result {
	return b.call("read", unix.SYS_READ, fdArg(fd), memory.arg(), Int(min(n, memory.n)))
}

// WriteFrom writes the first n bytes of the buffer of an earlier Read to fd.
func (b *Batch) WriteFrom(memory Buf, fd *FD, n int) Result {
	return b.call("write", unix.SYS_WRITE, fdArg(fd), memory.arg(), Int(min(n, memory.n)))
}

// Pread reads at most n bytes of fd, starting at offset off.
func (b *Batch) Pread(fd *FD, n int, off uint64) (Result, Buf) {
	m := b.buf(n)
	return b.call("pread64", unix.SYS_PREAD64, fdArg(fd), m.arg(), Int(n), Int(off)), m
}

// Readlinkat reads the symlink path in dir, or dir itself if path is empty.
func (b *Batch) Readlinkat(dir *FD, path string) (Result, Buf) {
	m := b.buf(unix.PathMax)
	return b.call("readlinkat", unix.SYS_READLINKAT, fdArg(dir), b.str(path), m.arg(), Int(unix.PathMax)), m
}

// Getcwd reads the stub's working directory.
func (b *Batch) Getcwd() (Result, Buf) {
	m := b.buf(unix.PathMax)
	return b.call("getcwd", unix.SYS_GETCWD, m.arg(), Int(unix.PathMax)), m
}

// Stat is the result of a Statx call.
type Stat struct {
	Result
	buf Buf
}

const statxSize = int(unsafe.Sizeof(unix.Statx_t{}))

// Statx calls statx(2) for path in dir, or for dir itself if path is empty. flags are
// AT_….
func (b *Batch) Statx(dir *FD, path string, flags int) Stat {
	m := b.buf(statxSize)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	r := b.call("statx", unix.SYS_STATX, fdArg(dir), b.str(path), Hex(uint64(flags)), Hex(unix.STATX_BASIC_STATS|unix.STATX_MNT_ID|unix.STATX_MNT_ID_UNIQUE), m.arg())
	return Stat{r, m}
}

// Get returns a copy of the structure.
func (s Stat) Get() unix.Statx_t {
	return *(*unix.Statx_t)(unsafe.Pointer(&s.buf.Bytes()[0]))
}

// Statfs is the result of an Fstatfs call.
type Statfs struct {
	Result
	buf Buf
}

const statfsSize = int(unsafe.Sizeof(unix.Statfs_t{}))

// Fstatfs calls fstatfs(2) for the file system and the mount of fd.
func (b *Batch) Fstatfs(fd *FD) Statfs {
	m := b.buf(statfsSize)
	return Statfs{b.call("fstatfs", unix.SYS_FSTATFS, fdArg(fd), m.arg()), m}
}

// Get returns a copy of the structure.
func (s Statfs) Get() unix.Statfs_t {
	return *(*unix.Statfs_t)(unsafe.Pointer(&s.buf.Bytes()[0]))
}

// Faccess checks access with the effective ids (faccessat2(2)).
func (b *Batch) Faccess(dir *FD, path string, mode uint32) Result {
	return b.call("faccessat2", unix.SYS_FACCESSAT2, fdArg(dir), b.str(path), Int(mode), Hex(unix.AT_EACCESS))
}

// Fchdir changes the working directory.
func (b *Batch) Fchdir(fd *FD) Result { return b.call("fchdir", unix.SYS_FCHDIR, fdArg(fd)) }

// Chdir changes the working directory.
func (b *Batch) Chdir(path string) Result { return b.call("chdir", unix.SYS_CHDIR, b.str(path)) }

// Chroot changes the root directory.
func (b *Batch) Chroot(path string) Result { return b.call("chroot", unix.SYS_CHROOT, b.str(path)) }

// Umask sets the file mode creation mask.
func (b *Batch) Umask(mask uint32) Result { return b.call("umask", unix.SYS_UMASK, Mode(mask)) }

// IoctlInt calls an ioctl whose argument is a number.
func (b *Batch) IoctlInt(fd *FD, name string, req uint64, v int) Result {
	return b.call("ioctl", unix.SYS_IOCTL, fdArg(fd), named(name, req), Int(v))
}

// IoctlOpen calls an ioctl that returns a descriptor.
func (b *Batch) IoctlOpen(fd *FD, what, name string, req uint64, v uint64) *FD {
	return b.opens(what, "ioctl", unix.SYS_IOCTL, fdArg(fd), named(name, req), openFlags.arg(v))
}

// IoctlMem calls an ioctl whose argument is a structure.
func (b *Batch) IoctlMem(fd *FD, name string, req uint64, p []byte) Result {
	return b.call("ioctl", unix.SYS_IOCTL, fdArg(fd), named(name, req), b.mem(p))
}

func named(name string, v uint64) Arg {
	return Arg{value: v, of: name}
}

// Socket makes a socket.
func (b *Batch) Socket(what string, domain, typ, proto int) *FD {
	return b.opens(what, "socket", unix.SYS_SOCKET, Int(domain), Hex(uint64(typ|unix.SOCK_CLOEXEC)), Int(proto))
}

// Getdents reads directory entries to a buffer of n bytes.
func (b *Batch) Getdents(fd *FD, n int) (Result, Buf) {
	m := b.buf(n)
	return b.call("getdents64", unix.SYS_GETDENTS64, fdArg(fd), m.arg(), Int(n)), m
}

// Sendfile copies n bytes from in to out, at their present offsets. It copies fewer
// if in ends or a signal arrives.
func (b *Batch) Sendfile(out, in *FD, n int) Result {
	return b.call("sendfile", unix.SYS_SENDFILE, fdArg(out), fdArg(in), Int(0), Int(n))
}

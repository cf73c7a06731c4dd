package bounded

import (
	"os"

	"golang.org/x/sys/unix"
)

// resolveCached is RESOLVE_CACHED (linux/openat2.h), which x/sys/unix has not.
const resolveCached = 0x20

// Cached opens a path without waiting for any file system: the kernel finds
// all of it in its memory, or says EAGAIN (openat2(2), RESOLVE_CACHED, Linux
// 5.12). It is the way to do without Do and its thread, most of the time. What
// is to be mounted by automount is not in memory. The descriptor is an O_PATH one; flags and resolve add to that.
func Cached(path string, flags int, resolve uint64) (*os.File, error) {
	fd, err := CachedFd(path, flags, resolve)
	if err != nil {
		return nil, os.NewSyscallError("openat2", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// CachedFd is Cached for one that is closed again at once.
func CachedFd(path string, flags int, resolve uint64) (int, error) {
	return unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags:   uint64(unix.O_PATH | unix.O_CLOEXEC | flags),
		Resolve: resolveCached | resolve,
	})
}

package bounded

import (
	"os"

	"golang.org/x/sys/unix"
)

// resolveCached is RESOLVE_CACHED (linux/openat2.h), which x/sys/unix lacks.
const resolveCached = 0x20

// Cached opens a path without waiting for any file system: the kernel finds the
// whole path in its memory, or fails with EAGAIN (openat2(2), RESOLVE_CACHED,
// Linux 5.12). Most of the time this avoids Do and its thread. An automount point
// is never in memory. The descriptor is opened with O_PATH; flags and resolve are
// added.
func Cached(path string, flags int, resolve uint64) (*os.File, error) {
	fd, err := CachedFd(path, flags, resolve)
	if err != nil {
		return nil, os.NewSyscallError("openat2", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// CachedFd is Cached with a bare descriptor, for a caller that closes it at once.
func CachedFd(path string, flags int, resolve uint64) (int, error) {
	return unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags:   uint64(unix.O_PATH | unix.O_CLOEXEC | flags),
		Resolve: resolveCached | resolve,
	})
}

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
	return CachedAt(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags:   uint64(unix.O_PATH | unix.O_CLOEXEC | flags),
		Resolve: resolve,
	})
}

// cachedTries: a rename or a mount anywhere on the host makes the kernel look a
// name up again, which it must not here. It says EAGAIN, as for a name that is not
// in memory.
const cachedTries = 3

// CachedAt is openat2(2) from a directory on, without waiting.
func CachedAt(dir int, path string, how *unix.OpenHow) (fd int, err error) {
	cached := *how
	cached.Resolve |= resolveCached
	for range cachedTries {
		if fd, err = unix.Openat2(dir, path, &cached); err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

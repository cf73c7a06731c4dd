package dcache

import (
	"os"

	"golang.org/x/sys/unix"
)

// resolveCached is RESOLVE_CACHED (linux/openat2.h), which x/sys/unix lacks.
const resolveCached = 0x20

// Open opens a path without waiting for any file system: the kernel finds the
// whole path in its directory cache, or fails with EAGAIN (openat2(2),
// RESOLVE_CACHED, Linux 5.12). Most calls succeed and spare a process that opens
// the path. An automount point is never in the cache. The descriptor is opened
// with O_PATH; flags and resolve are added.
func Open(path string, flags int, resolve uint64) (*os.File, error) {
	fd, err := OpenFd(path, flags, resolve)
	if err != nil {
		return nil, os.NewSyscallError("openat2", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenFd is Open with a bare descriptor, for a caller that closes it at once.
func OpenFd(path string, flags int, resolve uint64) (int, error) {
	return OpenAt(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags:   uint64(unix.O_PATH | unix.O_CLOEXEC | flags),
		Resolve: resolve,
	})
}

// cachedTries is the number of attempts. A rename or a mount anywhere on the host
// makes the kernel look a name up again. With RESOLVE_CACHED it returns EAGAIN
// instead, as for a name that is not in the cache.
const cachedTries = 3

// OpenAt is openat2(2) with RESOLVE_CACHED, relative to the directory dir.
func OpenAt(dir int, path string, how *unix.OpenHow) (fd int, err error) {
	cached := *how
	cached.Resolve |= resolveCached
	for range cachedTries {
		if fd, err = unix.Openat2(dir, path, &cached); err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

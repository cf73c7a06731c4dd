package state

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openBeneath opens a directory below another one. It follows no symlink.
func openBeneath(dirfd int, name string, resolve uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | resolve,
	}
	for {
		fd, err := unix.Openat2(dirfd, name, &how)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// removeAll empties a directory and closes it. It follows no symlink. It does not enter
// a file system that is mounted below the directory: that is not the runtime's.
func removeAll(dir *os.File) error {
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := removeTree(int(dir.Fd()), name, filepath.Join(dir.Name(), name)); err != nil {
			return err
		}
	}
	return nil
}

// removeTree removes a file, or a directory with everything in it. path is used in
// messages.
func removeTree(dirfd int, name, path string) error {
	if err := unlink(dirfd, name, 0); err == nil || !isDir(dirfd, name) {
		return err
	}
	fd, err := openBeneath(dirfd, name, unix.RESOLVE_NO_XDEV)
	switch err {
	case nil:
	case unix.ENOENT:
		return nil
	case unix.EXDEV:
		return fmt.Errorf("a file system is mounted on %s: unmount it first", path)
	default:
		return fmt.Errorf("open %s: %w", path, err)
	}
	if err := removeAll(os.NewFile(uintptr(fd), path)); err != nil {
		return err
	}
	return unlink(dirfd, name, unix.AT_REMOVEDIR)
}

func isDir(dirfd int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// trustRoot refuses a state root in which another user could replace the directory of a
// container. The root must belong to the user of the runtime or to root. If others may
// write to it, it must have the sticky bit: then only owners can rename and remove
// directories in it (unlink(2)).
func trustRoot(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("fstat %s: %w", path, err)
	}
	if user := unix.Geteuid(); int(st.Uid) != user && st.Uid != 0 {
		return foreign(path, st.Uid, user)
	}
	if st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return writable(path, st.Mode)
	}
	return nil
}

func foreign(path string, owner uint32, user int) error {
	return fmt.Errorf("%s belongs to user %d; want user %d, as which the runtime runs", path, owner, user)
}

func writable(path string, mode uint32) error {
	return fmt.Errorf("%s has mode %04o: others may write to it", path, mode&0o7777)
}

package libcontainer

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// writePidFile writes the pid file in one step: a reader sees all of it or nothing. It opens
// no existing file. So a FIFO cannot block it, and a hard link cannot lead it to another
// file.
func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	err := writeUnnamed(path, strconv.Itoa(pid))
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) { // not every file system has O_TMPFILE
		err = writeNamed(path, strconv.Itoa(pid))
	}
	if err != nil {
		return fmt.Errorf("write the pid file %s: %w", path, err)
	}
	return nil
}

// writeUnnamed writes a file without a name (O_TMPFILE) and links it afterwards. A process
// that is killed before the link leaves nothing behind.
func writeUnnamed(path, text string) error {
	fd, err := openPidFile(filepath.Dir(path), unix.O_TMPFILE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := writeText(fd, text); err != nil {
		return err
	}
	own := "/proc/self/fd/" + strconv.Itoa(fd)
	err = link(own, path)
	if err != unix.EEXIST {
		return err
	}
	tmp := freshName(path)
	if err := link(own, tmp); err != nil {
		return err
	}
	return rename(tmp, path)
}

func writeNamed(path, text string) error {
	tmp := freshName(path)
	fd, err := openPidFile(tmp, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	err = writeText(fd, text)
	unix.Close(fd)
	if err != nil {
		_ = unix.Unlink(tmp)
		return err
	}
	return rename(tmp, path)
}

// freshName returns a name beside path. If somebody has guessed it, O_EXCL and linkat fail
// with EEXIST.
func freshName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+strconv.FormatInt(time.Now().UnixNano(), 36))
}

func openPidFile(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|flags, 0o644)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func writeText(fd int, text string) error {
	for {
		_, err := unix.Write(fd, []byte(text))
		if err != unix.EINTR {
			return err
		}
	}
}

func link(from, to string) error {
	return unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
}

func rename(from, to string) error {
	err := unix.Rename(from, to)
	if err != nil {
		_ = unix.Unlink(from)
	}
	return err
}

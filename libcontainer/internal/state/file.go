package state

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// maxFile bounds the size of all files that are read into memory, and so of those that
// are written. The largest configurations seen have some hundred KiB.
const maxFile = 16 << 20

var errTooLarge = errors.New("larger than 16 MiB")

// The functions below return bare errnos: the caller knows the purpose of the file.

func openRetry(dirfd int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// readFile reads a regular file and nothing else. O_NONBLOCK keeps it from waiting for
// a FIFO that somebody has put in its place.
func readFile(dirfd int, name string) ([]byte, error) { return readInto(dirfd, name, nil) }

// readInto is readFile with a buffer, which it uses if that is large enough.
func readInto(dirfd int, name string, buf []byte) ([]byte, error) {
	fd, err := openRetry(dirfd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("not a regular file")
	}
	if st.Size > maxFile {
		return nil, errTooLarge
	}
	return readAll(fd, slices.Grow(buf[:0], int(st.Size))[:st.Size])
}

func readAll(fd int, buf []byte) ([]byte, error) {
	size := len(buf)
	for done := 0; done < size; {
		n, err := unix.Read(fd, buf[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return buf[:done], nil
		}
		done += n
	}
	return buf, nil
}

// writeFile creates a file, or writes over an existing regular file, as flags say.
func writeFile(dirfd int, name string, flags int, data []byte) error {
	if len(data) > maxFile {
		return errTooLarge
	}
	fd, err := openRetry(dirfd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, 0o600)
	if err != nil {
		return err
	}
	err = writeAll(fd, data)
	return errors.Join(err, unix.Close(fd))
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// unlink removes a name. It is no error if the name does not exist.
func unlink(dirfd int, name string, flags int) error {
	if err := unix.Unlinkat(dirfd, name, flags); err != nil && err != unix.ENOENT {
		return fmt.Errorf("unlinkat(%q): %w", name, err)
	}
	return nil
}

package state

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read into memory, and so what may be written. The
// largest configurations seen are some hundred KiB.
const maxFile = 16 << 20

var errTooLarge = errors.New("larger than 16 MiB")

// The calls below give bare errnos: the caller knows what the file is for.

func openRetry(dirfd int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// readFile reads a regular file and nothing else: O_NONBLOCK keeps a FIFO put
// in its place from holding us up.
func readFile(dirfd int, name string) ([]byte, error) { return readInto(dirfd, name, nil) }

// readInto is readFile into buf, if that is large enough.
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

// writeFile creates name, or empties the regular file that is there.
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

// unlink tolerates what is not there.
func unlink(dirfd int, name string, flags int) error {
	if err := unix.Unlinkat(dirfd, name, flags); err != nil && err != unix.ENOENT {
		return fmt.Errorf("unlinkat(%q): %w", name, err)
	}
	return nil
}

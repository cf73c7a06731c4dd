package cgroup

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// FileError is an operation on a file of cgroupfs that failed.
type FileError struct {
	Field string // JSON pointer into config.json, "" if none applies
	Op    string // "open", "read", "write", "mkdir", "rmdir", ...
	Path  string
	Value string // the written value
	Hint  string // probable cause of the errno here, "" if unknown
	Err   error
}

func (e *FileError) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	if e.Hint != "" {
		b.WriteString(e.Hint + ": ")
	}
	if e.Op == "write" {
		b.WriteString("failed to write " + strconv.Quote(e.Value) + ": ") // runc's wording
	}
	fmt.Fprintf(&b, "%s %s: %v", e.Op, e.Path, e.Err)
	return b.String()
}

func (e *FileError) Unwrap() error { return e.Err }

// group is a cgroup directory. It is either open, and its owner closes it, or
// named: for access to one or two files an open directory is not worth its cost.
type group struct {
	fd   int
	dir  string // prefix of file names: "" if the directory is open
	path string // for error messages
}

// named returns a directory by its absolute path, without opening it.
func named(path string) group { return group{fd: unix.AT_FDCWD, dir: path + "/", path: path} }

// openGroup opens a cgroup directory by its absolute path.
func openGroup(path string) (group, error) { return group{fd: unix.AT_FDCWD}.open(path) }

// open opens the directory name below g. The name may have several components.
func (g group) open(name string) (group, error) {
	fd, err := openat(g.fd, g.dir+name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return group{}, &FileError{Op: "open", Path: g.join(name), Err: err}
	}
	return group{fd: fd, path: g.join(name)}, nil
}

func (g group) close() {
	if g.fd >= 0 {
		unix.Close(g.fd)
	}
}

func (g group) join(name string) string {
	if g.path == "" {
		return name
	}
	return g.path + "/" + name
}

// write writes value to file in one write(2), as cgroupfs requires.
func (g group) write(file, value string) error {
	fd, err := openat(g.fd, g.dir+file, unix.O_WRONLY)
	if err == nil {
		err = writeAll(fd, value)
		unix.Close(fd)
	}
	if err != nil {
		return &FileError{Op: "write", Path: g.join(file), Value: value, Err: err}
	}
	return nil
}

// read returns the text of file without its last newline.
func (g group) read(file string) (string, error) {
	fd, err := openat(g.fd, g.dir+file, unix.O_RDONLY)
	if err != nil {
		return "", &FileError{Op: "open", Path: g.join(file), Err: err}
	}
	defer unix.Close(fd)
	s, err := readAll(fd)
	if err != nil {
		return "", &FileError{Op: "read", Path: g.join(file), Err: err}
	}
	return strings.TrimSuffix(s, "\n"), nil
}

// has reports whether the group has the file.
func (g group) has(file string) bool {
	return unix.Faccessat(g.fd, g.dir+file, unix.F_OK, 0) == nil
}

// readPath returns the text of a file outside of any group.
func readPath(path string) (string, error) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY)
	if err != nil {
		return "", &FileError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	s, err := readAll(fd)
	if err != nil {
		return "", &FileError{Op: "read", Path: path, Err: err}
	}
	return s, nil
}

// openat opens with O_CLOEXEC. It retries after EINTR: the open may wait for a
// lock, and a signal interrupts that wait.
func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// writeAll writes s in one write(2). It retries after EINTR: a signal to the
// runtime interrupts the reclaim that a lowered memory limit starts.
func writeAll(fd int, s string) error {
	for {
		n, err := unix.Write(fd, []byte(s))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n < len(s):
			return io.ErrShortWrite
		default:
			return nil
		}
	}
}

func readAll(fd int) (string, error) {
	var (
		buf  [4096]byte
		text []byte
	)
	for {
		n, err := unix.Read(fd, buf[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", err
		case n == 0:
			return string(text), nil
		default:
			text = append(text, buf[:n]...)
			if n < len(buf)/2 {
				// A short read is not always the end: the kernel stops before a
				// record that does not fit into the buffer (seq_read_iter). No
				// record is half a page long, so less than half is the end.
				return string(text), nil
			}
		}
	}
}

// lines reads a file line by line without reading it whole.
type lines struct {
	fd     int
	path   string
	buf    []byte
	unread []byte // the part of buf that next has not returned
	err    error
}

func openLines(path string) (*lines, error) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY)
	if err != nil {
		return nil, &FileError{Op: "open", Path: path, Err: err}
	}
	return &lines{fd: fd, path: path, buf: make([]byte, 4096)}, nil
}

func (l *lines) close() { unix.Close(l.fd) }

// next returns the next line without its newline, or false at the end of the file
// and after an error. The line is valid until the next call.
func (l *lines) next() ([]byte, bool) {
	for {
		if line, rest, ok := bytes.Cut(l.unread, []byte("\n")); ok {
			l.unread = rest
			return line, true
		}
		if !l.fill() {
			return nil, false
		}
	}
}

// fill reads more of the file behind the unread part, or returns false at the end and
// after an error. It doubles a buffer that is full: a line is longer than it.
func (l *lines) fill() bool {
	n := copy(l.buf, l.unread)
	if n == len(l.buf) {
		l.buf = append(l.buf, make([]byte, n)...)
	}
	m, err := unix.Read(l.fd, l.buf[n:])
	for err == unix.EINTR {
		m, err = unix.Read(l.fd, l.buf[n:])
	}
	if err != nil {
		l.err = &FileError{Op: "read", Path: l.path, Err: err}
		return false
	}
	l.unread = l.buf[:n+m]
	return m > 0
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

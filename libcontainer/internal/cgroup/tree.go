package cgroup

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A container that may write to its cgroup can nest thousands of cgroups, with names
// of 255 bytes each. This file keeps one directory open at a time and never builds
// the path of a deep cgroup: the paths of 4,000 levels take 2 GiB. Errors name the
// cgroup where the walk started.

// walk calls f for g and all cgroups below it. It calls f for a cgroup before those
// below it. It closes all of them, g included.
func (g group) walk(f func(group) error) error {
	defer func() { g.close() }()
	names, err := g.visit(f)
	if err != nil {
		return err
	}
	trail := [][]string{names} // for each level down to g: cgroups still to visit
	for {
		level := &trail[len(trail)-1]
		n := len(*level)
		switch {
		case n > 0:
			child, err := g.below((*level)[n-1])
			*level = (*level)[:n-1]
			if unlessGone(err) != nil {
				return err
			} else if err != nil {
				continue
			}
			g.close()
			g = child
			if names, err = g.visit(f); err != nil {
				return err
			}
			trail = append(trail, names)
		case len(trail) == 1:
			return nil
		default:
			trail = trail[:len(trail)-1]
			if g, err = g.moveTo(".."); err != nil {
				return unlessGone(err)
			}
		}
	}
}

// visit calls f for g and returns the names of the cgroups directly below. A removed
// cgroup has none.
func (g group) visit(f func(group) error) ([]string, error) {
	err := f(g)
	if err != nil {
		return nil, unlessGone(err)
	}
	names, err := g.children()
	return names, unlessGone(err)
}

// below opens the directory name in g. The result keeps the path of g for errors.
func (g group) below(name string) (group, error) {
	fd, err := openat(g.fd, g.dir+name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return group{fd: -1}, &FileError{Op: "open a directory below", Path: g.path, Err: err}
	}
	return group{fd: fd, path: g.path}, nil
}

// moveTo opens the directory name in g like below, and closes g.
func (g group) moveTo(name string) (group, error) {
	next, err := g.below(name)
	g.close()
	return next, err
}

// children returns the names of the cgroups directly below g.
func (g group) children() ([]string, error) {
	fd, err := openat(g.fd, g.dir+".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &FileError{Op: "open", Path: g.path, Err: err}
	}
	defer unix.Close(fd)
	var names []string
	for {
		var buf [8192]byte
		n, err := unix.Getdents(fd, buf[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &FileError{Op: "getdents64", Path: g.path, Err: err}
		case n == 0:
			return names, nil
		default:
			names = appendDirs(names, buf[:n])
		}
	}
}

// appendDirs appends the directories in a buffer from getdents64(2) to names:
//
//	| d_ino 8 | d_off 8 | d_reclen 2 | d_type 1 | d_name, with a NUL … |
func appendDirs(names []string, entries []byte) []string {
	const reclenAt, typeAt, nameAt = 16, 18, 19
	for len(entries) > nameAt {
		size := int(binary.NativeEndian.Uint16(entries[reclenAt:]))
		if size <= nameAt || size > len(entries) {
			break
		}
		name, _, _ := bytes.Cut(entries[nameAt:size], []byte{0})
		if entries[typeAt] == unix.DT_DIR && string(name) != "." && string(name) != ".." {
			names = append(names, string(name))
		}
		entries = entries[size:]
	}
	return names
}

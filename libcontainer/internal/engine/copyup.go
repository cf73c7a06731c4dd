package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// What tmpcopyup copies is the image's: bounded in number, depth and size, and
// nothing but directories, files and symlinks (a FIFO would never end).
const (
	copyEntries = 100_000
	copyDepth   = 64
	copyChunk   = 1 << 20
)

// copyUp fills a new tmpfs, before it is attached, with what it will cover.
func (w *walk) copyUp(at plan.Place, to *remote.FD) error {
	if err := w.settle(); err != nil {
		return err
	}
	var q remote.Batch
	from := q.Openat2(w.root, relative(at.Path), unix.O_RDONLY|unix.O_DIRECTORY, 0, remote.InRoot)
	r := q.Last().Tolerate(unix.ENOENT)
	if err := w.ask(&q); err != nil {
		return err
	}
	if r.Errno() != 0 {
		return nil
	}
	c := copier{w: w}
	err := c.dir(from, to, 0)
	if closeErr := w.closeAll([]*remote.FD{from}); err == nil {
		err = closeErr
	}
	return err
}

type copier struct {
	w *walk
	n int
}

// dir copies the entries of a directory.
func (c *copier) dir(from, to *remote.FD, depth int) error {
	if depth > copyDepth {
		return fmt.Errorf("more than %d directories deep: %w", copyDepth, unix.ELOOP)
	}
	for {
		var q remote.Batch
		r, buf := q.Getdents(from, 32<<10)
		if err := c.w.ask(&q); err != nil {
			return err
		}
		if r.Value() == 0 {
			return nil
		}
		for _, name := range entries(buf.First(r.Value())) {
			if c.n++; c.n > copyEntries {
				return fmt.Errorf("more than %d files: %w", copyEntries, unix.EMFILE)
			}
			if err := c.entry(from, to, name, depth); err != nil {
				return fmt.Errorf("copy %q: %w", name, err)
			}
		}
	}
}

// entries takes the names out of struct linux_dirent64's (getdents(2)).
func entries(p []byte) []string {
	var out []string
	for len(p) >= 19 {
		n := int(binary.LittleEndian.Uint16(p[16:]))
		if n < 19 || n > len(p) {
			break
		}
		name, _, _ := bytes.Cut(p[19:n], []byte{0})
		if s := string(name); s != "." && s != ".." {
			out = append(out, s)
		}
		p = p[n:]
	}
	return out
}

func (c *copier) entry(from, to *remote.FD, name string, depth int) error {
	var q remote.Batch
	st := q.Statx(from, name, unix.AT_SYMLINK_NOFOLLOW)
	link, target := q.Readlinkat(from, name)
	link.TolerateAll()
	if err := c.w.ask(&q); err != nil {
		return err
	}
	s := st.Get()
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.subdir(from, to, name, s, depth)
	case unix.S_IFREG:
		return c.file(from, to, name, s)
	case unix.S_IFLNK:
		if link.Value() <= 0 {
			return unix.EINVAL
		}
		var q remote.Batch
		q.Symlinkat(string(target.First(link.Value())), to, name)
		q.Fchownat(to, name, s.Uid, s.Gid)
		return c.w.ask(&q)
	}
	return nil
}

func (c *copier) subdir(from, to *remote.FD, name string, s unix.Statx_t, depth int) error {
	var q remote.Batch
	q.Mkdirat(to, name, 0o700)
	src := q.Openat2(from, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, remote.Beneath)
	dst := q.Openat2(to, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, remote.Beneath)
	if err := c.w.ask(&q); err != nil {
		return err
	}
	if err := c.dir(src, dst, depth+1); err != nil {
		return err
	}
	var end remote.Batch
	end.Fchown(dst, s.Uid, s.Gid)
	end.Fchmod(dst, uint32(s.Mode)&0o7777)
	end.Close(src)
	end.Close(dst)
	return c.w.ask(&end)
}

// file copies the content; O_NONBLOCK is for a file that has become a FIFO
// since it was looked at.
func (c *copier) file(from, to *remote.FD, name string, s unix.Statx_t) error {
	var q remote.Batch
	src := q.Openat2(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0, remote.Beneath)
	dst := q.Openat2(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600, remote.Beneath)
	if err := c.w.ask(&q); err != nil {
		return err
	}
	for left := int64(s.Size); left > 0; {
		var q remote.Batch
		r := q.Sendfile(dst, src, int(min(left, copyChunk)))
		if err := c.w.ask(&q); err != nil {
			return err
		}
		if r.Value() == 0 {
			break
		}
		left -= r.Value()
	}
	var end remote.Batch
	end.Fchown(dst, s.Uid, s.Gid)
	end.Fchmod(dst, uint32(s.Mode)&0o7777)
	end.Close(src)
	end.Close(dst)
	return c.w.ask(&end)
}

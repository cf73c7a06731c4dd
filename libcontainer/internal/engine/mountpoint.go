package engine

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// maxLinks is how many symlinks a path may go over, as in the kernel
// (MAXSYMLINKS, path_resolution(7)).
const maxLinks = 40

// climber walks a path in the root file system one component at a time, and
// makes what is missing: what resolving inside the root would have led to, had
// it been there. A dangling symlink gets the file it points to.
type climber struct {
	w      *walk
	dirs   []*remote.FD // from the root to where we are
	opened []*remote.FD // by us, gone from dirs again or not
	links  int
}

// makeMountpoint makes the directory or the file that a mount needs.
func (w *walk) makeMountpoint(it plan.Item, path string, file bool) error {
	c := climber{w: w, dirs: []*remote.FD{w.root}}
	err := c.walk(components(path), file)
	c.close()
	if err != nil {
		what := "make the mountpoint of: "
		if _, ok := it.Step.(plan.Mount); !ok && !file {
			what = "make the directory for: "
		}
		it.Step = labelled{it.Step, what + it.Step.String()}
		if isErrno(err, unix.EROFS) {
			return hint(it, err, "where it would be made is mounted read-only: it has to be there already")
		}
		return failed(it, err)
	}
	return nil
}

// makeDirectory makes a directory, for a step that is no mount.
func (w *walk) makeDirectory(it plan.Item, path string) error {
	return w.makeMountpoint(it, path, false)
}

// labelled is a step with another text.
type labelled struct {
	plan.Step
	text string
}

func (l labelled) String() string { return l.text }

func components(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func (c *climber) walk(names []string, file bool) error {
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		switch name {
		case ".":
			continue
		case "..":
			if len(c.dirs) > 1 {
				c.dirs = c.dirs[:len(c.dirs)-1]
			}
			continue
		}
		link, err := c.enter(name, file && len(names) == 0)
		if err != nil {
			return err
		}
		if link != "" {
			if c.links++; c.links > maxLinks {
				return unix.ELOOP
			}
			if strings.HasPrefix(link, "/") {
				c.dirs = c.dirs[:1]
			}
			names = append(components(link), names...)
		}
	}
	return nil
}

// enter goes to name, makes it where it is missing, and gives the target
// where it is a symlink.
func (c *climber) enter(name string, file bool) (link string, err error) {
	var q remote.Batch
	dir := c.dirs[len(c.dirs)-1]
	if file {
		q.Mknodat(dir, name, unix.S_IFREG|0o644, 0).Tolerate(unix.EEXIST)
	} else {
		q.Mkdirat(dir, name, 0o755).Tolerate(unix.EEXIST)
	}
	fd := q.Openat2(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS)
	st := q.Statx(fd, "", 0)
	read, target := q.Readlinkat(fd, "")
	read.TolerateAll() // ENOENT or EINVAL: not a symlink
	if err := c.w.ask(&q); err != nil {
		return "", err
	}
	mode := st.Get().Mode & unix.S_IFMT
	if mode == unix.S_IFLNK {
		n := read.Value()
		if err := c.w.closeAll([]*remote.FD{fd}); err != nil {
			return "", err
		}
		if n <= 0 || n >= unix.PathMax {
			return "", fmt.Errorf("symlink %q: %w", name, unix.ENAMETOOLONG)
		}
		return string(target.First(n)), nil
	}
	c.dirs = append(c.dirs, fd)
	c.opened = append(c.opened, fd)
	return "", nil
}

func (c *climber) close() {
	_ = c.w.closeAll(c.opened)
}

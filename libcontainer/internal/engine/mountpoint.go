package engine

import (
	"fmt"
	"maps"
	"slices"
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
	made   bool // the last component was missing
}

// destinations is what is known of the places that mounts go to.
type destinations struct {
	crossed bool         // there are mounts that the plan does not know of
	missing int          // how many were, so far
	ahead   bool         // those of later steps have been made, too
	made    map[int]bool // by item: those that were missing
}

// makeMountpoint makes the directory or the file that a mount needs.
func (w *walk) makeMountpoint(it plan.Item, path string, file bool) error {
	names := components(path)
	w.places.missing++
	if w.makePlain(names, file) {
		w.places.made[w.at] = true
		return w.makeOthers(it)
	}
	c := climber{w: w, dirs: []*remote.FD{w.root}}
	err := c.walk(names, file)
	c.close()
	w.places.made[w.at] = c.made
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

// makePlain makes a mountpoint at once where that is simple: directories that are
// there or missing, and no symlink.
func (w *walk) makePlain(names []string, file bool) bool {
	if len(names) == 0 || len(names) > maxPlain {
		return false
	}
	var q remote.Batch
	made := makeChain(&q, w.root, names, file)
	return w.ask(&q) == nil && made.Ran() && made.Errno() == 0
}

// maxPlain keeps a chain, of at most three calls for a component, shorter than a
// call can skip.
const maxPlain = 64

// makeChain adds calls that go down from root, each directory by the descriptor
// of the one before, and make what is missing. They do nothing where there is a
// symlink.
func makeChain(b *remote.Batch, root *remote.FD, names []string, file bool) (made remote.Result) {
	type opening struct {
		fd   *remote.FD
		call remote.Result
	}
	var opened []opening
	dir, last := root, len(names)-1
	for _, name := range names[:last] {
		b.Mkdirat(dir, name, 0o755).TolerateAll()
		dir = b.Openat2(dir, name, unix.O_PATH|unix.O_DIRECTORY, 0, remote.Beneath)
		opened = append(opened, opening{dir, b.Last().TolerateAll()})
	}
	made = makeNode(b, dir, names[last], file).TolerateAll()
	for _, o := range slices.Backward(opened) {
		b.Close(o.fd)
		o.call.OnFailSkip()
	}
	return made
}

// makeOthers is for what is likely once a second mountpoint was missing: that
// others are, too. Each would cost two replies.
func (w *walk) makeOthers(it plan.Item) error {
	if w.places.missing < 2 || w.places.ahead || w.live != nil {
		return nil
	}
	w.places.ahead = true
	var q remote.Batch
	places, made := w.plainPlaces(), map[int]remote.Result{}
	for _, i := range slices.Sorted(maps.Keys(places)) {
		made[i] = makeChain(&q, w.root, components(places[i].Path), w.trees[i] != nil && w.trees[i].kind != unix.S_IFDIR)
		if q.Size() > maxBatch {
			if err := w.ask(&q); err != nil {
				return failed(it, w.lost(err))
			}
			q = remote.Batch{}
		}
	}
	if err := w.ask(&q); err != nil {
		return failed(it, w.lost(err))
	}
	for i, r := range made {
		w.places.made[i] = r.Ran() && r.Errno() == 0
	}
	return nil
}

// plainPlaces are the destinations of steps to come which are in the root file
// system itself, and whose kind is known.
func (w *walk) plainPlaces() map[int]plan.Place {
	places := map[int]plan.Place{}
	for i, it := range w.items {
		switch s := it.Step.(type) {
		case plan.Mount:
			places[i] = s.At
		case plan.Bind:
			places[i] = s.At
		}
	}
	maps.DeleteFunc(places, func(i int, at plan.Place) bool {
		names := strings.Count(at.Path, "/")
		b, bind := w.items[i].Step.(plan.Bind)
		known := !bind || w.trees[i] != nil && w.trees[i].kind != 0 && !b.CopySymlink
		return i <= w.at || !known || at.Below || at.Path == "/" || names > maxPlain
	})
	return places
}

// makeNode makes a mountpoint, of one kind or the other.
func makeNode(b *remote.Batch, dir *remote.FD, name string, file bool) remote.Result {
	if file {
		return b.Mknodat(dir, name, unix.S_IFREG|0o644, 0)
	}
	return b.Mkdirat(dir, name, 0o755)
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
			c.made = false
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
	made := makeNode(&q, dir, name, file).Tolerate(unix.EEXIST)
	fd := q.Openat2(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS)
	st := q.Statx(fd, "", 0)
	read, target := q.Readlinkat(fd, "")
	read.TolerateAll() // ENOENT or EINVAL: not a symlink
	if err := c.w.ask(&q); err != nil {
		return "", err
	}
	c.made = made.Errno() == 0
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

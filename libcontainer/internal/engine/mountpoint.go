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

// mountpoints creates missing mountpoints.
type mountpoints struct {
	*rootfs
	missing int          // the number of missing mountpoints so far
	ahead   bool         // the mountpoints of later steps have been created, too
	made    map[int]bool // by item: the mountpoint was missing
}

// maxLinks is the number of symlinks that a path may contain, as in the kernel
// (MAXSYMLINKS, path_resolution(7)).
const maxLinks = 40

// climber walks a path in the root file system one component at a time, and
// creates missing components. It goes where RESOLVE_IN_ROOT would have led if
// they had existed. For a dangling symlink it creates the target.
//
// The climber reads each symlink and continues with its components; the kernel
// never follows one. So no step can leave the root file system.
type climber struct {
	*batches
	dirs   []*remote.FD // from the root to the present directory
	opened []*remote.FD // all that the climber has opened, also those no longer in dirs
	links  int
	made   bool // the last component was missing
}

// create creates the directory or the file that a mount needs.
func (mp *mountpoints) create(it plan.Item, path string, file bool) error {
	names := components(path)
	mp.missing++
	if mp.makePlain(names, file) {
		mp.made[mp.at] = true
		return mp.makeOthers(it)
	}
	c := climber{batches: mp.batches, dirs: []*remote.FD{mp.root}}
	err := c.walk(names, file)
	c.close()
	mp.made[mp.at] = c.made
	if err != nil {
		what := "make the mountpoint of: "
		if _, ok := it.Step.(plan.Mount); !ok && !file {
			what = "make the directory for: "
		}
		it.Step = labelled{it.Step, what + it.Step.String()}
		if isErrno(err, unix.EROFS) {
			return hint(it, err, "the file system is mounted read-only: create the mountpoint beforehand")
		}
		return failed(it, err)
	}
	return nil
}

// makePlain creates a mountpoint in one batch. It works if all components are
// existing or missing directories, and none is a symlink.
func (mp *mountpoints) makePlain(names []string, file bool) bool {
	if len(names) == 0 || len(names) > maxPlain {
		return false
	}
	var q remote.Batch
	made := makeChain(&q, mp.root, names, file)
	return mp.ask(&q) == nil && made.Ran() && made.Errno() == 0
}

// maxPlain bounds a chain: it has at most three calls for each component, and a
// call can skip at most 255.
const maxPlain = 64

// makeChain adds calls that create the missing components below root. Each
// directory is opened through the descriptor of the one before. At a symlink the
// remaining calls do nothing.
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

// makeOthers creates the mountpoints of later mounts, once a second one was
// missing: then more are likely to be missing. Each one costs two round trips.
func (mp *mountpoints) makeOthers(it plan.Item) error {
	if mp.missing < 2 || mp.ahead || mp.visit != nil {
		return nil
	}
	mp.ahead = true
	var q remote.Batch
	places, made := mp.plainPlaces(), map[int]remote.Result{}
	for _, i := range slices.Sorted(maps.Keys(places)) {
		made[i] = makeChain(&q, mp.root, components(places[i].Path), mp.sources.byItem[i] != nil && mp.sources.byItem[i].kind != unix.S_IFDIR)
		if q.Size() > maxBatch {
			if err := mp.ask(&q); err != nil {
				return failed(it, mp.lost(err))
			}
			q = remote.Batch{}
		}
	}
	if err := mp.ask(&q); err != nil {
		return failed(it, mp.lost(err))
	}
	for i, r := range made {
		mp.made[i] = r.Ran() && r.Errno() == 0
	}
	return nil
}

// plainPlaces returns the destinations of later steps that are in the root file
// system itself and whose kind, file or directory, is known.
func (mp *mountpoints) plainPlaces() map[int]plan.Place {
	places := map[int]plan.Place{}
	for i, it := range mp.items {
		switch s := it.Step.(type) {
		case plan.Mount:
			places[i] = s.At
		case plan.Bind:
			places[i] = s.At
		}
	}
	maps.DeleteFunc(places, func(i int, at plan.Place) bool {
		names := strings.Count(at.Path, "/")
		b, bind := mp.items[i].Step.(plan.Bind)
		known := !bind || mp.sources.byItem[i] != nil && mp.sources.byItem[i].kind != 0 && !b.CopySymlink
		return i <= mp.at || !known || at.Below || at.Path == "/" || names > maxPlain
	})
	return places
}

// createDirectory creates a directory for a step that is not a mount.
func (mp *mountpoints) createDirectory(it plan.Item, path string) error {
	return mp.create(it, path, false)
}

// labelled is a step with another text.
type labelled struct {
	plan.Step
	text string
}

func (l labelled) String() string { return l.text }

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

// enter goes to name and creates it if it is missing. If name is a symlink, enter
// returns its target.
func (c *climber) enter(name string, file bool) (link string, err error) {
	var q remote.Batch
	dir := c.dirs[len(c.dirs)-1]
	made := makeNode(&q, dir, name, file).Tolerate(unix.EEXIST)
	fd := q.Openat2(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS)
	st := q.Statx(fd, "", 0)
	read, target := q.Readlinkat(fd, "")
	read.TolerateAll() // ENOENT or EINVAL: not a symlink
	if err := c.ask(&q); err != nil {
		return "", err
	}
	c.made = made.Errno() == 0
	mode := st.Get().Mode & unix.S_IFMT
	if mode == unix.S_IFLNK {
		n := read.Value()
		if err := c.closeAll([]*remote.FD{fd}); err != nil {
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
	_ = c.closeAll(c.opened)
}

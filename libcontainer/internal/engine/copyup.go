package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// The image decides about the tree that tmpcopyup copies. So the number of its
// entries and its depth are bounded. A file's content ends at its size.
const (
	copyEntries = 100_000
	copyDepth   = 64
	copyChunk   = 1 << 20 // bytes of content in one batch, within its deadline
	copyNames   = 8 << 10 // bytes of names in one getdents
	copyAtOnce  = 128     // entries that one batch asks about: at most 600 bytes of the arena each
	copyLinks   = 16      // symlinks that one batch reads: PATH_MAX bytes of the arena each
	copySmall   = 64 << 10
	copyRoom    = stub.ArenaSize - 4<<10 // the size of a batch that takes no further entry (copy takes 2 KiB)
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
	c := copier{w: w, root: at.Path}
	err := c.dir(level{from: from, to: to, path: at.Path})
	if closeErr := w.closeAll([]*remote.FD{from}); err == nil {
		err = closeErr
	}
	if err == nil {
		c.report()
	}
	return err
}

// copier copies a tree with few round trips: it asks about many entries in one
// batch, and copies many in the next.
type copier struct {
	w       *walk
	root    string
	n       int
	left    int    // special files that could not be created
	example string // the path of the first of these
	errno   unix.Errno
}

// level is a directory and its copy.
type level struct {
	from, to *remote.FD
	path     string
	depth    int
}

// found is an entry of a directory.
type found struct {
	name   string
	target string // of a symlink
	stat   unix.Statx_t
}

func (f found) kind() uint16 { return f.stat.Mode & unix.S_IFMT }
func (f found) perm() uint32 { return uint32(f.stat.Mode) & 0o7777 }

// report warns of the special files that are missing in the copy.
func (c *copier) report() {
	if c.left > 0 && c.w.Warn != nil {
		c.w.Warn(fmt.Sprintf("tmpcopyup of %s: %d special files are not copied, %s first: %v", c.root, c.left, c.example, c.errno))
	}
}

// dir copies the entries of a directory.
func (c *copier) dir(l level) error {
	if l.depth > copyDepth {
		return fmt.Errorf("more than %d directories deep: %w", copyDepth, unix.ELOOP)
	}
	for {
		var q remote.Batch
		r, buf := q.Getdents(l.from, copyNames)
		if err := c.w.ask(&q); err != nil {
			return err
		}
		if r.Value() == 0 {
			return nil
		}
		for names := range slices.Chunk(entries(buf.First(r.Value())), copyAtOnce) {
			if c.n += len(names); c.n > copyEntries {
				return fmt.Errorf("more than %d files: %w", copyEntries, unix.EMFILE)
			}
			if err := c.entries(l, names); err != nil {
				return err
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

// entries copies the entries of those names: directories and large files one by
// one, everything else in common batches.
func (c *copier) entries(l level, names []string) error {
	list, err := c.look(l, names)
	if err != nil {
		return err
	}
	common := batchCopy{c: c, level: l}
	for _, f := range list {
		switch kind := f.kind(); {
		case kind == unix.S_IFDIR:
			err = c.subdir(l, f)
		case kind == unix.S_IFREG && f.stat.Size > copySmall:
			err = c.file(l, f)
		default:
			if err := common.add(f); err != nil { // it names the entry
				return err
			}
		}
		if err != nil {
			return copyError(f.name, err)
		}
	}
	return common.flush()
}

func copyError(name string, err error) error { return fmt.Errorf("copy %q: %w", name, err) }

// named adds the name of the entry whose call failed: the calls' tags are the
// indexes of list.
func named(list []found, err error) error {
	if ce := (*remote.CallError)(nil); errors.As(err, &ce) && ce.Tag < len(list) {
		return copyError(list[ce.Tag].name, err)
	}
	return err
}

// look asks for the attributes of the names, and reads the symlinks.
func (c *copier) look(l level, names []string) ([]found, error) {
	list, stats := make([]found, len(names)), make([]remote.Stat, len(names))
	var q remote.Batch
	for i, name := range names {
		q.Tag(i)
		list[i].name = name
		stats[i] = q.Statx(l.from, name, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err := c.w.ask(&q); err != nil {
		return nil, named(list, err)
	}
	var links []*found
	for i := range list {
		list[i].stat = stats[i].Get()
		if list[i].kind() == unix.S_IFLNK {
			links = append(links, &list[i])
		}
	}
	for some := range slices.Chunk(links, copyLinks) {
		if err := c.readLinks(l, some); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (c *copier) readLinks(l level, links []*found) error {
	var q remote.Batch
	results, targets := make([]remote.Result, len(links)), make([]remote.Buf, len(links))
	for i, f := range links {
		results[i], targets[i] = q.Readlinkat(l.from, f.name)
		results[i].TolerateAll()
	}
	if err := c.w.ask(&q); err != nil {
		return err
	}
	for i, f := range links {
		if results[i].Value() <= 0 {
			return copyError(f.name, unix.EINVAL)
		}
		f.target = string(targets[i].First(results[i].Value()))
	}
	return nil
}

// batchCopy copies small entries of one directory in one batch.
type batchCopy struct {
	c       *copier
	level   level
	q       remote.Batch
	list    []found
	results []remote.Result // of the call that tells about the entry
	content int64
}

func (b *batchCopy) add(f found) error {
	if b.q.Size() > copyRoom || b.content > copyChunk {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.q.Tag(len(b.list))
	b.list = append(b.list, f)
	switch f.kind() {
	case unix.S_IFREG:
		b.results = append(b.results, b.file(f))
	case unix.S_IFLNK:
		b.results = append(b.results, b.q.Symlinkat(f.target, b.level.to, f.name))
		b.q.Fchownat(b.level.to, f.name, f.stat.Uid, f.stat.Gid)
	default:
		b.results = append(b.results, b.special(f))
	}
	return nil
}

func (b *batchCopy) file(f found) remote.Result {
	src, dst := openBoth(&b.q, b.level, f.name)
	r := b.q.Last()
	if f.stat.Size > 0 {
		r = b.q.Sendfile(dst, src, int(f.stat.Size))
		b.content += int64(f.stat.Size)
	}
	finish(&b.q, src, dst, f)
	return r
}

// special creates a FIFO, a socket or a device. mknod(2) refuses devices in a
// user namespace, and those that the cgroup's rules forbid.
func (b *batchCopy) special(f found) remote.Result {
	r := b.q.Mknodat(b.level.to, f.name, uint32(f.kind())|0o600, unix.Mkdev(f.stat.Rdev_major, f.stat.Rdev_minor)).Tolerate(unix.EPERM)
	b.q.Fchownat(b.level.to, f.name, f.stat.Uid, f.stat.Gid)
	b.q.Fchmodat(b.level.to, f.name, f.perm())
	r.OnFailSkip()
	return r
}

// flush executes the batch, and begins the next.
func (b *batchCopy) flush() error {
	q, list, results := b.q, b.list, b.results
	b.q, b.list, b.results, b.content = remote.Batch{}, nil, nil, 0
	if err := b.c.w.ask(&q); err != nil {
		return named(list, err)
	}
	for i, f := range list {
		switch f.kind() {
		case unix.S_IFLNK:
		case unix.S_IFREG:
			if n := results[i].Value(); f.stat.Size > 0 && n < int64(f.stat.Size) {
				if err := b.again(f); err != nil {
					return copyError(f.name, err)
				}
			}
		default:
			b.c.note(b.level, f, results[i].Errno())
		}
	}
	return nil
}

// again copies a file anew: a signal cut sendfile(2) short, or the file has
// become shorter.
func (b *batchCopy) again(f found) error {
	var q remote.Batch
	q.Unlinkat(b.level.to, f.name, 0)
	if err := b.c.w.ask(&q); err != nil {
		return err
	}
	return b.c.file(b.level, f)
}

// note counts a special file that was not created.
func (c *copier) note(l level, f found, errno unix.Errno) {
	if errno == 0 {
		return
	}
	if c.left++; c.left == 1 {
		c.example, c.errno = l.path+"/"+f.name, errno
	}
}

func (c *copier) subdir(l level, f found) error {
	var q remote.Batch
	q.Mkdirat(l.to, f.name, 0o700)
	src := q.Openat2(l.from, f.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, remote.Beneath)
	dst := q.Openat2(l.to, f.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, remote.Beneath)
	if err := c.w.ask(&q); err != nil {
		return err
	}
	if err := c.dir(level{from: src, to: dst, path: l.path + "/" + f.name, depth: l.depth + 1}); err != nil {
		return err
	}
	var end remote.Batch
	finish(&end, src, dst, f)
	return c.w.ask(&end)
}

// openBoth opens a file and its new copy. O_NONBLOCK is for a file that has
// become a FIFO since the stub looked at it.
func openBoth(q *remote.Batch, l level, name string) (src, dst *remote.FD) {
	src = q.Openat2(l.from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0, remote.Beneath)
	dst = q.Openat2(l.to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600, remote.Beneath)
	return src, dst
}

// finish gives the copy its owner and mode, in this order: chown(2) clears the
// set-user-ID bit.
func finish(q *remote.Batch, src, dst *remote.FD, f found) {
	q.Fchown(dst, f.stat.Uid, f.stat.Gid)
	q.Fchmod(dst, f.perm())
	q.Close(src)
	q.Close(dst)
}

// file copies a large file in chunks.
func (c *copier) file(l level, f found) error {
	var q remote.Batch
	src, dst := openBoth(&q, l, f.name)
	if err := c.w.ask(&q); err != nil {
		return err
	}
	for left := int64(f.stat.Size); left > 0; {
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
	finish(&end, src, dst, f)
	return c.w.ask(&end)
}

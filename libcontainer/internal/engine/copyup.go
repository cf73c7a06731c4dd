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
)

// The image controls the tree that tmpcopyup copies. So the number of its entries
// and its depth are bounded. The content of a file is copied up to its size.
const (
	copyEntries  = 100_000
	copyDepth    = 64
	copyChunk    = 1 << 20   // bytes of content in one batch, within its deadline
	copyNames    = 8 << 10   // bytes of names in one getdents
	copyAtOnce   = 128       // entries in one batch of statx: each takes at most 600 bytes of the arena
	copyLinks    = 16        // symlinks in one batch of readlinkat: each takes PATH_MAX bytes of the arena
	copyTogether = 32        // entries that one batch copies
	copyTiny     = 4 << 10   // largest file that is copied with read and write, which are cheaper there than sendfile
	copySmall    = 64 << 10  // largest file that is copied in a common batch
	copyRoom     = 120 << 10 // batches above this size take no further entry (an entry takes 2 KiB)
)

// copyUp copies the directory that a new tmpfs will cover into the tmpfs, before
// the tmpfs is attached.
func (r *rootfs) copyUp(at plan.Place, to *remote.FD) error {
	if err := r.settle(); err != nil {
		return err
	}
	var q remote.Batch
	from := q.Openat2(r.root, relative(at.Path), unix.O_RDONLY|unix.O_DIRECTORY, 0, remote.InRoot)
	missing := q.Last().Tolerate(unix.ENOENT)
	if err := r.ask(&q); err != nil {
		return err
	}
	if missing.Errno() != 0 {
		return nil
	}
	c := copier{batches: r.batches, root: at.Path}
	err := c.dir(level{from: from, to: to, path: at.Path})
	if closeErr := r.closeAll([]*remote.FD{from}); err == nil {
		err = closeErr
	}
	if err == nil {
		c.report()
	}
	return err
}

// copier copies a tree with few round trips. It asks about many entries in one
// batch, and copies many in the next.
type copier struct {
	*batches
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

// report warns about the special files that are missing in the copy.
func (c *copier) report() {
	if c.left > 0 && c.job.Warn != nil {
		c.job.Warn(fmt.Sprintf("tmpcopyup of %s: %d special files are not copied, %s first: %v", c.root, c.left, c.example, c.errno))
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
		if err := c.ask(&q); err != nil {
			return err
		}
		if r.Value() == 0 {
			return nil
		}
		for names := range slices.Chunk(entries(buf.First(r.Value())), copyAtOnce) {
			if c.n += len(names); c.n > copyEntries {
				return fmt.Errorf("more than %d files", copyEntries)
			}
			if err := c.entries(l, names); err != nil {
				return err
			}
		}
	}
}

// entries returns the names in a list of struct linux_dirent64 (getdents(2)).
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

// entries copies the entries with these names: first small ones in common
// batches, then directories and large files one by one.
func (c *copier) entries(l level, names []string) error {
	list, err := c.look(l, names)
	if err != nil {
		return err
	}
	var alone []found
	common := batchCopy{c: c, level: l}
	for _, f := range list {
		if f.kind() == unix.S_IFDIR || f.kind() == unix.S_IFREG && f.stat.Size > copySmall {
			alone = append(alone, f)
			continue
		}
		if err := common.add(f); err != nil {
			return err
		}
	}
	if err := common.end(); err != nil {
		return err
	}
	for _, f := range alone {
		if err := c.alone(l, f); err != nil {
			return copyError(f.name, err)
		}
	}
	return nil
}

func (c *copier) alone(l level, f found) error {
	if f.kind() == unix.S_IFDIR {
		return c.subdir(l, f)
	}
	return c.file(l, f)
}

func copyError(name string, err error) error { return fmt.Errorf("copy %q: %w", name, err) }

// named adds the name of the entry whose call failed. The tags of the calls are
// the indexes of list.
func named(list []found, err error) error {
	if ce := (*remote.CallError)(nil); errors.As(err, &ce) && ce.Tag < len(list) {
		return copyError(list[ce.Tag].name, err)
	}
	return err
}

// look reads the attributes of the names, and the targets of symlinks.
func (c *copier) look(l level, names []string) ([]found, error) {
	list, stats := make([]found, len(names)), make([]remote.Stat, len(names))
	var q remote.Batch
	q.Expect(len(names))
	for i, name := range names {
		q.Tag(i)
		list[i].name = name
		stats[i] = q.Statx(l.from, name, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err := c.ask(&q); err != nil {
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
	if err := c.ask(&q); err != nil {
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

// batchCopy copies small entries of one directory in common batches. It builds
// the next batch while the stub executes the one before.
type batchCopy struct {
	c      *copier
	level  level
	next   common
	behind common // the batch that the stub executes
}

// common is a batch of copies.
type common struct {
	q       remote.Batch
	list    []found
	results []remote.Result // of the call whose result decides about the entry (check)
	content int64
	memory  *remote.Buf // the buffer that all tiny files use in turn
}

func (b *batchCopy) add(f found) error {
	if b.next.full() {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.next.add(b.level, f)
	return nil
}

// end sends the last batch, and waits for it.
func (b *batchCopy) end() error {
	if err := b.flush(); err != nil {
		return err
	}
	return b.collect()
}

// flush waits for the batch before, sends this one, and begins the next.
func (b *batchCopy) flush() error {
	if err := b.collect(); err != nil || len(b.next.list) == 0 {
		return err
	}
	if err := b.c.stub.Send(&b.next.q); err != nil {
		return err
	}
	b.behind, b.next = b.next, common{}
	return nil
}

// collect waits for the batch that the stub executes.
func (b *batchCopy) collect() error {
	done := b.behind
	if b.behind = (common{}); len(done.list) == 0 {
		return nil
	}
	if err := b.c.stub.Receive(&done.q); err != nil {
		return named(done.list, err)
	}
	for i, f := range done.list {
		if err := b.check(f, done.results[i]); err != nil {
			return copyError(f.name, err)
		}
	}
	return nil
}

// check looks at the result for an entry. It repeats a short copy: a signal has
// interrupted sendfile(2), or the file has become shorter.
func (b *batchCopy) check(f found, r remote.Result) error {
	switch kind := f.kind(); {
	case kind == unix.S_IFLNK:
	case kind != unix.S_IFREG:
		b.c.note(b.level, f, r.Errno())
	case f.stat.Size > 0 && r.Value() < int64(f.stat.Size):
		var q remote.Batch
		q.Unlinkat(b.level.to, f.name, 0)
		if err := b.c.ask(&q); err != nil {
			return err
		}
		return b.c.file(b.level, f)
	}
	return nil
}

func (b *common) full() bool {
	return len(b.list) == copyTogether || b.q.Size() > copyRoom || b.content > copyChunk
}

func (b *common) add(l level, f found) {
	if b.q.Len() == 0 {
		b.q.Expect(8 * copyTogether)
	}
	b.q.Tag(len(b.list))
	b.list = append(b.list, f)
	switch f.kind() {
	case unix.S_IFREG:
		b.results = append(b.results, b.file(l, f))
	case unix.S_IFLNK:
		b.results = append(b.results, b.q.Symlinkat(f.target, l.to, f.name))
		b.q.Fchownat(l.to, f.name, f.stat.Uid, f.stat.Gid)
	default:
		b.results = append(b.results, b.special(l, f))
	}
}

func (b *common) file(l level, f found) remote.Result {
	src, dst := openBoth(&b.q, l, f.name)
	r := b.q.Last()
	switch n := int(f.stat.Size); {
	case n == 0:
	case n <= copyTiny:
		r = b.read(src, n)
		b.q.WriteFrom(*b.memory, dst, n)
	default:
		r = b.q.Sendfile(dst, src, n)
		b.content += int64(n)
	}
	finish(&b.q, src, dst, f)
	return r
}

// read reads a tiny file into the buffer that all tiny files use. If the file has
// become shorter, the bytes behind its content belong to another file. Then the
// result is short, and check copies the file again.
func (b *common) read(src *remote.FD, n int) remote.Result {
	if b.memory != nil {
		return b.q.ReadTo(*b.memory, src, n)
	}
	r, memory := b.q.Read(src, copyTiny)
	b.memory = &memory
	return r
}

// special creates a FIFO, a socket or a device. mknod(2) refuses devices in a user
// namespace, and devices that the cgroup's rules forbid.
func (b *common) special(l level, f found) remote.Result {
	r := b.q.Mknodat(l.to, f.name, uint32(f.kind())|0o600, unix.Mkdev(f.stat.Rdev_major, f.stat.Rdev_minor)).Tolerate(unix.EPERM)
	b.q.Fchownat(l.to, f.name, f.stat.Uid, f.stat.Gid)
	b.q.Fchmodat(l.to, f.name, f.perm())
	r.OnFailSkip()
	return r
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
	if err := c.ask(&q); err != nil {
		return err
	}
	if err := c.dir(level{from: src, to: dst, path: l.path + "/" + f.name, depth: l.depth + 1}); err != nil {
		return err
	}
	var end remote.Batch
	finish(&end, src, dst, f)
	return c.ask(&end)
}

// openBoth opens a file and creates its copy. O_NONBLOCK protects the stub if the
// file has become a FIFO since the last look.
func openBoth(q *remote.Batch, l level, name string) (src, dst *remote.FD) {
	src = q.Openat2(l.from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0, remote.Beneath)
	dst = q.Openat2(l.to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600, remote.Beneath)
	return src, dst
}

// finish sets the owner of the copy, then the mode: chown(2) clears the
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
	if err := c.ask(&q); err != nil {
		return err
	}
	for left := int64(f.stat.Size); left > 0; {
		var q remote.Batch
		r := q.Sendfile(dst, src, int(min(left, copyChunk)))
		if err := c.ask(&q); err != nil {
			return err
		}
		if r.Value() == 0 {
			break
		}
		left -= r.Value()
	}
	var end remote.Batch
	finish(&end, src, dst, f)
	return c.ask(&end)
}

package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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
	copyNames    = 4 << 10   // bytes of names in one getdents
	copyMore     = 512       // bytes of the getdents behind it, which usually finds the end; any name fits
	copyAtOnce   = 128       // entries in one batch of statx: each takes at most 600 bytes of the arena
	copyLinks    = 16        // symlinks in one batch of readlinkat: each takes PATH_MAX bytes of the arena
	copyTogether = 64        // entries that one batch copies
	copyTiny     = 4 << 10   // largest file that is copied with read and write, which are cheaper there than sendfile
	copySmall    = 64 << 10  // largest file that is copied in a common batch
	copyRoom     = 120 << 10 // batches above this size take no further entry (an entry takes 2 KiB)
)

// copyUp copies the directory that a new tmpfs will cover into the tmpfs, before
// the tmpfs is attached.
func (r *rootfs) copyUp(s plan.Mount, to *remote.FD) error {
	if err := r.settle(); err != nil {
		return err
	}
	var q remote.Batch
	from := q.Openat2(r.root, relative(s.At.Path), unix.O_RDONLY|unix.O_DIRECTORY, 0, remote.InRoot)
	missing := q.Last().Tolerate(unix.ENOENT)
	own := q.Statx(to, "", 0)
	if err := r.ask(&q); err != nil {
		return err
	}
	if missing.Errno() != 0 {
		return nil
	}
	st := own.Get()
	c := copier{batches: r.batches, root: s.At.Path, owner: owner{st.Uid, st.Gid}}
	if slices.ContainsFunc(s.Params, func(p plan.Param) bool { return p.Key == "uid" || p.Key == "gid" }) {
		c.owner = nobody // the owner of the directory is not that of new files
	}
	err := c.tree(level{from: from, to: to, path: s.At.Path})
	if closeErr := r.closeAll([]*remote.FD{from}); err == nil {
		err = closeErr
	}
	if err == nil {
		c.report()
	}
	return err
}

// copier copies a tree with few round trips. It asks about many entries in one
// batch, and copies many in the next. While the stub copies, the copier builds the
// next batch or looks into the next directory.
type copier struct {
	*batches
	root    string
	owner   owner // of the files that the stub creates in the tmpfs
	n       int
	looking remote.Batch
	free    remote.Batch // memory of a batch of copies whose results have been read (Batch.Renew)
	behind  *common      // the batch of copies whose results are not back yet
	again   []entry      // entries to be copied again
	ending  []copied     // complete copies, which get their owners and modes with the next batch
	left    int          // special files that could not be created
	example string       // the path of the first of these
	errno   unix.Errno
}

type owner struct{ uid, gid uint32 }

// nobody is the owner of no file.
var nobody = owner{math.MaxUint32, math.MaxUint32}

// entry is a name to copy, and its directory.
type entry struct {
	level level
	found found
}

// copied is a directory whose entries have been copied.
type copied struct {
	src, dst *remote.FD
	found    found
}

// level is a directory and its copy.
type level struct {
	from, to *remote.FD
	path     string
	depth    int
}

// found is a name in a directory, with the attributes of its file.
type found struct {
	name   string
	target string // of a symlink
	stat   attributes
}

// attributes is the part of a struct statx that a copy needs. Complete structures would
// need too much memory for a large tree.
type attributes struct {
	mode     uint16
	uid, gid uint32
	size     uint64
	device   uint64
}

func (f found) kind() uint16 { return f.stat.mode & unix.S_IFMT }

func (f found) owner() owner { return owner{f.stat.uid, f.stat.gid} }

func (f found) perm() uint32 { return uint32(f.stat.mode) & 0o7777 }

// report warns about the special files that are missing in the copy.
func (c *copier) report() {
	if c.left > 0 && c.job.Warn != nil {
		c.job.Warn(fmt.Sprintf("tmpcopyup of %s: %d special files are not copied, %s first: %v", c.root, c.left, c.example, c.errno))
	}
}

// tree copies the tree below l.
func (c *copier) tree(l level) error {
	var q remote.Batch
	first := listing(&q, l.from)
	if err := c.ask(&q, l, nil); err != nil {
		return err
	}
	err := c.dir(l, first)
	if waitErr := c.wait(); err == nil { // also behind an error: the reply is on its way
		err = waitErr
	}
	if err != nil {
		return err
	}
	var end remote.Batch
	c.end(&end)
	return c.batches.ask(&end)
}

// ask has the stub execute q behind the copies in progress, and collects these first.
// q uses no descriptor of a complete directory. Its tags belong to list.
func (c *copier) ask(q *remote.Batch, l level, list []found) error {
	if c.behind == nil {
		c.end(q)
	}
	if err := c.stub.Send(q); err != nil {
		return err
	}
	err := c.collect()
	if asked := c.stub.Receive(q); err == nil { // also behind a failed copy: the reply is on its way
		err = named(l, list, asked)
	}
	if err != nil {
		return err
	}
	return c.repeat()
}

// wait ends the copies in progress.
func (c *copier) wait() error {
	if err := c.collect(); err != nil {
		return err
	}
	return c.repeat()
}

// end adds the calls that complete directories. Nothing is copied into these any more.
func (c *copier) end(q *remote.Batch) {
	for _, d := range c.ending {
		q.Tag(0)
		c.finish(q, d.src, d.dst, d.found)
	}
	c.ending = nil
}

// names is the result of two getdents calls. If the directory is small, the second
// returns nothing and shows the end.
type names [2]struct {
	n   remote.Result
	buf remote.Buf
}

// listing adds the calls that read names of a directory.
func listing(q *remote.Batch, dir *remote.FD) names {
	var l names
	for i, size := range []int{copyNames, copyMore} {
		l[i].n, l[i].buf = q.Getdents(dir, size)
	}
	return l
}

// dir copies the entries of a directory. It gets the first names.
func (c *copier) dir(l level, next names) error {
	if l.depth > copyDepth {
		return fmt.Errorf("more than %d directories deep: %w", copyDepth, unix.ELOOP)
	}
	for {
		for _, part := range next {
			if part.n.Value() == 0 {
				return nil
			}
			if err := c.all(l, entries(part.buf.First(part.n.Value()))); err != nil {
				return err
			}
		}
		var q remote.Batch
		next = listing(&q, l.from)
		if err := c.ask(&q, l, nil); err != nil {
			return err
		}
	}
}

func (c *copier) all(l level, list []string) error {
	for names := range slices.Chunk(list, copyAtOnce) {
		if c.n += len(names); c.n > copyEntries {
			return fmt.Errorf("more than %d files", copyEntries)
		}
		if err := c.entries(l, names); err != nil {
			return err
		}
	}
	return nil
}

// entries returns the names in a list of struct linux_dirent64 (getdents(2)).
func entries(p []byte) []string {
	var out []string
	for len(p) >= 19 {
		n := int(binary.NativeEndian.Uint16(p[16:]))
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
	next := c.common(l, len(list))
	for _, f := range list {
		if f.kind() == unix.S_IFDIR || f.kind() == unix.S_IFREG && f.stat.size > copySmall {
			alone = append(alone, f)
			continue
		}
		if next.full() {
			if err := c.flush(next); err != nil {
				return err
			}
			next = c.common(l, len(list))
		}
		next.add(f)
	}
	if err := c.flush(next); err != nil {
		return err
	}
	for _, f := range alone {
		if err := c.alone(l, f); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) alone(l level, f found) error {
	if f.kind() == unix.S_IFDIR {
		return c.subdir(l, f)
	}
	if err := c.wait(); err != nil {
		return err
	}
	if err := c.file(l, f); err != nil {
		return copyError(l, f.name, err)
	}
	return nil
}

func copyError(l level, name string, err error) error {
	return fmt.Errorf("copy %q: %w", l.path+"/"+name, err)
}

// entryTag is the tag of the calls for the entry with index i of a list. It is
// negative: other tags are indexes of the plan's items. It is its own inverse.
func entryTag(i int) int { return -1 - i }

// named adds the path of the entry whose call failed.
func named(l level, list []found, err error) error {
	if ce := (*remote.CallError)(nil); errors.As(err, &ce) && ce.Tag < 0 {
		return copyError(l, list[entryTag(ce.Tag)].name, err)
	}
	return err
}

// look reads the attributes of the names, and the targets of symlinks.
func (c *copier) look(l level, names []string) ([]found, error) {
	list, stats := make([]found, len(names)), make([]remote.Stat, len(names))
	q := &c.looking
	q.Renew(*q)
	q.Expect(len(names))
	for i, name := range names {
		q.Tag(entryTag(i))
		list[i].name = name
		stats[i] = q.Statx(l.from, name, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err := c.ask(q, l, list); err != nil {
		return nil, err
	}
	var links []*found
	for i := range list {
		st := stats[i].Get()
		list[i].stat = attributes{st.Mode, st.Uid, st.Gid, st.Size, unix.Mkdev(st.Rdev_major, st.Rdev_minor)}
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
	if err := c.ask(&q, l, nil); err != nil {
		return err
	}
	for i, f := range links {
		if results[i].Value() <= 0 {
			return copyError(l, f.name, unix.EINVAL)
		}
		f.target = string(targets[i].First(results[i].Value()))
	}
	return nil
}

// common is a batch of copies of small entries of one directory.
type common struct {
	c       *copier
	level   level
	q       remote.Batch
	list    []found
	results []remote.Result // of the call whose result decides about the entry (check)
	content int64
	memory  *remote.Buf // the buffer that all tiny files use in turn
}

// common returns an empty batch for some of n entries.
func (c *copier) common(l level, n int) *common {
	b := &common{c: c, level: l}
	b.q.Renew(c.free)
	c.free = remote.Batch{}
	const ofFile = 6 // calls
	b.q.Expect(ofFile * min(n, copyTogether))
	return b
}

// flush sends a batch, and collects the one before.
func (c *copier) flush(b *common) error {
	if len(b.list) == 0 {
		return nil
	}
	if err := c.stub.Send(&b.q); err != nil {
		return err
	}
	err := c.collect()
	c.behind = b
	return err
}

// collect waits for the batch of copies that the stub executes, and checks its results.
func (c *copier) collect() error {
	done := c.behind
	if c.behind = nil; done == nil {
		return nil
	}
	if err := c.stub.Receive(&done.q); err != nil {
		return named(done.level, done.list, err)
	}
	for i, f := range done.list {
		c.check(entry{done.level, f}, done.results[i])
	}
	c.free = done.q
	return nil
}

// check looks at the result for an entry. A short copy is repeated: a signal has
// interrupted sendfile(2), or the file has become shorter.
func (c *copier) check(e entry, r remote.Result) {
	switch kind := e.found.kind(); {
	case kind == unix.S_IFLNK:
	case kind != unix.S_IFREG:
		c.note(e.level, e.found, r.Errno())
	case e.found.stat.size > 0 && r.Value() < int64(e.found.stat.size):
		c.again = append(c.again, e)
	}
}

// repeat copies entries again.
func (c *copier) repeat() error {
	list := c.again
	c.again = nil
	for _, e := range list {
		var q remote.Batch
		q.Unlinkat(e.level.to, e.found.name, 0)
		err := c.batches.ask(&q)
		if err == nil {
			err = c.file(e.level, e.found)
		}
		if err != nil {
			return copyError(e.level, e.found.name, err)
		}
	}
	return nil
}

func (b *common) full() bool {
	return len(b.list) == copyTogether || b.q.Size() > copyRoom || b.content > copyChunk
}

func (b *common) add(f found) {
	b.q.Tag(entryTag(len(b.list)))
	b.list = append(b.list, f)
	switch f.kind() {
	case unix.S_IFREG:
		b.results = append(b.results, b.file(f))
	case unix.S_IFLNK:
		b.results = append(b.results, b.q.Symlinkat(f.target, b.level.to, f.name))
		if b.c.owner != f.owner() {
			b.q.Fchownat(b.level.to, f.name, f.stat.uid, f.stat.gid)
		}
	default:
		b.results = append(b.results, b.special(f))
	}
}

func (b *common) file(f found) remote.Result {
	src, dst := openBoth(&b.q, b.level, f)
	r := b.q.Last()
	switch n := int(f.stat.size); {
	case n == 0:
	case n <= copyTiny:
		r = b.read(src, n)
		b.q.WriteFrom(*b.memory, dst, n)
	default:
		r = b.q.Sendfile(dst, src, n)
		b.content += int64(n)
	}
	b.c.finish(&b.q, src, dst, f)
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
func (b *common) special(f found) remote.Result {
	l := b.level
	r := b.q.Mknodat(l.to, f.name, uint32(f.kind())|0o600, f.stat.device).Tolerate(unix.EPERM)
	b.q.Fchownat(l.to, f.name, f.stat.uid, f.stat.gid)
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
	q.Tag(entryTag(0))
	q.Mkdirat(l.to, f.name, 0o700)
	src := q.Openat2(l.from, f.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, remote.Beneath)
	dst := q.Openat2(l.to, f.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, remote.Beneath)
	first := listing(&q, src)
	if err := c.ask(&q, l, []found{f}); err != nil {
		return err
	}
	if err := c.dir(level{from: src, to: dst, path: l.path + "/" + f.name, depth: l.depth + 1}, first); err != nil {
		return err
	}
	c.ending = append(c.ending, copied{src, dst, f})
	return nil
}

// openBoth opens a file and creates its copy. O_NONBLOCK protects the stub if the
// file has become a FIFO since the last look. The stub's umask is 0.
func openBoth(q *remote.Batch, l level, f found) (src, dst *remote.FD) {
	src = q.Openat2(l.from, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0, remote.Beneath)
	dst = q.Openat2(l.to, f.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, uint64(f.perm()&0o777), remote.Beneath)
	return src, dst
}

// finish sets the owner and the mode of the copy where it was not created with them.
// The owner comes first: chown(2) clears the set-user-ID bit.
func (c *copier) finish(q *remote.Batch, src, dst *remote.FD, f found) {
	if f.owner() != c.owner {
		q.Fchown(dst, f.stat.uid, f.stat.gid)
	}
	if f.kind() == unix.S_IFDIR || f.perm()&^0o777 != 0 {
		q.Fchmod(dst, f.perm())
	}
	q.Close(src)
	q.Close(dst)
}

// file copies a file in chunks. No copies are in progress.
func (c *copier) file(l level, f found) error {
	var q remote.Batch
	src, dst := openBoth(&q, l, f)
	if err := c.batches.ask(&q); err != nil {
		return err
	}
	for left := int64(f.stat.size); left > 0; {
		var q remote.Batch
		r := q.Sendfile(dst, src, int(min(left, copyChunk)))
		if err := c.batches.ask(&q); err != nil {
			return err
		}
		if r.Value() == 0 {
			break
		}
		left -= r.Value()
	}
	var end remote.Batch
	c.finish(&end, src, dst, f)
	return c.batches.ask(&end)
}

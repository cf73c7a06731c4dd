package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Claim is the mark of one container on its cgroup. It is stored as an extended
// attribute of the directory. Two containers may use the same cgroup path, one after
// the other, and the state of the first one still contains the path then. The mark
// tells which container the processes in the cgroup belong to.
//
// Since Linux 5.14 every cgroup hierarchy keeps extended attributes, also those of v1
// (cgroup_setup_root passes KERNFS_ROOT_SUPPORT_USER_XATTR). The mark is a trusted
// attribute if the runtime may set these: a container with a writable cgroup can
// neither read nor change it. Otherwise the mark is a user attribute.
type Claim struct {
	Boot    string // boot id
	Root    string // state root
	ID      string // container id
	Created int64  // time of creation in nanoseconds: an id can be reused
	User    bool   // the runtime may not set trusted attributes
	By      int    // pid of the process that creates or created it: a hint, as pids are reused
}

// The names of the attribute, the most trustworthy first.
const (
	trustedMark = "trusted.onggi.container"
	userMark    = "user.onggi.container"
)

// ErrClaimed: the cgroup belongs to a container that is alive or being created.
var ErrClaimed = errors.New("the cgroup belongs to another container")

// maxMark bounds the size of a mark. The kernel would store up to 64 KiB. Most marks
// are smaller than usualMark.
const (
	maxMark   = 16 << 10
	usualMark = 1 << 10
)

// head returns the part of a mark that identifies the claim, one field per line:
//
//	boot 1f0c…
//	created 1764456050123456789
//	id "web"
//	root "/run/onggi"
//
// The rest of a mark is the process that creates the container, and a line for each
// directory made for it. A caller that has lost the state finds them there:
//
//	by 4711
//	made "/sys/fs/cgroup/freezer/web"
func (c Claim) head() string {
	return "boot " + c.Boot + "\ncreated " + strconv.FormatInt(c.Created, 10) + "\nid " + strconv.Quote(c.ID) + "\nroot " + strconv.Quote(c.Root) + "\n"
}

func (c Claim) attribute() string {
	if c.User {
		return userMark
	}
	return trustedMark
}

func (c Claim) String() string {
	return fmt.Sprintf("container %q of state root %q", c.ID, c.Root)
}

// mark is a claim as stored on a directory.
type mark struct {
	Claim
	name string   // name of the attribute
	made []string // directories made for the container
}

// encode returns the text of the mark. It cuts the list of made directories at
// maxMark, because the list is needed only if the state is lost.
func (m mark) encode() []byte {
	text := make([]byte, 0, usualMark)
	text = append(text, m.head()...)
	text = append(text, "by "...)
	text = append(strconv.AppendInt(text, int64(m.By), 10), '\n')
	for _, dir := range m.made {
		end := len(text)
		text = append(text, "made "...)
		text = append(strconv.AppendQuote(text, dir), '\n')
		if len(text) > maxMark {
			return text[:end]
		}
	}
	return text
}

// parseMark parses a mark. The container may have written it: a line that parseMark
// does not know makes it the mark of no container.
func parseMark(text string) (m mark) {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var err error
		switch {
		case ok && key == "boot":
			m.Boot = value
		case ok && key == "created":
			m.Created, err = strconv.ParseInt(value, 10, 64)
		case ok && key == "id":
			m.ID, err = strconv.Unquote(value)
		case ok && key == "root":
			m.Root, err = strconv.Unquote(value)
		case ok && key == "by":
			m.By, err = strconv.Atoi(value)
		case ok && key == "made":
			var dir string
			dir, err = strconv.Unquote(value)
			m.made = append(m.made, dir)
		default:
			err = unix.EINVAL
		}
		if err != nil {
			return mark{}
		}
	}
	return m
}

// readMark returns the mark of a directory, or ENODATA if it has none.
func readMark(dir string) (mark, error) {
	m, err := readMarkAs(dir, trustedMark)
	if err == unix.ENODATA {
		m, err = readMarkAs(dir, userMark)
	}
	return m, err
}

func readMarkAs(dir, name string) (mark, error) {
	buf := make([]byte, usualMark)
	n, err := unix.Lgetxattr(dir, name, buf)
	if err == unix.ERANGE {
		buf = make([]byte, maxMark)
		n, err = unix.Lgetxattr(dir, name, buf)
	}
	switch err {
	case nil:
		m := parseMark(string(buf[:n]))
		m.name = name
		return m, nil
	case unix.ERANGE: // larger than every mark of this runtime
		return mark{name: name}, nil
	case unix.EOPNOTSUPP:
		return mark{}, unix.ENODATA
	}
	return mark{}, err
}

// Ownership is the owner of a cgroup according to its marks.
type Ownership int

const (
	Unmarked Ownership = iota // a directory has no mark
	Own                       // all existing directories have the container's mark
	Foreign                   // another container has claimed a directory
)

// Whose returns the owner according to the marks. A directory that has been removed
// counts as the container's own. made are the directories made for the container, or
// for earlier ones that used the cgroup; the caller passes them to Remove.
func (p Paths) Whose(c Claim) (whose Ownership, made []string, err error) {
	head := c.head()
	whose = Own
	for _, d := range p.processDirs() {
		m, err := readMark(d.Abs())
		switch {
		case err == unix.ENOENT || err == unix.ENODEV:
		case err == unix.ENODATA:
			whose = Unmarked
		case err != nil:
			return Foreign, nil, &FileError{Op: "getxattr", Path: d.Abs(), Err: err}
		case m.head() != head:
			return Foreign, nil, nil
		default:
			made = union(made, p.onTheWay(m.made))
		}
	}
	return whose, made, nil
}

// onTheWay returns those of dirs that are cgroups of the container or parents of them.
// The list may come from a mark that the container has written.
func (p Paths) onTheWay(dirs []string) []string {
	return slices.DeleteFunc(dirs, func(dir string) bool {
		for d := range p.dirs() {
			if within(d.Abs(), dir) && len(dir) > len(d.Mountpoint) {
				return false
			}
		}
		return true
	})
}

// union appends the new elements of b to a. The order is kept: parents come first.
func union(a, b []string) []string {
	for _, s := range b {
		if !contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// Claim marks the cgroup as the container's, after Create. made is the list from
// Create. If two containers claim a cgroup at the same time, one gets ErrClaimed. A
// claim of a cgroup whose container is alive, according to live, gets ErrClaimed too.
// The winner then removes the directories made for the loser.
//
// If the cgroup existed before and was empty, an earlier container may have left it.
// This container then removes the directories made for that one.
//
// If the runtime cannot set extended attributes, the cgroup stays unmarked.
func (p Paths) Claim(c Claim, made []string, live func(Claim) bool) error {
	m := mark{Claim: c, name: c.attribute(), made: made}
	var marked []string
	for _, d := range p.processDirs() {
		err := m.put(p, d, contains(made, d.Abs()), live)
		if refusedToUs(err) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			m.made = union(m.made, p.release(marked))
			if !errors.Is(err, ErrClaimed) || !m.handOver(d.Abs()) {
				p.Abandon(m.made)
			}
			return err
		}
		marked = append(marked, d.Abs())
	}
	return nil
}

// leaveTo records directories that a failed Create has made and cannot remove, because
// another container uses them, in that container's mark. That container removes them.
func (p Paths) leaveTo(made []string) {
	slices.Reverse(made) // parents first
	p.handOver(made)
}

// handOver adds the directories made for the loser to the winner's mark in dir. It
// returns false if it cannot change that mark.
func (m mark) handOver(dir string) bool {
	fd, err := lockDir(dir)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	winner, err := readMark(dir)
	if err != nil || winner.ID == "" {
		return false
	}
	winner.made = union(winner.made, m.made)
	return unix.Lsetxattr(dir, winner.name, winner.encode(), unix.XATTR_REPLACE) == nil
}

// put marks one directory. If a trusted attribute cannot be set, it sets m.name to the
// user attribute.
func (m *mark) put(p Paths, d Dir, fresh bool, live func(Claim) bool) error {
	if fresh {
		if err := m.set(d.Abs(), unix.XATTR_CREATE); err != unix.EEXIST {
			return markError(d.Abs(), err)
		}
	}
	return m.replace(p, d.Abs(), live)
}

func (m *mark) set(dir string, flags int) error {
	text := m.encode()
	err := unix.Lsetxattr(dir, m.name, text, flags)
	if m.name == trustedMark && (err == unix.EPERM || err == unix.EACCES) {
		m.name = userMark
		err = unix.Lsetxattr(dir, m.name, text, flags)
	}
	return err
}

func markError(dir string, err error) error {
	switch err {
	case nil:
		return nil
	case unix.EWOULDBLOCK:
		return fmt.Errorf("%s: %w: another create is claiming it", dir, ErrClaimed)
	case unix.ENOENT, unix.ENODEV:
		return fmt.Errorf("%w: %w", ErrVanished, &FileError{Op: "setxattr", Path: dir, Err: err})
	}
	return &FileError{Op: "setxattr", Path: dir, Err: err}
}

// replace replaces the mark of a dead container.
func (m *mark) replace(p Paths, dir string, live func(Claim) bool) error {
	fd, err := lockDir(dir)
	if err != nil {
		return markError(dir, err)
	}
	defer unix.Close(fd)
	old, err := readMark(dir)
	switch {
	case err == unix.ENODATA:
	case err != nil:
		return markError(dir, err)
	case old.head() == m.head():
	case old.name == m.name && live(old.Claim): // a mark by a user does not stop root
		return fmt.Errorf("%s: %w: %s has it", dir, ErrClaimed, old.Claim)
	}
	m.made = union(m.made, p.onTheWay(old.made))
	if err := m.set(dir, 0); err != nil {
		return markError(dir, err)
	}
	if m.name == trustedMark && old.name == userMark { // its owner cannot read the trusted mark
		return markError(dir, unix.Lsetxattr(dir, userMark, m.encode(), unix.XATTR_REPLACE))
	}
	return nil
}

// lockDir opens a cgroup with an flock, so that no two processes change a mark at once.
// The lock is held for a few system calls. A container that sees the cgroup can hold
// the lock for ever, so lockDir gives up after lockTries and returns EWOULDBLOCK.
func lockDir(dir string) (int, error) {
	fd, err := openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	for n := 1; err == unix.EWOULDBLOCK && n < lockTries; n++ {
		_ = pause(context.Background(), time.Millisecond)
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// lockTries bounds the wait for a lock, with a pause of 1 ms after each try. On a busy
// host the holder may have to wait for a processor.
const lockTries = 50

// unmark removes the mark from a directory that is not removed itself.
func unmark(dir string) {
	_ = unix.Lremovexattr(dir, trustedMark)
	_ = unix.Lremovexattr(dir, userMark)
}

// release removes the container's marks from dirs. It returns the directories in these
// marks: other containers may have handed theirs over (see handOver). With the lock,
// none is handed over between the two calls.
func (p Paths) release(dirs []string) (made []string) {
	for _, dir := range dirs {
		if fd, err := lockDir(dir); err == nil {
			if m, err := readMark(dir); err == nil {
				made = union(made, p.onTheWay(m.made))
			}
			unmark(dir)
			unix.Close(fd)
			continue
		}
		unmark(dir)
	}
	return made
}

// Unclaim removes the container's marks from the cgroups that were not made for it and
// therefore stay. made lists the cgroups that were made for it. Directories that other
// containers have handed over since are removed, if nothing uses them.
func (p Paths) Unclaim(made []string) {
	var stay []string
	for _, d := range p.processDirs() {
		if !contains(made, d.Abs()) {
			stay = append(stay, d.Abs())
		}
	}
	p.RemoveUnclaimed(slices.DeleteFunc(p.release(stay), func(dir string) bool { return contains(made, dir) }))
}

// Abandon removes directories that nothing uses, and leaves the others to the container
// that has claimed the cgroup.
func (p Paths) Abandon(made []string) {
	p.RemoveUnclaimed(made)
	p.handOver(slices.DeleteFunc(slices.Clone(made), func(dir string) bool { return unix.Access(dir, unix.F_OK) != nil }))
}

// handOver adds directories to the mark of the container that has claimed the cgroup.
func (p Paths) handOver(made []string) bool {
	return len(made) > 0 && slices.ContainsFunc(p.processDirs(), func(d Dir) bool { return (mark{made: made}).handOver(d.Abs()) })
}

// FindClaims finds the cgroups of a container by state root and id, in all hierarchies
// of the host. It is for a container whose state is lost. made are the directories made
// for it, according to its marks.
func FindClaims(h *Host, root, id string) (p Paths, made []string, err error) {
	f := finder{root: root, id: id}
	for _, x := range h.markedHierarchies() {
		if err := f.look(x, "", 0); err != nil {
			return Paths{}, nil, err
		}
	}
	slices.Sort(f.made)
	f.made = slices.Compact(f.made)
	f.paths.addMade(h, f.made)
	return f.paths, f.made, nil
}

// finder is one run of FindClaims.
type finder struct {
	root, id string
	paths    Paths
	made     []string
}

// deepest bounds the depth of the search. A container with a writable cgroup can nest
// thousands of levels. Engines use ten levels at most.
const deepest = 24

// look searches at and the cgroups below it. It does not enter the cgroup of another
// container, unless the runtime itself runs in there.
func (f *finder) look(x Hierarchy, at string, depth int) error {
	if at != "" {
		m, err := readMark(x.Mountpoint + at)
		if err == nil && m.Root == f.root && m.ID == f.id {
			f.paths.add(Dir{x.Controllers, x.Mountpoint, x.Root, at}, 1)
			f.made = append(f.made, m.made...)
			return nil
		}
		if err == nil && !within(x.Own, at) || depth > deepest || len(at) > unix.PathMax-1024 {
			return nil
		}
	}
	names, err := childrenOf(x.Mountpoint + at)
	if err != nil {
		return unlessGone(err)
	}
	for _, name := range names {
		if err := f.look(x, at+"/"+name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func childrenOf(dir string) ([]string, error) {
	g, err := openGroup(dir)
	if err != nil {
		return nil, err
	}
	defer g.close()
	return g.children()
}

// markedHierarchies returns the hierarchies whose cgroups can have marks: those that
// processDirs selects.
func (h *Host) markedHierarchies() (all []Hierarchy) {
	for _, x := range h.Hierarchies {
		if len(h.Hierarchies) == 1 || contains(x.Controllers, "freezer") {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		all = append(all, h.Hierarchies...)
	}
	if h.Unified != nil {
		all = append(all, *h.Unified)
	}
	return all
}

// addMade adds the container's cgroups in the hierarchies without marks. In each one it
// takes the lowest made directory whose name is that of a marked cgroup.
func (p *Paths) addMade(h *Host, made []string) {
	marked := slices.Collect(p.dirs())
	for _, x := range h.Hierarchies {
		lowest := ""
		for _, dir := range made {
			at, ok := strings.CutPrefix(dir, x.Mountpoint)
			if !ok || !strings.HasPrefix(at, "/") || hasDotDot(at) || len(at) < len(lowest) {
				continue
			}
			if slices.ContainsFunc(marked, func(d Dir) bool { return path.Base(d.Path) == path.Base(at) }) {
				lowest = at
			}
		}
		if _, known := p.at(x.Mountpoint + lowest); lowest != "" && !known {
			p.V1 = append(p.V1, Dir{x.Controllers, x.Mountpoint, x.Root, lowest})
		}
	}
}

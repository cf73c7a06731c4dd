package cgroup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Claim is the mark of one container on its cgroup: an extended attribute of
// the directory. Two containers may name the same cgroup, one after the other,
// and the record of the first one still names it then. The mark says whose the
// processes in it are.
//
// Every cgroup hierarchy of Linux 5.14 keeps extended attributes (v1 ones too:
// cgroup_setup_root passes KERNFS_ROOT_SUPPORT_USER_XATTR). The attribute is a
// trusted one where the runtime may set these, so that a container with a
// writable cgroup can neither read nor change it; otherwise a user's.
type Claim struct {
	Boot    string // boot id
	Root    string // state root
	ID      string // of the container
	Created int64  // when it was created, in nanoseconds: an id may come again
	User    bool   // the runtime may not set trusted attributes
	By      int    // process that is creating it, or has: a hint, as pids come again
}

// The attribute, in the order of trust.
const (
	trustedMark = "trusted.onggi.container"
	userMark    = "user.onggi.container"
)

// ErrClaimed: the cgroup belongs to a container that lives or is being created.
var ErrClaimed = errors.New("cgroup is another container's")

// maxMark bounds what is read of a mark. The kernel keeps up to 64 KiB.
const maxMark = 16 << 10

// head is what tells one claim from another, a field a line:
//
//	boot 1f0c…
//	created 1764456050123456789
//	id "web"
//	root "/run/onggi"
//
// Behind it, a mark has the process that makes the container, and a line for each
// directory that was made for it, for who has nothing but the mark:
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

// mark is a claim as a directory has it.
type mark struct {
	Claim
	name string   // of the attribute
	made []string // directories that were made for the container
}

// encode leaves made out where it does not fit: it is of use only where the
// state is lost.
func (m mark) encode() string {
	text := m.head() + "by " + strconv.Itoa(m.By) + "\n"
	for _, dir := range m.made {
		line := "made " + strconv.Quote(dir) + "\n"
		if len(text)+len(line) > maxMark {
			break
		}
		text += line
	}
	return text
}

// parseMark reads what may be a container's own writing: a line that is not
// understood makes it nobody's.
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

// readMark gives the mark of a directory; ENODATA where it has none.
func readMark(dir string) (mark, error) {
	m, err := readMarkAs(dir, trustedMark)
	if err == unix.ENODATA {
		m, err = readMarkAs(dir, userMark)
	}
	return m, err
}

func readMarkAs(dir, name string) (mark, error) {
	var buf [maxMark]byte
	n, err := unix.Lgetxattr(dir, name, buf[:])
	switch err {
	case nil:
		m := parseMark(string(buf[:n]))
		m.name = name
		return m, nil
	case unix.ERANGE: // larger than any of ours
		return mark{name: name}, nil
	case unix.EOPNOTSUPP:
		return mark{}, unix.ENODATA
	}
	return mark{}, err
}

// Ownership is whose a cgroup is, as far as marks tell.
type Ownership int

const (
	Unmarked Ownership = iota // nobody's mark is on it
	Own                       // all of it that is there has the container's mark
	Foreign                   // another container has claimed it since
)

// Whose asks the marks. A cgroup that is gone is the container's own. made are
// directories that were made for the container, or for others before it: what
// Remove wants to be told.
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

// onTheWay are those of dirs that lead to the container's cgroups, or are these: a
// mark may be a container's own writing.
func (p Paths) onTheWay(dirs []string) []string {
	return slices.DeleteFunc(dirs, func(dir string) bool {
		return !slices.ContainsFunc(p.dirs(), func(d Dir) bool { return within(d.Abs(), dir) && len(dir) > len(d.Mountpoint) })
	})
}

// union keeps the order: parents come first.
func union(a, b []string) []string {
	for _, s := range b {
		if !contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// Claim marks the cgroup as the container's, once Create has made it; made is
// what Create says. Of two containers that claim it at once, one gets ErrClaimed.
// So does a claim of what a container has that lives, by live. Then what was made
// for the loser is the winner's to remove.
//
// Where the cgroup was there before, and empty, another container may have left
// it. What was made for that one is this one's to remove.
//
// Without a way to mark it, it stays unmarked.
func (p Paths) Claim(c Claim, made []string, live func(Claim) bool) error {
	m := mark{Claim: c, name: c.attribute(), made: made}
	var marked []string
	for _, d := range p.processDirs() {
		err := m.put(p, d, contains(made, d.Abs()), live)
		if refusedToUs(err) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			for _, dir := range marked {
				unmark(dir)
			}
			if !errors.Is(err, ErrClaimed) || !m.handOver(d.Abs()) {
				p.RemoveUnclaimed(made)
			}
			return err
		}
		marked = append(marked, d.Abs())
	}
	return nil
}

// leaveTo has the one who uses the cgroup by now remove what was made for another
// create, and cannot be removed any more.
func (p Paths) leaveTo(made []string) {
	if len(made) == 0 {
		return
	}
	slices.Reverse(made) // parents first again
	for _, d := range p.processDirs() {
		if (mark{made: made}).handOver(d.Abs()) {
			return
		}
	}
}

// handOver has the winner's mark say what was made for the loser. False where it
// cannot be said.
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
	return unix.Lsetxattr(dir, winner.name, []byte(winner.encode()), unix.XATTR_REPLACE) == nil
}

// put marks one directory. m.name becomes the attribute that can be set.
func (m *mark) put(p Paths, d Dir, fresh bool, live func(Claim) bool) error {
	if fresh {
		if err := m.set(d.Abs(), unix.XATTR_CREATE); err != unix.EEXIST {
			return markError(d.Abs(), err)
		}
	}
	return m.replace(p, d.Abs(), live)
}

func (m *mark) set(dir string, flags int) error {
	text := []byte(m.encode())
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

// replace puts the mark into the place of one that a dead container has left.
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
	case old.name == m.name && live(old.Claim): // a user's mark does not lead root about
		return fmt.Errorf("%s: %w: %s has it", dir, ErrClaimed, old.Claim)
	}
	m.made = union(m.made, p.onTheWay(old.made))
	if err := m.set(dir, 0); err != nil {
		return markError(dir, err)
	}
	if m.name == trustedMark && old.name == userMark { // whose owner sees no other
		return markError(dir, unix.Lsetxattr(dir, userMark, []byte(m.encode()), unix.XATTR_REPLACE))
	}
	return nil
}

// lockDir opens a cgroup with an flock, so that no two find the same mark to be a
// dead container's. It is held for a few calls; a container can hold it, too, if it
// sees the cgroup, so that nobody waits for it: EWOULDBLOCK.
func lockDir(dir string) (int, error) {
	fd, err := openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return -1, err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// unmark takes the mark from a directory that stays.
func unmark(dir string) {
	_ = unix.Lremovexattr(dir, trustedMark)
	_ = unix.Lremovexattr(dir, userMark)
}

// Unclaim takes the container's marks from cgroups that were not made for it, and
// so stay: made lists the others.
func (p Paths) Unclaim(made []string) {
	for _, d := range p.processDirs() {
		if !contains(made, d.Abs()) {
			unmark(d.Abs())
		}
	}
}

// FindClaims looks for the cgroups of a container of which nothing is known but
// the state root and the id, in all of the host's hierarchies. made are the
// directories that were made for it, as far as its marks tell.
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

// deepest bounds how far down a container is looked for: a container with a
// writable cgroup can nest thousands. Engines use ten levels at most.
const deepest = 24

// look goes through the cgroups below at. Those in another container's cgroup are
// that one's business, unless the runtime is in there, too.
func (f *finder) look(x Hierarchy, at string, depth int) error {
	if at != "" {
		m, err := readMark(x.Mountpoint + at)
		if err == nil && m.Root == f.root && m.ID == f.id {
			f.paths.add(Dir{x.Controllers, x.Mountpoint, x.Root, at})
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

// markedHierarchies are those of which processDirs may be.
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

// addMade adds the container's cgroups in the other hierarchies: the lowest of
// those that were made for it with the name of one that it has marked.
func (p *Paths) addMade(h *Host, made []string) {
	marked := p.dirs()
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

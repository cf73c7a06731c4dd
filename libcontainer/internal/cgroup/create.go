package cgroup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What callers of Create branch on.
var (
	// ErrFrozen: the cgroup, or one above it, is frozen; what is put there never runs.
	ErrFrozen = errors.New("container's cgroup unexpectedly frozen")
	// ErrPopulated: the cgroup exists and has processes, of another container perhaps.
	ErrPopulated = errors.New("container's cgroup is not empty: it has processes already")
	// ErrVanished: a cgroup that was there when Missing was asked is gone, with the
	// container that it was made for, most likely. To be tried again.
	ErrVanished = errors.New("a cgroup has been removed meanwhile")
)

// CreateOptions is what Create needs to know beyond the paths.
type CreateOptions struct {
	Resources *specs.LinuxResources // the limits to come: their controllers must be had (may be nil)
	Warn      func(msg string)      // may be nil
	Ours      bool                  // processes that are there already are the container's
	// Missing is what Missing has said, and no other directory is made; nil where
	// nobody has to know beforehand.
	Missing []string
}

// Missing lists the directories (absolute, parents first) that Create will
// make: the intent to record before it runs.
func (p Paths) Missing() []string {
	var missing []string
	for _, d := range p.dirs() {
		missing = append(missing, d.missing()...)
	}
	return missing
}

// missing asks of few: what is above one that is there is there too.
func (d Dir) missing() []string {
	levels := d.levels()
	n := sort.Search(len(levels), func(i int) bool {
		var st unix.Stat_t
		return unix.Lstat(levels[i], &st) == unix.ENOENT
	})
	return levels[n:]
}

// levels are the absolute paths from below the mountpoint down to the cgroup.
func (d Dir) levels() []string {
	var dirs []string
	for i := 1; i <= len(d.Path); i++ {
		if i == len(d.Path) || d.Path[i] == '/' {
			dirs = append(dirs, path.Join(d.Mountpoint, d.Path[:i]))
		}
	}
	return dirs
}

// Create makes the cgroup in every hierarchy, ready for its limits and
// processes. It returns the paths that are in use from now on (fewer than p
// where p.Optional, or without cgroup2 beside v1 where that is refused) and the
// directories it made, parents first: what Remove wants to be told later. When it
// fails it has removed them.
func (p Paths) Create(o CreateOptions) (used Paths, made []string, err error) {
	if o.Missing != nil {
		return p.create(o)
	}
	for range Tries {
		o.Missing = p.Missing()
		used, made, err = p.create(o)
		if !errors.Is(err, ErrVanished) {
			break
		}
	}
	return used, made, err
}

// Tries bounds how often ErrVanished is believed. Each time, another container
// has ended between two system calls of ours.
const Tries = 64

func (p Paths) create(o CreateOptions) (Paths, []string, error) {
	c := creation{warn: warner(o.Warn), needs: p.needs(o.Resources), unified: o.Resources != nil && len(o.Resources.Unified) > 0, ours: o.Ours, missing: o.Missing}
	used := Paths{Optional: p.Optional}
	for _, d := range p.dirs() {
		err := c.create(d)
		if (p.Optional || c.canDoWithout(p, d)) && refusedToUs(err) {
			continue
		}
		if err != nil {
			p.leaveTo(c.undo(0))
			return Paths{}, nil, p.whyNot(err)
		}
		used.add(d)
	}
	return used, c.made, nil
}

// canDoWithout tells the cgroup2 hierarchy beside v1 ones that no limit is for. A
// user may have cgroups in those and none in this.
func (c *creation) canDoWithout(p Paths, d Dir) bool {
	if d.Controllers != nil || len(p.V1) == 0 || c.unified {
		return false
	}
	for _, n := range c.needs {
		has := func(d Dir) bool { return contains(d.Controllers, n.controller) }
		if !slices.ContainsFunc(p.V1, has) {
			return false
		}
	}
	return true
}

// whyNot says of a cgroup that has processes that it is frozen, if it is: that
// is what whoever put them there has to know.
func (p Paths) whyNot(err error) error {
	if !errors.Is(err, ErrPopulated) {
		return err
	}
	if frozen, _ := p.Frozen(); frozen {
		return fmt.Errorf("%w: %w", ErrFrozen, err)
	}
	return err
}

func (p *Paths) add(d Dir) {
	if d.Controllers == nil {
		p.Unified = &d
	} else {
		p.V1 = append(p.V1, d)
	}
}

// refusedToUs reports an error for want of privilege, not of sense.
func refusedToUs(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
}

func warner(f func(string)) func(string) {
	if f == nil {
		return func(string) {}
	}
	return f
}

// creation is one run of Create.
type creation struct {
	warn    func(string)
	needs   []need
	unified bool // there are limits by the names of cgroup2 files
	ours    bool
	missing []string // absolute, parents first within a hierarchy
	made    []string // as missing
}

// create makes d. A cgroup with processes is refused in every layout: they
// would be the container's, to be limited, frozen and killed with it.
func (c *creation) create(d Dir) (err error) {
	before := len(c.made)
	if d.Controllers == nil {
		err = c.createUnified(d)
	} else {
		err = c.createV1(d)
	}
	if err != nil {
		c.undo(before)
	}
	if hasVanished(err) {
		return fmt.Errorf("%w: %w", ErrVanished, err)
	}
	return err
}

// hasVanished: what is there and not delegated has a field that asks for it.
func hasVanished(err error) bool {
	var fe *FileError
	return errors.As(err, &fe) && fe.Field == "" && (fe.Err == unix.ENOENT || fe.Err == unix.ENODEV)
}

// missingOf are the directories to be made for d.
func (c *creation) missingOf(d Dir) (dirs []string) {
	abs := d.Abs()
	for _, dir := range c.missing {
		if dir == abs || strings.HasPrefix(abs, dir+"/") {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// mkdirs makes directories, parents first, and has each prepared before there
// is one below it. Only those that nobody else has made meanwhile are ours.
func (c *creation) mkdirs(dirs []string, prepare func(at group, name string) error) error {
	return down(dirs, func(at group, name string) error {
		switch err := unix.Mkdirat(at.fd, at.dir+name, 0o755); err {
		case nil:
			c.made = append(c.made, at.join(name))
		case unix.EEXIST:
		default:
			return &FileError{Op: "mkdir", Path: at.join(name), Hint: mkdirHint(err), Err: err}
		}
		return prepare(at, name)
	})
}

func mkdirHint(err error) string {
	switch err {
	case unix.EAGAIN:
		return "cgroup.max.descendants or cgroup.max.depth above it is reached"
	case unix.ENOSPC, unix.ENOMEM:
		return "the kernel has no room for more cgroups (dying ones count too)"
	case unix.EROFS:
		return "the cgroup mount is read-only"
	}
	return ""
}

// undo removes what was made since c.made had n entries, and gives what others use
// by now.
func (c *creation) undo(n int) (used []string) {
	for len(c.made) > n {
		last := len(c.made) - 1
		if unix.Rmdir(c.made[last]) == unix.EBUSY {
			used = append(used, c.made[last])
		}
		c.made = c.made[:last]
	}
	return used
}

// unprepared: most cgroups are fit as they are made.
func unprepared(group, string) error { return nil }

// createV1 makes a v1 cgroup fit for processes, or says why it is not.
func (c *creation) createV1(d Dir) error {
	missing := c.missingOf(d)
	prepare := unprepared
	if contains(d.Controllers, "cpuset") {
		s, err := seedCpuset(d, len(missing))
		if err != nil {
			return err
		}
		prepare = s.write
	}
	before := len(c.made)
	if err := c.mkdirs(missing, prepare); err != nil {
		return err
	}
	return c.checkV1(d, len(c.made) > before)
}

func (c *creation) checkV1(d Dir, fresh bool) error {
	leaf := named(d.Abs())
	if contains(d.Controllers, "freezer") {
		state, err := leaf.read("freezer.state")
		if err != nil {
			return err
		}
		if state != "THAWED" {
			return fmt.Errorf("%s: %w", leaf.path, ErrFrozen)
		}
	}
	if fresh || c.ours {
		return nil
	}
	procs, err := leaf.read("cgroup.procs")
	if err == nil && procs != "" {
		return fmt.Errorf("%s: %w", leaf.path, ErrPopulated)
	}
	return nil
}

// createUnified makes a cgroup2 cgroup, and turns on controllers: in each level
// before there is one below it, as the kernel takes up all that are below.
func (c *creation) createUnified(d Dir) error {
	missing := c.missingOf(d)
	want, err := c.enable(d, len(missing))
	if err != nil {
		return err
	}
	leaf := d.Abs()
	err = c.mkdirs(missing, func(at group, name string) (err error) {
		if len(want) > 0 && at.join(name) != leaf {
			want, err = c.turnOn(at, path.Join(name, subtreeControl), want, want)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.checkUnified(named(leaf))
}

// checkUnified says why the cgroup is not fit for a container, if so.
func (c *creation) checkUnified(leaf group) error {
	if err := c.checkType(leaf); err != nil {
		return err
	}
	text, err := leaf.read("cgroup.events")
	if err != nil {
		return err
	}
	events := flatKeyed(text)
	if events["frozen"] == 1 {
		return fmt.Errorf("%s: %w", leaf.path, ErrFrozen)
	}
	if events["populated"] != 0 && !c.ours {
		return fmt.Errorf("%s: %w", leaf.path, ErrPopulated)
	}
	return nil
}

// checkType refuses threaded cgroups: processes enter a "domain invalid" one
// never, and a "threaded" one has no memory or io limits (cgroups(7)).
func (c *creation) checkType(leaf group) error {
	t, err := leaf.read("cgroup.type")
	if err != nil {
		return err
	}
	switch t {
	case "domain invalid":
		return fmt.Errorf("%s: its parent is threaded (cgroup.type), so that it cannot have processes", leaf.path)
	case "threaded":
		for _, n := range c.needs {
			if n.controller == "memory" || n.controller == "io" || n.controller == "hugetlb" {
				return fmt.Errorf("%s: %s is threaded (cgroup.type), which excludes the %s controller", n.field, leaf.path, n.controller)
			}
		}
	}
	return nil
}

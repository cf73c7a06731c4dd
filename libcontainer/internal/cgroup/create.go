package cgroup

import (
	"errors"
	"fmt"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What callers of Create branch on.
var (
	// ErrFrozen: the cgroup, or one above it, is frozen; what is put there never runs.
	ErrFrozen = errors.New("cgroup is frozen")
	// ErrPopulated: the cgroup exists and has processes, of another container perhaps.
	ErrPopulated = errors.New("cgroup has processes already")
)

// CreateOptions is what Create needs to know beyond the paths.
type CreateOptions struct {
	Resources *specs.LinuxResources // the limits to come: their controllers must be had (may be nil)
	Warn      func(msg string)      // may be nil
	Ours      bool                  // processes that are there already are the container's
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

func (d Dir) missing() []string {
	var dirs []string
	for rel := d.Path; rel != "/"; rel = path.Dir(rel) {
		abs := path.Join(d.Mountpoint, rel)
		var st unix.Stat_t
		if unix.Lstat(abs, &st) != unix.ENOENT {
			break
		}
		dirs = append([]string{abs}, dirs...)
	}
	return dirs
}

// Create makes the cgroup in every hierarchy, ready for its limits and
// processes. It returns the paths that are in use from now on (fewer than p
// only where p.Optional) and the directories it made, parents first: what
// Remove wants to be told later. When it fails it has removed them.
func (p Paths) Create(o CreateOptions) (Paths, []string, error) {
	c := creation{warn: warner(o.Warn), needs: p.needs(o.Resources), ours: o.Ours}
	used := Paths{Optional: p.Optional}
	for _, d := range p.dirs() {
		err := c.create(d)
		if p.Optional && refusedToUs(err) {
			continue
		}
		if err != nil {
			c.undo(0)
			return Paths{}, nil, p.whyNot(err)
		}
		used.add(d)
	}
	return used, c.made, nil
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
	warn  func(string)
	needs []need
	ours  bool
	made  []string // absolute, parents first within a hierarchy
}

// create makes d. A cgroup with processes is refused in every layout: they
// would be the container's, to be limited, frozen and killed with it.
func (c *creation) create(d Dir) (err error) {
	before := len(c.made)
	defer func() {
		if err != nil {
			c.undo(before)
		}
	}()
	if err := c.mkdirs(d.Mountpoint, d.Abs()); err != nil {
		return err
	}
	if d.Controllers == nil {
		return c.prepareUnified(d)
	}
	return c.prepareV1(d, len(c.made) > before)
}

// mkdirTries bounds mkdirs where another runtime removes the parents, empty as
// they are, between our making them and our using them.
const mkdirTries = 16

// mkdirs makes dir, and what is missing above it, up to root. The directory
// itself is tried first: its parent is nearly always there.
func (c *creation) mkdirs(root, dir string) error {
	var err error
	for range mkdirTries {
		switch err = unix.Mkdir(dir, 0o755); {
		case err == nil:
			c.made = append(c.made, dir)
			return nil
		case err == unix.EEXIST:
			return nil
		case err != unix.ENOENT || path.Dir(dir) == root:
			return &FileError{Op: "mkdir", Path: dir, Hint: mkdirHint(err), Err: err}
		}
		if err := c.mkdirs(root, path.Dir(dir)); err != nil {
			return err
		}
	}
	return &FileError{Op: "mkdir", Path: dir, Hint: "its parents keep being removed", Err: err}
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

// undo removes what was made since c.made had n entries.
func (c *creation) undo(n int) {
	for len(c.made) > n {
		last := len(c.made) - 1
		unix.Rmdir(c.made[last])
		c.made = c.made[:last]
	}
}

// prepareV1 makes a v1 cgroup fit for processes, or says why it is not.
func (c *creation) prepareV1(d Dir, fresh bool) error {
	leaf := named(d.Abs())
	if contains(d.Controllers, "cpuset") {
		if err := seedCpuset(d, fresh); err != nil {
			return err
		}
	}
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

// prepareUnified turns on controllers, and says why the cgroup is not fit for a
// container, if so.
func (c *creation) prepareUnified(d Dir) error {
	if err := c.enable(d); err != nil {
		return err
	}
	leaf := named(d.Abs())
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

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

// Errors of Create that callers branch on.
var (
	// ErrFrozen: the cgroup or one above it is frozen. A process in it would never
	// run.
	ErrFrozen = errors.New("container's cgroup unexpectedly frozen")
	// ErrPopulated: the cgroup exists and has processes, perhaps of another
	// container.
	ErrPopulated = errors.New("container's cgroup is not empty: it has processes already")
	// ErrVanished: a cgroup that existed when Missing ran has been removed since,
	// probably at the end of the container that created it. The caller retries.
	ErrVanished = errors.New("a cgroup has been removed meanwhile")
)

// CreateOptions are the parameters of Create beyond the paths.
type CreateOptions struct {
	Resources *specs.LinuxResources // limits to be set later: Create must enable their controllers (may be nil)
	Warn      func(msg string)      // may be nil
	Ours      bool                  // processes already in the cgroup belong to the container
	// Missing is the result of the method Missing; Create makes no other
	// directory. If nil, Create calls the method itself: the caller then does not
	// record the directories beforehand.
	Missing []string
}

// Missing lists the directories (absolute, parents first) that Create will make.
// The caller records them before it calls Create.
func (p Paths) Missing() []string {
	missing := make([]string, 0, len(p.V1)+1)
	for d := range p.dirs() {
		missing = append(missing, d.missing()...)
	}
	return missing
}

// missing lists the levels of d that do not exist. It uses a binary search: if a
// directory exists, all directories above it exist too.
func (d Dir) missing() []string {
	levels := d.levels()
	n := sort.Search(len(levels), func(i int) bool {
		var st unix.Stat_t
		return unix.Lstat(levels[i], &st) == unix.ENOENT
	})
	return levels[n:]
}

// levels returns the absolute paths from below the mountpoint down to the cgroup.
func (d Dir) levels() []string {
	dirs := make([]string, 0, strings.Count(d.Path, "/"))
	for i := 1; i <= len(d.Path); i++ {
		if i == len(d.Path) || d.Path[i] == '/' {
			dirs = append(dirs, Dir{Mountpoint: d.Mountpoint, Path: d.Path[:i]}.Abs())
		}
	}
	return dirs
}

// Create makes the cgroup in every hierarchy, ready for its limits and processes.
// It returns the paths in use from now on and the directories it made, parents
// first; Remove needs the latter. The paths are fewer than p in two cases, both for
// want of privilege: p.Optional is set, or the hierarchy is a cgroup2 one beside v1
// ones and no limit needs it. If Create fails, it removes the directories that it made.
// A directory that another container uses by then is left to that container (leaveTo).
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

// Tries bounds the retries after ErrVanished. For each retry, another container
// must have ended between two system calls of this process.
const Tries = 64

func (p Paths) create(o CreateOptions) (Paths, []string, error) {
	c := creation{warn: warner(o.Warn), needs: p.needs(o.Resources), unified: o.Resources != nil && len(o.Resources.Unified) > 0, ours: o.Ours, missing: o.Missing}
	used := Paths{Optional: p.Optional}
	for d := range p.dirs() {
		err := c.create(d)
		if (p.Optional || c.canDoWithout(p, d)) && refusedToUs(err) {
			continue
		}
		if err != nil {
			c.undo(0)
			p.leaveTo(c.used)
			return Paths{}, nil, p.whyNot(err)
		}
		used.add(d, len(p.V1))
	}
	return used, c.made, nil
}

// canDoWithout reports whether d is a cgroup2 hierarchy beside v1 ones that no
// limit needs. An unprivileged user may have cgroups in the v1 hierarchies and none
// in this one.
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

// whyNot adds ErrFrozen to ErrPopulated if the cgroup is also frozen: the caller
// needs to know that those processes cannot run.
func (p Paths) whyNot(err error) error {
	if !errors.Is(err, ErrPopulated) {
		return err
	}
	if frozen, _ := p.Frozen(); frozen {
		return fmt.Errorf("%w: %w", ErrFrozen, err)
	}
	return err
}

// add adds a directory. most is the largest number of v1 directories.
func (p *Paths) add(d Dir, most int) {
	switch {
	case d.Controllers == nil:
		p.Unified = &d
	case p.V1 == nil:
		p.V1 = append(make([]Dir, 0, most), d)
	default:
		p.V1 = append(p.V1, d)
	}
}

// refusedToUs reports whether err is caused by missing privilege.
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
	unified bool // linux.resources.unified sets limits
	ours    bool
	missing []string // absolute, parents first within a hierarchy
	made    []string // in the same order
	used    []string // made, and in use by another process when they had to be removed
}

// create makes d. It refuses a cgroup with processes in every layout: limits,
// freezing and killing of the container would hit them too.
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

// hasVanished reports whether err comes from a cgroup that has been removed. ENOENT
// can also mean that a controller is not delegated; such an error has a Field.
func hasVanished(err error) bool {
	var fe *FileError
	return errors.As(err, &fe) && fe.Field == "" && (fe.Err == unix.ENOENT || fe.Err == unix.ENODEV)
}

// missingOf returns the directories of c.missing that belong to d.
func (c *creation) missingOf(d Dir) (dirs []string) {
	abs := d.Abs()
	for _, dir := range c.missing {
		if dir == abs || strings.HasPrefix(abs, dir+"/") {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// mkdirs makes directories, parents first, and calls prepare for each one before it
// makes the next level. It adds a directory to c.made only if its own mkdir created
// it; another process may have been first.
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

// undo removes the directories made since c.made had n entries. It adds those to
// c.used that another process uses by now (EBUSY).
func (c *creation) undo(n int) {
	for len(c.made) > n {
		last := len(c.made) - 1
		if unix.Rmdir(c.made[last]) == unix.EBUSY {
			c.used = append(c.used, c.made[last])
		}
		c.made = c.made[:last]
	}
}

// unprepared is the prepare function for cgroups that need no preparation.
func unprepared(group, string) error { return nil }

// createV1 makes a v1 cgroup. It returns an error if the cgroup is not fit for
// processes.
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

// createUnified makes a cgroup2 cgroup and turns on controllers. It turns them on
// in each new level before it makes the next one: to enable a controller, the
// kernel visits all cgroups below.
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

// checkUnified returns an error if the cgroup is not fit for a container.
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

// checkType refuses threaded cgroups. A "domain invalid" cgroup accepts no process,
// and a "threaded" one has no memory or io limits (cgroups(7)).
func (c *creation) checkType(leaf group) error {
	t, err := leaf.read("cgroup.type")
	if err != nil {
		return err
	}
	switch t {
	case "domain invalid":
		return fmt.Errorf("%s: its parent is threaded (cgroup.type): it cannot have processes", leaf.path)
	case "threaded":
		for _, n := range c.needs {
			if n.controller == "memory" || n.controller == "io" || n.controller == "hugetlb" {
				return fieldError(n.field, "%s is threaded (cgroup.type), which excludes the %s controller", leaf.path, n.controller)
			}
		}
	}
	return nil
}

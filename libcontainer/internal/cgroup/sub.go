package cgroup

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Sub returns the cgroup that `exec --cgroup` names:
// "[controller[,controller]:]path", relative to p. The cgroup must exist. In
// hierarchies without a name it is p.
func (p Paths) Sub(names []string) (Paths, error) {
	s := p.clone()
	for _, name := range names {
		controllers, sub, ok := strings.Cut(name, ":")
		if !ok {
			controllers, sub = "", name
		}
		if hasDotDot(sub) {
			return Paths{}, fmt.Errorf("bad sub cgroup path: %s leaves the container's cgroup", name)
		}
		dirs, err := s.named(controllers)
		if err != nil {
			return Paths{}, fmt.Errorf("cgroup %q: %w", name, err)
		}
		for _, d := range dirs {
			d.Path = path.Join(d.Path, sub)
			if err := unix.Faccessat(unix.AT_FDCWD, d.Abs(), unix.F_OK, 0); err != nil {
				return Paths{}, fmt.Errorf("error adding pid to cgroups: %w", &FileError{Op: "open", Path: d.Abs(), Err: err})
			}
		}
	}
	return s, nil
}

// named returns the directories of a list of controllers, or all directories for an
// empty list.
func (p *Paths) named(controllers string) ([]*Dir, error) {
	var dirs []*Dir
	for i := range p.V1 {
		dirs = append(dirs, &p.V1[i])
	}
	if controllers == "" {
		if p.Unified != nil {
			dirs = append(dirs, p.Unified)
		}
		return dirs, nil
	}
	var some []*Dir
	for c := range strings.SplitSeq(controllers, ",") {
		d := withController(dirs, c)
		if d == nil {
			return nil, fmt.Errorf("unknown controller %s in SubCgroupPaths: no v1 hierarchy has it", c)
		}
		if !containsDir(some, d) {
			some = append(some, d)
		}
	}
	return some, nil
}

func withController(dirs []*Dir, c string) *Dir {
	for _, d := range dirs {
		if contains(d.Controllers, c) || contains(d.Controllers, "name="+c) {
			return d
		}
	}
	return nil
}

func containsDir(dirs []*Dir, d *Dir) bool {
	for _, x := range dirs {
		if x == d {
			return true
		}
	}
	return false
}

// clone returns a copy that shares no memory that Sub and Of change.
func (p Paths) clone() Paths {
	p.V1 = append([]Dir(nil), p.V1...)
	if p.Unified != nil {
		u := *p.Unified
		p.Unified = &u
	}
	return p
}

// Of returns the present cgroup of process pid. A container may have moved its init
// to a cgroup below p. The container can influence /proc/PID/cgroup, so Of accepts
// only p and cgroups below it. If p itself has been removed, Of accepts any cgroup.
func (p Paths) Of(pid int) (Paths, error) {
	file := fmt.Sprintf("/proc/%d/cgroup", pid)
	text, err := readPath(file)
	if err != nil {
		return Paths{}, err
	}
	return p.of(memberships(text), file, Dir.removed)
}

// of implements Of. It accepts a membership outside of the container's cgroup only
// if that cgroup has been removed.
func (p Paths) of(ms []membership, file string, removed func(Dir) bool) (Paths, error) {
	s := p.clone()
	dirs, _ := s.named("")
	for _, d := range dirs {
		m, ok := d.membership(ms)
		if !ok {
			return Paths{}, fmt.Errorf("%s has no line for the %s hierarchy", file, d.Name())
		}
		root := d.Root
		if root == "" {
			root = "/"
		}
		at := below(root, m.path)
		outside := at != d.Path && !strings.HasPrefix(at, strings.TrimSuffix(d.Path, "/")+"/")
		if hasDotDot(m.path) || outside && !removed(*d) {
			return Paths{}, fmt.Errorf("%s: the process is in %q, outside of the container's cgroup %q", file, m.path, d.Path)
		}
		d.Path = at
	}
	return s, nil
}

// membership returns the line of /proc/PID/cgroup for this hierarchy.
func (d Dir) membership(ms []membership) (membership, bool) {
	for _, m := range ms {
		if strings.Join(m.controllers, ",") == strings.Join(d.Controllers, ",") {
			return m, true
		}
	}
	return membership{}, false
}

// removed reports whether the container's cgroup no longer exists. Its remaining
// processes then are in other cgroups.
func (d Dir) removed() bool {
	var st unix.Stat_t
	return unix.Lstat(d.Abs(), &st) == unix.ENOENT
}

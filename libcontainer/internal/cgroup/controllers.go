package cgroup

import (
	"errors"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// need is a controller that a limit requires, and the limit's field in config.json.
type need struct{ controller, field string }

const subtreeControl = "cgroup.subtree_control"

// enable turns on controllers for the cgroup d. The last missing levels of d do not
// exist yet. enable writes cgroup.subtree_control of every existing cgroup above d
// from the top down, and returns the controllers that are on afterwards. It tries
// all controllers of the root, because engines also read the statistics of
// controllers without limits. Only a controller that a limit needs must succeed.
func (c *creation) enable(d Dir, missing int) ([]string, error) {
	root, err := openGroup(d.Mountpoint)
	if err != nil {
		return nil, err
	}
	defer root.close()
	available, err := root.read("cgroup.controllers")
	if err != nil {
		return nil, err
	}
	want := strings.Fields(available)
	if err := c.checkNeeds(root.path, want); err != nil {
		return nil, err
	}
	dirs := above(strings.TrimPrefix(d.Path, "/"))
	dirs = dirs[:len(dirs)-max(0, missing-1)]
	if len(want) == 0 || enabledIn(root, dirs[len(dirs)-1], want) {
		return want, nil
	}
	for _, dir := range dirs {
		if want, err = c.enableIn(root, dir, want); err != nil {
			return nil, err
		}
	}
	return want, nil
}

// enabledIn reports whether dir has already enabled all of want for its children.
func enabledIn(root group, dir string, want []string) bool {
	text, err := root.read(path.Join(dir, subtreeControl))
	return err == nil && len(without(want, strings.Fields(text))) == 0
}

// enableIn turns on want in dir, and returns the controllers that are on
// afterwards.
func (c *creation) enableIn(root group, dir string, want []string) ([]string, error) {
	file := path.Join(dir, subtreeControl)
	text, err := root.read(file)
	if err != nil {
		return nil, err
	}
	return c.turnOn(root, file, want, without(want, strings.Fields(text)))
}

// turnOn writes the controllers in missing to a cgroup.subtree_control below g. It
// returns the controllers of want that are on afterwards.
func (c *creation) turnOn(g group, file string, want, missing []string) ([]string, error) {
	if len(missing) == 0 {
		return want, nil
	}
	err := g.write(file, "+"+strings.Join(missing, " +"))
	switch {
	case err == nil:
		return want, nil
	case errors.Is(err, unix.EBUSY):
		return without(want, missing), c.busy(g.join(file), missing)
	case !g.has(file):
		return nil, err // the cgroup is gone
	}
	// The kernel refuses the whole write if it refuses one controller: retry each.
	for _, name := range missing {
		err := g.write(file, "+"+name)
		if err == nil {
			continue
		}
		if err := c.needed(name, err); err != nil {
			return nil, err
		}
		want = without(want, []string{name})
	}
	return want, nil
}

// busy returns the error for a cgroup that has processes, if a limit needs one of
// missing. There is no retry controller by controller: the kernel would accept the
// threaded controllers (cpu, pids) and turn the cgroup into a threaded domain. No
// container can be created below a threaded domain.
func (c *creation) busy(file string, missing []string) error {
	for _, name := range missing {
		if err := c.needed(name, &FileError{Op: "write", Path: file, Value: "+" + name, Err: unix.EBUSY}); err != nil {
			return err
		}
	}
	return nil
}

// needed returns the error for a controller that could not be turned on. It
// returns nil if no limit needs the controller.
func (c *creation) needed(controller string, err error) error {
	for _, n := range c.needs {
		if n.controller != controller {
			continue
		}
		var fe *FileError
		if errors.As(err, &fe) {
			fe.Field, fe.Hint = n.field, enableHint(fe)
		}
		return err
	}
	return nil
}

func enableHint(e *FileError) string {
	switch {
	case errors.Is(e.Err, unix.EBUSY):
		return "this cgroup has processes of its own, so that its children cannot have controllers"
	case errors.Is(e.Err, unix.ENOENT):
		return "the controller is not delegated to this cgroup"
	case errors.Is(e.Err, unix.EOPNOTSUPP):
		return "this cgroup is in a threaded subtree"
	}
	return ""
}

// checkNeeds returns an error if the root lacks a controller that a limit needs.
func (c *creation) checkNeeds(root string, available []string) error {
	for _, n := range c.needs {
		if !contains(available, n.controller) {
			return noController(n, root, available)
		}
	}
	return nil
}

func noController(n need, dir string, available []string) error {
	return fieldError(n.field, "the %s controller is not available in %s/cgroup.controllers (%s)",
		n.controller, dir, strings.Join(available, " "))
}

// above lists the cgroups above rel, from the root (".") down.
func above(rel string) []string {
	dirs := []string{"."}
	for i, r := range rel {
		if r == '/' {
			dirs = append(dirs, rel[:i])
		}
	}
	return dirs
}

// without returns the elements of list that are not in drop.
func without(list, drop []string) []string {
	var rest []string
	for _, s := range list {
		if !contains(drop, s) {
			rest = append(rest, s)
		}
	}
	return rest
}

// Lacks returns an error for each limit of r that this host cannot apply: the
// controller is missing, or its cgroup version has no such limit. It creates
// nothing. It gives the same warnings as Set.
func (p Paths) Lacks(r *specs.LinuxResources, warn func(string)) []error {
	if r == nil || p.none() {
		return nil
	}
	var l limits
	for _, k := range kinds(r) {
		d, ok := p.find(k.v1)
		if err := p.lacks(d, ok, k); err != nil {
			if !k.optional {
				l.problems = append(l.problems, err)
			}
			continue
		}
		k.plan(&l, freshView(d.Controllers == nil))
	}
	for _, w := range l.warnings {
		warn(w)
	}
	return l.problems
}

// freshView returns the view of a new cgroup: no limit is set, and every file
// exists.
func freshView(v2 bool) view {
	return view{v2: v2, has: func(string) bool { return true }, read: func(file string) (string, error) {
		if file == "memory.max" {
			return "max", nil
		}
		return "", unix.ENOENT
	}}
}

func (p Paths) lacks(d Dir, mounted bool, k kind) error {
	if !mounted {
		return fieldError(k.field, "cannot set %s limit: container could not join or create cgroup: the controller is not mounted on this host", k.v1)
	}
	if d.Controllers != nil {
		return nil
	}
	if k.v2 == "" {
		return nil // an eBPF program implements the limit
	}
	text, err := named(d.Mountpoint).read("cgroup.controllers")
	if err != nil {
		return err
	}
	if available := strings.Fields(text); !contains(available, k.v2) {
		return noController(need{k.v2, k.field}, d.Mountpoint, available)
	}
	return nil
}

package cgroup

import (
	"iter"
	"path"
	"strings"
)

// Dir is one cgroup: a directory of one hierarchy.
type Dir struct {
	Controllers []string `json:"controllers,omitempty"` // nil for cgroup2
	Mountpoint  string   `json:"mountpoint"`
	Root        string   `json:"root,omitempty"` // the cgroup mounted at Mountpoint; "" for "/"
	Path        string   `json:"path"`           // relative to Mountpoint; begins with "/", clean
}

// Abs returns the absolute path of the directory. It is called for each hierarchy at
// each step, so it does not clean its parts, which are clean, a second time.
func (d Dir) Abs() string {
	switch {
	case d.Mountpoint == "/":
		return d.Path
	case d.Path == "/":
		return d.Mountpoint
	}
	return d.Mountpoint + d.Path
}

// Name returns the name of the hierarchy for error messages: its controllers
// ("cpu,cpuacct"), its name ("systemd"), or "unified".
func (d Dir) Name() string {
	if d.Controllers == nil {
		return "unified"
	}
	return strings.TrimPrefix(strings.Join(d.Controllers, ","), "name=")
}

// Paths is the place of one container's cgroup in every hierarchy of the host. It
// contains everything that another process needs to work on the cgroup later.
type Paths struct {
	V1      []Dir `json:"v1,omitempty"`
	Unified *Dir  `json:"unified,omitempty"`
	// Optional: config.json names no cgroup and the runtime has no privilege. It
	// then leaves out the hierarchies that it may not write to.
	Optional bool `json:"optional,omitempty"`
}

// Resolve returns the place of the container's cgroup (config-linux.md, "Cgroups
// Path"):
//
//   - An absolute path is relative to each hierarchy's mountpoint.
//   - A relative path is below the runtime's own cgroup on v1 hierarchies. On a pure
//     v2 host it is beside the runtime's own cgroup: a cgroup with processes, such
//     as that one, cannot have children with controllers.
//   - An empty path is replaced by the container's id, a relative path.
//
// Resolve refuses a path with "..": it could leave the mountpoint.
func Resolve(h *Host, cgroupsPath, id string, rootless bool) (Paths, error) {
	p := Paths{Optional: rootless && cgroupsPath == ""}
	if cgroupsPath == "" {
		cgroupsPath = id
	}
	if err := checkPath(cgroupsPath); err != nil {
		return Paths{}, err
	}
	if len(h.Hierarchies) > 0 {
		p.V1 = make([]Dir, 0, len(h.Hierarchies))
	}
	for _, x := range h.Hierarchies {
		p.V1 = append(p.V1, Dir{x.Controllers, x.Mountpoint, x.Root, under(x.Own, cgroupsPath)})
	}
	if x := h.Unified; x != nil {
		p.Unified = &Dir{nil, x.Mountpoint, x.Root, under(unifiedBase(h), cgroupsPath)}
	}
	return p, nil
}

// unifiedBase returns the base of relative paths in the cgroup2 hierarchy. Beside v1
// hierarchies cgroup2 applies no limits, so a cgroup with processes may have
// children there, and the base is the runtime's own cgroup.
func unifiedBase(h *Host) string {
	if h.Mode == V2 {
		return path.Dir(h.Unified.Own)
	}
	return h.Unified.Own
}

// checkPath refuses a path that cannot be a cgroup below the mountpoint.
func checkPath(p string) error {
	switch {
	case hasDotDot(p):
		return fieldError("/linux/cgroupsPath", "%q leaves the cgroup mount: it has a \"..\"", p)
	case strings.ContainsAny(p, "\n\x00"):
		return fieldError("/linux/cgroupsPath", "%q has a character that no cgroup's name can have", p)
	case path.Clean("/"+p) == "/":
		return fieldError("/linux/cgroupsPath", "%q is the root cgroup", p)
	}
	return nil
}

// under returns p relative to base, or p itself if p is absolute.
func under(base, p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", base, p)
}

func hasDotDot(p string) bool {
	return contains(strings.Split(p, "/"), "..")
}

// dirs yields all directories, the v1 ones first.
func (p Paths) dirs() iter.Seq[Dir] {
	return func(yield func(Dir) bool) {
		for _, d := range p.V1 {
			if !yield(d) {
				return
			}
		}
		if p.Unified != nil {
			yield(*p.Unified)
		}
	}
}

// none reports whether the container has no cgroup.
func (p Paths) none() bool { return len(p.V1) == 0 && p.Unified == nil }

// primary returns the directory whose process list is read: the cgroup2 one, else
// the freezer's, else any. It returns false for a container without a cgroup.
func (p Paths) primary() (Dir, bool) {
	if p.Unified != nil {
		return *p.Unified, true
	}
	if d, ok := p.find("freezer"); ok {
		return d, true
	}
	if len(p.V1) > 0 {
		return p.V1[0], true
	}
	return Dir{}, false
}

// String returns the path of the primary directory.
func (p Paths) String() string {
	d, ok := p.primary()
	if !ok {
		return "none"
	}
	return d.Abs()
}

// find returns the directory that has controller. It returns false if no hierarchy
// of the container can have it. find returns the cgroup2 directory for every
// controller that no v1 hierarchy has: only its files tell which controllers are
// enabled.
func (p Paths) find(controller string) (Dir, bool) {
	for _, d := range p.V1 {
		if contains(d.Controllers, controller) {
			return d, true
		}
	}
	if p.Unified != nil {
		return *p.Unified, true
	}
	return Dir{}, false
}

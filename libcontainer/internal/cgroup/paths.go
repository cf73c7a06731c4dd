package cgroup

import (
	"fmt"
	"path"
	"strings"
)

// Dir is one cgroup: a directory of one hierarchy.
type Dir struct {
	Controllers []string `json:"controllers,omitempty"` // nil for cgroup2
	Mountpoint  string   `json:"mountpoint"`
	Root        string   `json:"root,omitempty"` // what of the hierarchy shows at Mountpoint; "" for all
	Path        string   `json:"path"`           // from Mountpoint; begins with "/", clean
}

// Abs is the directory's absolute path.
func (d Dir) Abs() string { return path.Join(d.Mountpoint, d.Path) }

// Name is what the hierarchy is called in errors and mountpoints: its
// controllers ("cpu,cpuacct"), its name ("systemd"), or "unified".
func (d Dir) Name() string {
	if d.Controllers == nil {
		return "unified"
	}
	return strings.TrimPrefix(strings.Join(d.Controllers, ","), "name=")
}

// Paths is where one container's cgroup is, in every hierarchy of the host. It
// holds all that is needed to work on it later, by another process.
type Paths struct {
	V1      []Dir `json:"v1,omitempty"`
	Unified *Dir  `json:"unified,omitempty"`
	// Optional: nobody asked for this cgroup by name, and the runtime has no
	// privilege; hierarchies that it may not write to are left out.
	Optional bool `json:"optional,omitempty"`
}

// Resolve says where the container's cgroup is (config-linux.md, "Cgroups Path"):
//
//   - an absolute path is below each hierarchy's mountpoint;
//   - a relative one is below the runtime's own cgroup on v1 hierarchies. On cgroup2
//     it is beside it: a cgroup with processes, such as the runtime's own, cannot
//     have children with controllers;
//   - an empty one is the container's id, relative.
//
// A path with ".." is refused: it would leave the mountpoint.
func Resolve(h *Host, cgroupsPath, id string, rootless bool) (Paths, error) {
	p := Paths{Optional: rootless && cgroupsPath == ""}
	if cgroupsPath == "" {
		cgroupsPath = id
	}
	if err := checkPath(cgroupsPath); err != nil {
		return Paths{}, err
	}
	for _, x := range h.Hierarchies {
		p.V1 = append(p.V1, Dir{x.Controllers, x.Mountpoint, x.Root, under(x.Own, cgroupsPath)})
	}
	if x := h.Unified; x != nil {
		p.Unified = &Dir{nil, x.Mountpoint, x.Root, under(unifiedBase(h), cgroupsPath)}
	}
	return p, nil
}

// unifiedBase is what relative paths of the cgroup2 hierarchy start from. Beside
// v1 hierarchies it carries no processes' limits, and the plain rule holds.
func unifiedBase(h *Host) string {
	if h.Mode == V2 {
		return path.Dir(h.Unified.Own)
	}
	return h.Unified.Own
}

// checkPath refuses what cannot be a cgroup below the mountpoint.
func checkPath(p string) error {
	switch {
	case hasDotDot(p):
		return fmt.Errorf("/linux/cgroupsPath: %q leaves the cgroup mount: it has a \"..\"", p)
	case strings.ContainsAny(p, "\n\x00"):
		return fmt.Errorf("/linux/cgroupsPath: %q has a character that no cgroup's name can have", p)
	case path.Clean("/"+p) == "/":
		return fmt.Errorf("/linux/cgroupsPath: %q is the root cgroup", p)
	}
	return nil
}

// under is p from base, unless p is absolute.
func under(base, p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", base, p)
}

func hasDotDot(p string) bool {
	return contains(strings.Split(p, "/"), "..")
}

// dirs are all directories, the v1 ones first.
func (p Paths) dirs() []Dir {
	if p.Unified == nil {
		return p.V1
	}
	return append(p.V1[:len(p.V1):len(p.V1)], *p.Unified)
}

// primary is the directory that is asked about processes: the cgroup2 one,
// else that of the freezer, else any. False for a container without a cgroup.
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

// String is the directory that is asked about processes.
func (p Paths) String() string {
	d, ok := p.primary()
	if !ok {
		return "none"
	}
	return d.Abs()
}

// find is the directory where controller is, false where no hierarchy of the
// container is known to have it. The cgroup2 one answers for all that v1
// hierarchies do not have: which controllers it has, only its files tell.
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

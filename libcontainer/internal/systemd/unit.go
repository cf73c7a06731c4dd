package systemd

import (
	"fmt"
	"path"
	"strings"
)

// Unit is the systemd unit of a container.
type Unit struct {
	Name  string // onggi-ID.scope
	Slice string // system.slice
}

// ParsePath parses linux.cgroupsPath in the form that engines write for systemd,
// "slice:prefix:name". An empty path means the defaults.
func ParsePath(cgroupsPath, id string, user bool) (Unit, error) {
	slice, prefix, name := "", "onggi", id
	if cgroupsPath != "" {
		parts := strings.Split(cgroupsPath, ":")
		if len(parts) != 3 {
			return Unit{}, fmt.Errorf("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got %q instead", cgroupsPath)
		}
		slice, prefix, name = parts[0], parts[1], parts[2]
	}
	switch {
	case slice == "-":
		slice = "-.slice" // the root
	case slice == "" && user:
		slice = "user.slice"
	case slice == "":
		slice = "system.slice"
	}
	u := Unit{Name: name, Slice: slice}
	if !u.IsSlice() {
		u.Name = name + ".scope"
		if prefix != "" {
			u.Name = prefix + "-" + u.Name
		}
	}
	if name == "" || !validName(u.Name) {
		return Unit{}, fmt.Errorf("%q is not the name of a unit", u.Name)
	}
	if _, err := expandSlice(slice); err != nil {
		return Unit{}, err
	}
	return u, nil
}

// IsSlice reports whether the unit is a slice. A slice can hold a container's cgroup
// if its path is its own name.
func (u Unit) IsSlice() bool { return strings.HasSuffix(u.Name, ".slice") }

// Cgroup returns the path of the unit's cgroup below the manager's root.
func (u Unit) Cgroup(root string) (string, error) {
	if u.IsSlice() {
		dir, err := expandSlice(u.Name)
		return path.Join("/", root, dir), err
	}
	dir, err := expandSlice(u.Slice)
	return path.Join("/", root, dir, u.Name), err
}

// expandSlice returns the path of a slice. Each dash is a level (systemd.slice(5)):
// a-b.slice is a.slice/a-b.slice.
func expandSlice(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	switch {
	case !ok || !validName(slice):
		return "", fmt.Errorf("%q is not the name of a slice", slice)
	case name == "-":
		return "", nil
	}
	dir, prefix := "", ""
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", fmt.Errorf("%q is not the name of a slice", slice)
		}
		prefix += part
		dir = path.Join(dir, prefix+".slice")
		prefix += "-"
	}
	return dir, nil
}

// validName accepts letters, digits and :-_.\ (systemd.unit(5)).
func validName(name string) bool {
	const most = 255
	return len(name) <= most && strings.IndexFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(`:-_.\@`, r))
	}) < 0
}

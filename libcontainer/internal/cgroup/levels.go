package cgroup

import "path"

// stride is the largest number of path components in one call for a deep cgroup.
// A lookup by the whole path takes longer with each level above, and opening a
// directory for every level takes two more calls per level.
const stride = 8

// down calls f with each of dirs from the top down. The paths are absolute, each one
// below the previous one. f gets a directory above and the relative name; it makes
// the cgroup if that does not exist.
func down(dirs []string, f func(at group, name string) error) error {
	if len(dirs) == 0 {
		return nil
	}
	at, err := anchor(path.Dir(dirs[0]), len(dirs))
	if err != nil {
		return err
	}
	defer func() { at.close() }()
	for i, dir := range dirs {
		if i > 0 && i%stride == 0 {
			if at, err = at.step(at.name(dirs[i-1])); err != nil {
				return err
			}
		}
		if err := f(at, at.name(dir)); err != nil {
			return err
		}
	}
	return nil
}

// up calls f with each of dirs, from the lowest up. The paths are absolute, each one
// above the previous one.
func up(dirs []string, f func(at group, name string) error) error {
	for len(dirs) > 0 {
		n := min(stride, len(dirs))
		if err := upFrom(path.Dir(dirs[n-1]), dirs[:n], f); err != nil {
			return err
		}
		dirs = dirs[n:]
	}
	return nil
}

func upFrom(top string, dirs []string, f func(at group, name string) error) error {
	at, err := anchor(top, len(dirs))
	if err != nil {
		return err
	}
	defer at.close()
	for _, dir := range dirs {
		if err := f(at, at.name(dir)); err != nil {
			return err
		}
	}
	return nil
}

// anchor returns a directory for access to n cgroups below it. It opens the
// directory only if n makes that worth two calls.
func anchor(dir string, n int) (group, error) {
	if n < 3 {
		return named(dir), nil
	}
	return openGroup(dir)
}

// name returns the name, relative to g, of a cgroup below g.
func (g group) name(abs string) string { return abs[len(g.path)+1:] }

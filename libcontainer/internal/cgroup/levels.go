package cgroup

import "path"

// stride is how many levels a name has at most where there are many: to find a
// cgroup by its whole path takes longer with each level above it, and to open a
// directory for every level takes two calls more.
const stride = 8

// down calls f with each of dirs, absolute and one below the other, from the top
// down: by its name from a directory above it. f makes what is not there yet.
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

// up calls f with each of dirs, absolute and one above the other, from the lowest
// up.
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

// anchor opens a directory for n that are below it, if they are worth it.
func anchor(dir string, n int) (group, error) {
	if n < 3 {
		return named(dir), nil
	}
	return openGroup(dir)
}

// name is that of a cgroup below g.
func (g group) name(abs string) string { return abs[len(g.path)+1:] }

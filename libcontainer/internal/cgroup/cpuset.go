package cgroup

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cpuset plans linux.resources.cpu.cpus and mems: the same files on v1 and v2.
func (l *limits) cpuset(c *specs.LinuxCPU, _ view) {
	if c.Cpus != "" {
		l.add(write{field: resources + "/cpu/cpus", file: "cpuset.cpus", value: c.Cpus})
	}
	if c.Mems != "" {
		l.add(write{field: resources + "/cpu/mems", file: "cpuset.mems", value: c.Mems})
	}
}

// seeds are the values of cpus and mems, in their order.
type seeds [len(cpusetFiles)]string

var cpusetFiles = [...]string{"cpuset.cpus", "cpuset.mems"}

// seedCpuset copies cpus and mems from above where they are empty: on v1 no
// process can enter a cgroup before both are set. The last levels of d are yet to
// be made, and get what those above have.
func seedCpuset(d Dir, missing int) (s seeds, err error) {
	root, err := openGroup(d.Mountpoint)
	if err != nil {
		return s, err
	}
	defer root.close()
	dir := strings.TrimPrefix(d.Path, "/")
	for range missing {
		dir = path.Dir(dir)
	}
	for i, file := range cpusetFiles {
		if s[i], err = seed(root, dir, file); err != nil {
			return s, err
		}
	}
	return s, nil
}

// write is for a cgroup that has been made.
func (s seeds) write(at group, name string) error {
	for i, file := range cpusetFiles {
		if err := at.write(path.Join(name, file), s[i]); err != nil {
			return err
		}
	}
	return nil
}

// seed returns the value of file in dir, which is its parent's if it has none.
func seed(root group, dir, file string) (string, error) {
	v, err := root.read(path.Join(dir, file))
	if err != nil || v != "" || dir == "." {
		return v, err
	}
	v, err = seed(root, path.Dir(dir), file)
	if err != nil {
		return "", err
	}
	return v, root.write(path.Join(dir, file), v)
}

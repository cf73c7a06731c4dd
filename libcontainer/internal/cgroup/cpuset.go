package cgroup

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cpuset plans linux.resources.cpu.cpus and mems. The files are the same on v1 and
// v2.
func (l *limits) cpuset(c *specs.LinuxCPU, _ view) {
	if c.Cpus != "" {
		l.add(write{field: resources + "/cpu/cpus", file: "cpuset.cpus", value: c.Cpus})
	}
	if c.Mems != "" {
		l.add(write{field: resources + "/cpu/mems", file: "cpuset.mems", value: c.Mems})
	}
}

// seeds are the values for cpusetFiles, in that order.
type seeds [len(cpusetFiles)]string

var cpusetFiles = [...]string{"cpuset.cpus", "cpuset.mems"}

// seedCpuset returns the cpus and mems for the last missing levels of d, which do
// not exist yet: the values of the lowest existing cgroup. On v1 no process can
// enter a cgroup before both are set. If an existing cgroup has an empty value,
// seedCpuset copies its parent's value there.
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

// write writes the seeds into a new cgroup.
func (s seeds) write(at group, name string) error {
	for i, file := range cpusetFiles {
		if err := at.write(path.Join(name, file), s[i]); err != nil {
			return err
		}
	}
	return nil
}

// seed returns the value of file in dir. If it is empty, seed first writes the
// parent's value there.
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

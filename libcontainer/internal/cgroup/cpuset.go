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

// seedCpuset copies cpus and mems from above where they are empty: on v1 no
// process can enter a cgroup before both are set. A fresh leaf is empty.
func seedCpuset(d Dir, fresh bool) error {
	root, err := openGroup(d.Mountpoint)
	if err != nil {
		return err
	}
	defer root.close()
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if _, err := seed(root, strings.TrimPrefix(d.Path, "/"), file, fresh); err != nil {
			return err
		}
	}
	return nil
}

// seed returns the value of file in dir, which is its parent's if it has none.
func seed(root group, dir, file string, empty bool) (string, error) {
	if !empty || dir == "." {
		v, err := root.read(path.Join(dir, file))
		if err != nil || v != "" || dir == "." {
			return v, err
		}
	}
	v, err := seed(root, path.Dir(dir), file, false)
	if err != nil {
		return "", err
	}
	return v, root.write(path.Join(dir, file), v)
}

package cgroup

import "path"

// Mount describes one hierarchy in a container's mount of type "cgroup".
type Mount struct {
	Name       string   // directory in the container's cgroup mount, e.g. "cpu,cpuacct"; "" on v2: the mount itself
	Links      []string // symlinks beside it to Name, e.g. "cpu" and "cpuacct"
	V2         bool     // file system type cgroup2 (else cgroup)
	Options    string   // of the superblock in a new cgroup namespace, e.g. "cpu,cpuacct" or "none,name=systemd"
	Mountpoint string   // on the host
	Path       string   // the container's cgroup, absolute: the source of a bind mount
}

// Mounts returns the mounts behind a container's mount of type "cgroup": one for
// each v1 hierarchy, and one for cgroup2.
func (p Paths) Mounts() []Mount {
	ms := make([]Mount, 0, len(p.V1)+1)
	for _, d := range p.V1 {
		m := Mount{Name: path.Base(d.Mountpoint), Options: d.mountOptions(), Mountpoint: d.Mountpoint, Path: d.Abs()}
		for _, c := range d.Controllers {
			if c != m.Name && len(d.Controllers) > 1 {
				m.Links = append(m.Links, c)
			}
		}
		ms = append(ms, m)
	}
	if d := p.Unified; d != nil {
		m := Mount{V2: true, Mountpoint: d.Mountpoint, Path: d.Abs()}
		if p.V1 != nil {
			m.Name = path.Base(d.Mountpoint)
		}
		ms = append(ms, m)
	}
	return ms
}

// mountOptions returns the mount options that select this v1 hierarchy.
func (d Dir) mountOptions() string {
	s := ""
	for i, c := range d.Controllers {
		if i > 0 {
			s += ","
		}
		if len(c) > 5 && c[:5] == "name=" {
			s += "none,"
		}
		s += c
	}
	return s
}

package libcontainer

import (
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

func recordCgroup(manager string, p cgroup.Paths) state.Cgroup {
	c := state.Cgroup{Manager: manager}
	for _, d := range p.V1 {
		c.V1 = append(c.V1, state.CgroupPath(d))
	}
	if p.Unified != nil {
		d := state.CgroupPath(*p.Unified)
		c.Unified = &d
	}
	return c
}

func cgroupPaths(c state.Cgroup) cgroup.Paths {
	var p cgroup.Paths
	if len(c.V1) > 0 {
		p.V1 = make([]cgroup.Dir, len(c.V1))
	}
	for i, d := range c.V1 {
		p.V1[i] = cgroup.Dir(d)
	}
	if c.Unified != nil {
		d := cgroup.Dir(*c.Unified)
		p.Unified = &d
	}
	return p
}

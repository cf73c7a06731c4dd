package libcontainer

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// checkSupported refuses what this version cannot do: config.md wants an error
// for every value that is not supported, not silence.
func checkSupported(spec *specs.Spec) error {
	l := spec.Linux
	switch {
	case l == nil:
		return nil
	case l.IntelRdt != nil:
		return &Failure{Field: "/linux/intelRdt", Err: errors.New("resctrl groups are not supported by this version")}
	}
	return nil
}

// limited tells whether a configuration asks for limits that only a cgroup
// could keep.
func limited(spec *specs.Spec) bool {
	if spec.Linux == nil || spec.Linux.Resources == nil {
		return false
	}
	r := spec.Linux.Resources
	return r.Memory != nil || r.CPU != nil || r.Pids != nil || len(r.HugepageLimits)+len(r.Unified)+len(r.Rdma) > 0
}

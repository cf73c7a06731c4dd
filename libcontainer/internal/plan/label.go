package plan

import (
	"slices"

	"github.com/onggi-dev/onggi/specconv"
)

func (b *builder) labelMounts() {
	if b.linux.MountLabel == "" {
		return
	}
	for i, it := range b.items {
		if m, ok := it.Step.(Mount); ok {
			b.label(&m)
			b.items[i].Step = m
		}
	}
}

// label gives the files of a new mount the SELinux context that
// linux.mountLabel asks for: by a parameter of the file system, or by an
// attribute of its root.
func (b *builder) label(s *Mount) {
	switch s.Type {
	case "proc", "sysfs", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "bpf", "selinuxfs":
		// The policy knows them (genfscon). The kernel would refuse the
		// parameter, or set it for all mounts of them at once.
	case "mqueue":
		s.RootLabel = b.linux.MountLabel
	default:
		if !slices.ContainsFunc(s.Params, isContext) {
			s.Params = append(s.Params, Param{b.contextType(), b.linux.MountLabel})
		}
	}
}

// contextType is the parameter's name (mount(8), "SELinux").
func (b *builder) contextType() string {
	if t := b.Spec.Annotations[specconv.MountContextType]; t != "" {
		return t
	}
	return "context"
}

// isContext tells a parameter by which the mount's own options set a context.
func isContext(p Param) bool {
	switch p.Key {
	case "context", "fscontext", "defcontext", "rootcontext":
		return true
	}
	return false
}

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

// label gives the files of a new mount the SELinux context of linux.mountLabel.
// It uses a parameter of the file system, or an attribute of its root.
func (b *builder) label(s *Mount) {
	switch s.Type {
	case "proc", "sysfs", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "bpf", "selinuxfs":
		// The policy labels these file systems (genfscon). The kernel would
		// refuse the parameter, or apply it to all their mounts at once.
	case "mqueue":
		s.RootLabel = b.linux.MountLabel
	default:
		if !slices.ContainsFunc(s.Params, isContext) {
			s.Params = append(s.Params, Param{b.contextType(), b.linux.MountLabel})
		}
	}
}

// contextType returns the name of the parameter (mount(8), "SELinux").
func (b *builder) contextType() string {
	if t := b.Spec.Annotations[specconv.MountContextType]; t != "" {
		return t
	}
	return "context"
}

// isContext reports whether a mount option sets a context already.
func isContext(p Param) bool {
	switch p.Key {
	case "context", "fscontext", "defcontext", "rootcontext":
		return true
	}
	return false
}

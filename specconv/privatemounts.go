package specconv

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// KeepMountsPrivate adds a mount namespace to a configuration that has none and changes
// mounts. Without the namespace the changes would apply to the host and outlive the
// container. KeepMountsPrivate returns a warning, or "" if it leaves the configuration
// as it is.
//
// The caller applies it to each copy of a configuration that Parse decodes: to the
// bundle's, and to the one in the container's state.
func KeepMountsPrivate(s *specs.Spec) string {
	if s.Linux == nil || Namespace(s, specs.MountNamespace) != nil {
		return ""
	}
	fields := mountChanges(s)
	if len(fields) == 0 {
		return ""
	}
	s.Linux.Namespaces = append(slices.Clip(s.Linux.Namespaces), specs.LinuxNamespace{Type: specs.MountNamespace})
	return "/linux/namespaces: without a mount namespace the container would change the host's mounts (" + strings.Join(fields, ", ") + "): it gets a new one"
}

// mountChanges lists the fields that change mounts.
func mountChanges(s *specs.Spec) []string {
	var fields []string
	for _, f := range [...]struct {
		name string
		set  bool
	}{
		{"/mounts", len(s.Mounts) > 0},
		{"/root/readonly", s.Root != nil && s.Root.Readonly},
		{"/linux/maskedPaths", len(s.Linux.MaskedPaths) > 0},
		{"/linux/readonlyPaths", len(s.Linux.ReadonlyPaths) > 0},
	} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	return fields
}

package specconv

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Namespace returns the entry of linux.namespaces with this type. It returns nil if
// there is none: the container then stays in the runtime's namespace. An entry with
// a path joins an existing namespace. The result points into s.
func Namespace(s *specs.Spec, t specs.LinuxNamespaceType) *specs.LinuxNamespace {
	if s.Linux == nil {
		return nil
	}
	list := s.Linux.Namespaces
	if i := slices.IndexFunc(list, func(n specs.LinuxNamespace) bool { return n.Type == t }); i >= 0 {
		return &list[i]
	}
	return nil
}

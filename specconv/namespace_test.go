package specconv

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestNamespace(t *testing.T) {
	spec := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
		{Type: specs.MountNamespace}, {Type: specs.UserNamespace, Path: "/proc/1/ns/user"},
	}}}
	for _, tt := range []struct {
		name string
		spec *specs.Spec
		kind specs.LinuxNamespaceType
		want *specs.LinuxNamespace
	}{
		{"no linux section", &specs.Spec{}, specs.UserNamespace, nil},
		{"not listed", spec, specs.PIDNamespace, nil},
		{"new", spec, specs.MountNamespace, &spec.Linux.Namespaces[0]},
		{"joined", spec, specs.UserNamespace, &spec.Linux.Namespaces[1]},
	} {
		if got := Namespace(tt.spec, tt.kind); got != tt.want {
			t.Errorf("%s: Namespace(%s) = %v; want %v", tt.name, tt.kind, got, tt.want)
		}
	}
}

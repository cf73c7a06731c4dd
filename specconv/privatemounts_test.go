package specconv

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestKeepMountsPrivate(t *testing.T) {
	pid := specs.LinuxNamespace{Type: specs.PIDNamespace}
	joined := specs.LinuxNamespace{Type: specs.MountNamespace, Path: "/proc/1/ns/mnt"}
	const start, end = "/linux/namespaces: without a mount namespace the container would change the host's mounts (", "): it gets a new one"
	for _, tt := range []struct {
		name string
		spec specs.Spec
		want string
	}{
		{"no linux", specs.Spec{Mounts: make([]specs.Mount, 1)}, ""},
		{"nothing to mount", specs.Spec{Root: &specs.Root{}, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{pid}}}, ""},
		{"a joined one", specs.Spec{Mounts: make([]specs.Mount, 1), Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{joined}}}, ""},
		{"mounts", specs.Spec{Mounts: make([]specs.Mount, 1), Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{pid}}}, start + "/mounts" + end},
		{
			"the rest",
			specs.Spec{Root: &specs.Root{Readonly: true}, Linux: &specs.Linux{MaskedPaths: []string{"/a"}, ReadonlyPaths: []string{"/b"}}},
			start + "/root/readonly, /linux/maskedPaths, /linux/readonlyPaths" + end,
		},
	} {
		before := 0
		if tt.spec.Linux != nil {
			before = len(tt.spec.Linux.Namespaces)
		}
		if got := KeepMountsPrivate(&tt.spec); got != tt.want {
			t.Errorf("%s: KeepMountsPrivate = %q; want %q", tt.name, got, tt.want)
		}
		if tt.spec.Linux == nil {
			continue
		}
		if added := len(tt.spec.Linux.Namespaces) - before; (added != 0) != (tt.want != "") {
			t.Errorf("%s: %d namespaces added", tt.name, added)
		}
	}
}

package plan

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

func TestMountLabels(t *testing.T) {
	const label = "system_u:object_r:container_file_t:s0:c1,c2"
	tests := []struct {
		name       string
		typ        string
		options    []string
		annotation string
		want       Param  // parameter of the mount
		root       string // label set as an extended attribute
	}{
		{"tmpfs", "tmpfs", nil, "", Param{"context", label}, ""},
		{"devpts", "devpts", []string{"newinstance"}, "", Param{"context", label}, ""},
		{"overlay", "overlay", nil, "", Param{"context", label}, ""},
		{"another parameter", "tmpfs", nil, "rootcontext", Param{"rootcontext", label}, ""},
		{"its own", "tmpfs", []string{`context="u:r:t:s0:c3,c4"`}, "", Param{"context", "u:r:t:s0:c3,c4"}, ""},
		{"mqueue", "mqueue", nil, "", Param{}, label},
		{"proc", "proc", nil, "", Param{}, ""},
		{"sysfs", "sysfs", nil, "", Param{}, ""},
		{"bind", "bind", []string{"bind"}, "", Param{}, ""},
		{"the directory of v1 hierarchies", "cgroup", nil, "", Param{"context", label}, ""},
	}
	for _, tt := range tests {
		s := specconv.Example()
		s.Linux.MountLabel = label
		s.Mounts = []specs.Mount{{Destination: "/m", Type: tt.typ, Source: "/src", Options: tt.options}}
		if tt.annotation != "" {
			s.Annotations = map[string]string{specconv.MountContextType: tt.annotation}
		}
		var got Param
		root := ""
		for _, it := range create(t, request(s, hostHybrid())).Items {
			if m, ok := it.Step.(Mount); ok && m.At.Path == "/m" {
				root = m.RootLabel
				for _, p := range m.Params {
					if isContext(p) {
						got = p
					}
				}
			}
		}
		if got != tt.want || root != tt.root {
			t.Errorf("%s: parameter %v, attribute %q; want %v, %q", tt.name, got, root, tt.want, tt.root)
		}
	}
}

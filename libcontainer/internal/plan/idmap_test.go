package plan

import (
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

func TestIdmapOfMounts(t *testing.T) {
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 7, Size: 1}}
	tests := []struct {
		name   string
		typ    string
		opts   []string
		maps   []specs.LinuxIDMapping
		userns bool
		want   *Idmap
	}{
		{"bind", "bind", []string{"idmap"}, maps, false, &Idmap{UIDs: maps, GIDs: maps}},
		{"without the option", "bind", nil, maps, false, &Idmap{UIDs: maps, GIDs: maps}},
		{"recursive", "bind", []string{"rbind", "ridmap"}, maps, false, &Idmap{Recursive: true, UIDs: maps, GIDs: maps}},
		{"by the user namespace", "bind", []string{"idmap"}, nil, true, &Idmap{}},
		{"none", "bind", nil, nil, true, nil},
		{"new", "tmpfs", []string{"idmap"}, maps, true, &Idmap{UIDs: maps, GIDs: maps}},
		{"new, by the user namespace that it is mounted in", "tmpfs", []string{"idmap"}, nil, true, nil},
	}
	for _, tt := range tests {
		s := specconv.Example()
		s.Mounts = []specs.Mount{{Destination: "/m", Type: tt.typ, Source: "/src", Options: tt.opts, UIDMappings: tt.maps, GIDMappings: tt.maps}}
		if tt.userns {
			withNamespace(specs.UserNamespace)(s)
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
		}
		var got *Idmap
		for _, it := range create(t, request(s, hostV2())).Items {
			switch step := it.Step.(type) {
			case Bind:
				if step.At.Path == "/m" {
					got = step.Idmap
				}
			case Mount:
				if step.At.Path == "/m" {
					got = step.Idmap
				}
			}
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v; want %+v", tt.name, got, tt.want)
		}
	}
}

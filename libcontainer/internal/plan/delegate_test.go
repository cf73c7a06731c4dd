package plan

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

var v2 = Host{Unified: true, Cgroups: []CgroupMount{{V2: true, Path: "/sys/fs/cgroup/c", Root: "/sys/fs/cgroup"}}}

// delegated returns a configuration that fulfils all conditions of delegation.
func delegated() *specs.Spec {
	s := specconv.Example()
	s.Process.User.UID = 5
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "rw"}})
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	return s
}

// steps returns the steps of type S and their indices.
func steps[S Step](t *testing.T, s *specs.Spec, h Host) (found []S, at []int) {
	t.Helper()
	p, err := Create(Request{Spec: s, ID: "c", Rootfs: "/b/rootfs", Bundle: "/b", Host: h})
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range p.Items {
		if step, ok := it.Step.(S); ok {
			found, at = append(found, step), append(at, i)
		}
	}
	return found, at
}

func TestDelegateCgroup(t *testing.T) {
	drop := func(kind specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			kept := s.Linux.Namespaces[:0]
			for _, n := range s.Linux.Namespaces {
				if n.Type != kind {
					kept = append(kept, n)
				}
			}
			s.Linux.Namespaces = kept
		}
	}
	user := func(path string, mappings ...specs.LinuxIDMapping) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: path})
			s.Linux.UIDMappings, s.Linux.GIDMappings = mappings, mappings
		}
	}
	cgroupMount := func(change func(*specs.Mount)) func(*specs.Spec) {
		return func(s *specs.Spec) { change(&s.Mounts[len(s.Mounts)-1]) }
	}
	none := func(*specs.Spec) {}
	tests := []struct {
		name   string
		change func(*specs.Spec)
		host   Host
		want   []DelegateCgroup
	}{
		{"no user namespace", none, v2, []DelegateCgroup{{UID: 5}}},
		{"user namespace", user("", specs.LinuxIDMapping{ContainerID: 0, HostID: 100, Size: 2}, specs.LinuxIDMapping{ContainerID: 4, HostID: 7000, Size: 10}), v2, []DelegateCgroup{{UID: 7001}}},
		{"joined user namespace", user("/proc/7/ns/user"), v2, nil},
		{"no cgroup", none, Host{}, nil},
		{"v1", none, Host{Cgroups: []CgroupMount{{Name: "pids"}}}, nil},
		{"hybrid", none, hostHybrid(), nil},
		{"no cgroup namespace", drop(specs.CgroupNamespace), v2, nil},
		{"read-only", cgroupMount(func(m *specs.Mount) { m.Options = []string{"ro"} }), v2, nil},
		{"elsewhere", cgroupMount(func(m *specs.Mount) { m.Destination = "/cgroup" }), v2, nil},
		{"other source", cgroupMount(func(m *specs.Mount) { m.Source = "other" }), v2, nil},
	}
	for _, tt := range tests {
		s := delegated()
		tt.change(s)
		got, _ := steps[DelegateCgroup](t, s, tt.host)
		if len(got) != len(tt.want) || len(got) == 1 && got[0] != tt.want[0] {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
}

func TestSubCgroup(t *testing.T) {
	s := delegated()
	s.Annotations = map[string]string{specconv.DelegateCgroup: "/payload/init/"}
	got, at := steps[SubCgroup](t, s, v2)
	if want := (SubCgroup{Path: "payload/init", UID: 5}); len(got) != 1 || got[0] != want {
		t.Fatalf("steps = %v; want %v", got, want)
	}
	_, unshares := steps[Unshare](t, s, v2)
	if unshares[len(unshares)-1] > at[0] {
		t.Error("the cgroup namespace is made in the cgroup below")
	}
	for _, h := range []Host{{}, hostHybrid()} {
		_, err := Create(Request{Spec: s, ID: "c", Rootfs: "/b/rootfs", Bundle: "/b", Host: h})
		if err == nil || !strings.Contains(err.Error(), "/annotations/run.oci.delegate-cgroup: needs cgroup v2") {
			t.Errorf("error with %+v = %v", h, err)
		}
	}
}

package systemd

import (
	"slices"
	"testing"
)

func TestParsePath(t *testing.T) {
	tests := []struct {
		path, id string
		user     bool
		want     Unit
		cgroup   string
	}{
		{"", "c", false, Unit{"onggi-c.scope", "system.slice"}, "/system.slice/onggi-c.scope"},
		{"", "c", true, Unit{"onggi-c.scope", "user.slice"}, "/user.slice/onggi-c.scope"},
		{"system.slice:docker:abc", "x", false, Unit{"docker-abc.scope", "system.slice"}, "/system.slice/docker-abc.scope"},
		{":libpod:abc", "x", false, Unit{"libpod-abc.scope", "system.slice"}, "/system.slice/libpod-abc.scope"},
		{
			"kubepods-burstable-pod1.slice:cri-containerd:abc", "x", false,
			Unit{"cri-containerd-abc.scope", "kubepods-burstable-pod1.slice"},
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope",
		},
		{"-:a:b", "x", false, Unit{"a-b.scope", "-.slice"}, "/a-b.scope"},
		{"-.slice::b", "x", false, Unit{"b.scope", "-.slice"}, "/b.scope"},
		{"a.slice:ignored:b-c.slice", "x", false, Unit{"b-c.slice", "a.slice"}, "/b.slice/b-c.slice"},
	}
	for _, test := range tests {
		got, err := ParsePath(test.path, test.id, test.user)
		if got != test.want || err != nil {
			t.Errorf("ParsePath(%q) = %v, %v; want %v", test.path, got, err, test.want)
			continue
		}
		if cgroup, err := got.Cgroup("/"); cgroup != test.cgroup || err != nil {
			t.Errorf("%v.Cgroup = %q, %v; want %q", got, cgroup, err, test.cgroup)
		}
	}
	u, _ := ParsePath("", "c", true)
	if got, _ := u.Cgroup("/user.slice/user-1000.slice/user@1000.service"); got != "/user.slice/user-1000.slice/user@1000.service/user.slice/onggi-c.scope" {
		t.Errorf("cgroup below the user's manager = %q", got)
	}
	for _, path := range []string{"/plain/path", "a:b", "a:b:c:d", "a:b:c", "a-.slice:b:c", ".slice:b:c", "a.slice:b:", "a.slice:b/..:c", "../a.slice:b:c", "a b.slice:c:d"} {
		if got, err := ParsePath(path, "x", false); err == nil {
			t.Errorf("ParsePath(%q) = %v; want an error", path, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	system := []address{{"/run/systemd/private", true}}
	tests := []struct {
		user bool
		env  map[string]string
		want []address
	}{
		{false, nil, append(system[:1:1], address{"/run/dbus/system_bus_socket", false})},
		{false, map[string]string{"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/x,guid=1"}, append(system[:1:1], address{"/x", false})},
		{true, map[string]string{"XDG_RUNTIME_DIR": "/run/user/7"}, []address{{"/run/user/7/systemd/private", true}, {"/run/user/7/bus", false}}},
		{true, map[string]string{"DBUS_SESSION_BUS_ADDRESS": "tcp:host=h;unix:guid=1,abstract=/tmp/x"}, []address{{"@/tmp/x", false}}},
		{true, nil, nil},
	}
	for _, test := range tests {
		if got := addresses(test.user, func(name string) string { return test.env[name] }); !slices.Equal(got, test.want) {
			t.Errorf("addresses(%v, %v) = %v; want %v", test.user, test.env, got, test.want)
		}
	}
}

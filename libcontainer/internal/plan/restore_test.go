package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CRIU is executed last, after the cgroups, the keyring, the cgroup namespace and every mount. Nothing that CRIU does itself
// is in the plan: other namespaces, credentials, the filter, the gate.
func TestRestorePlan(t *testing.T) {
	spec := &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "rootfs"}, Hostname: "x", Process: &specs.Process{Args: []string{"sh"}, Cwd: "/", NoNewPrivileges: true},
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}, {Destination: "/data", Type: "bind", Source: "/v", Options: []string{"bind", "ro"}}},
		Linux: &specs.Linux{
			MaskedPaths: []string{"/proc/kcore"}, Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActAllow},
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.CgroupNamespace}, {Type: specs.IPCNamespace, Path: "/proc/1/ns/ipc"}},
		},
	}
	p, err := Restore(Request{Spec: spec, ID: "x", Rootfs: "/b/rootfs", Bundle: "/b", Host: Host{CgroupTasks: []string{"/c/tasks"}}}, ProgramOf{Path: "/usr/sbin/criu", Args: []string{"criu", "swrk", "3"}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, it := range p.Items {
		names = append(names, Name(it.Step))
		if u, ok := it.Step.(Unshare); ok && u.Flags != unix.CLONE_NEWNS|unix.CLONE_NEWCGROUP {
			t.Errorf("Unshare of %#x; want the mount and the cgroup namespace", u.Flags)
		}
		if s, ok := it.Step.(Spawn); ok && s.Namespaces != 0 {
			t.Errorf("Spawn in namespaces %#x; want none", s.Namespaces)
		}
	}
	at := func(name string) int { return slices.Index(names, name) }
	for _, pair := range [][2]string{{"JoinCgroups", "Unshare"}, {"Unshare", "SessionKeyring"}, {"AttachRootfs", "Bind"}, {"Bind", "Masks"}, {"Masks", "Stage"}, {"Stage", "CloseFiles"}, {"CloseFiles", "Execute"}} {
		if at(pair[0]) < 0 || at(pair[0]) > at(pair[1]) {
			t.Errorf("%s is not before %s in %s", pair[0], pair[1], strings.Join(names, " "))
		}
	}
	for _, name := range []string{"Join", "Seccomp", "Gate", "Identity", "Capabilities", "NoNewPrivs", "Hooks", "Pivot", "Hostname", "Sysctl", "LoopbackUp"} {
		if at(name) >= 0 {
			t.Errorf("%s is in the plan: CRIU does that, or onggi later", name)
		}
	}
	if names[len(names)-1] != "Execute" {
		t.Errorf("the last step is %s", names[len(names)-1])
	}
}

// The stub of a restore is not in the new user namespace: it binds devices, opens the stage, and maps ids by the configuration.
func TestRestorePlanOfAUserNamespace(t *testing.T) {
	maps := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	spec := &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "rootfs"},
		Mounts: []specs.Mount{{Destination: "/data", Type: "bind", Source: "/v", Options: []string{"bind", "idmap"}}, {Destination: "/t", Type: "tmpfs", Source: "tmpfs", Options: []string{"idmap"}}},
		Linux:  &specs.Linux{UIDMappings: maps, GIDMappings: maps, Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.UserNamespace}}},
	}
	p, err := Restore(Request{Spec: spec, ID: "x", Rootfs: "/b/rootfs", Bundle: "/b"}, ProgramOf{Path: "/usr/sbin/criu"})
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range p.Items {
		switch s := it.Step.(type) {
		case Bind:
			if s.At.Path == "/data" && (s.Idmap == nil || len(s.Idmap.UIDs) != 1) {
				t.Errorf("the bind mount has the mapping %+v; want that of the configuration", s.Idmap)
			}
		case Mount:
			if s.Idmap != nil {
				t.Errorf("the new mount has the mapping %+v; want none", s.Idmap)
			}
		case Device:
			if s.FromHost == "" {
				t.Errorf("%s is made; want the host's", s.At.Path)
			}
		case Stage:
			if !s.Open {
				t.Error("the stage is closed to the namespace's root")
			}
		case Unshare:
			if s.Flags&unix.CLONE_NEWUSER != 0 {
				t.Error("the stub enters the user namespace, which CRIU makes")
			}
		}
	}
}

func TestUnrestorable(t *testing.T) {
	spaces := func(list ...specs.LinuxNamespace) *specs.Linux { return &specs.Linux{Namespaces: list} }
	user, mount := specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.MountNamespace}
	joinedUser, joinedNet := specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/u"}, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/n"}
	for _, tt := range []struct {
		name  string
		linux *specs.Linux
		field string
	}{
		{"joined network", spaces(mount, joinedNet), ""},
		{"user namespace", spaces(mount, user), ""},
		{"joined user namespace", spaces(mount, joinedUser), "/linux/namespaces"},
		{"user namespace and a joined network", spaces(mount, joinedNet, user), "/linux/namespaces"},
		{"joined mount namespace", spaces(specs.LinuxNamespace{Type: specs.MountNamespace, Path: "/m"}), "/linux/namespaces"},
		{"network devices", &specs.Linux{NetDevices: map[string]specs.LinuxNetDevice{"eth0": {}}}, "/linux/netDevices"},
	} {
		if got, why := Unrestorable(&specs.Spec{Linux: tt.linux}); got != tt.field || (why == "") != (tt.field == "") {
			t.Errorf("%s: Unrestorable = %q, %q; want %q", tt.name, got, why, tt.field)
		}
	}
}

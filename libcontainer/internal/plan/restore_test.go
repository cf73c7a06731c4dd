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

func TestUnrestorable(t *testing.T) {
	for field, l := range map[string]*specs.Linux{
		"":                  {Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace, Path: "/n"}}},
		"/linux/namespaces": {Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.UserNamespace}}},
		"/linux/netDevices": {NetDevices: map[string]specs.LinuxNetDevice{"eth0": {}}},
	} {
		if got, why := Unrestorable(&specs.Spec{Linux: l}); got != field || (why == "") != (field == "") {
			t.Errorf("Unrestorable = %q, %q; want %q", got, why, field)
		}
	}
}

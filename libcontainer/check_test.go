package libcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// inspect returns an inspection of a host whose /proc and /sys have these files.
func inspect(t *testing.T, spec *specs.Spec, files map[string]string) *inspection {
	t.Helper()
	root := t.TempDir()
	for name, data := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := &creation{Runtime: &Runtime{}, bundle: root}
	return &inspection{creation: c, ctx: t.Context(), root: root, spec: spec}
}

// wantFindings compares the findings, as lines, with want.
func wantFindings(t *testing.T, name string, in *inspection, want ...string) {
	t.Helper()
	var got []string
	for _, f := range in.findings {
		got = append(got, f.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: findings\n  %s\nwant\n  %s", name, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestNote(t *testing.T) {
	in := inspect(t, nil, nil)
	in.note(nil)
	in.note(specconv.Problems{{Pointer: "/a", Message: "one"}, {Pointer: "/b", Message: "two"}})
	in.note(oneLine(errors.Join(&Failure{Field: "/c", Err: errors.New("three")}, &Failure{Field: "/d", Step: "step", Errno: unix.EPERM})))
	in.note(errors.New("five"))
	in.warning("/e: six: seven")
	in.warning("eight: nine")
	wantFindings(t, "note", in,
		"error: /a: one", "error: /b: two", "error: /c: three", "error: /d: step: operation not permitted", "error: five",
		"warning: /e: six: seven", "warning: eight: nine")
}

func TestCheckAppArmorProfile(t *testing.T) {
	const list = "docker-default (enforce)\na (b) (complain)\n"
	for profile, loaded := range map[string]bool{
		"": true, "unconfined": true, "docker-default": true, "a (b)": true, ":ns:other": true, "other//&docker-default": true,
		"other": false, "docker": false, "a": false,
	} {
		for _, readable := range []bool{true, false} {
			files := map[string]string{}
			if readable {
				files["sys/kernel/security/apparmor/profiles"] = list
			}
			in := inspect(t, nil, files)
			in.appArmor(profile)
			if len(in.findings) == 0 != (loaded || !readable) {
				t.Errorf("profile %q: findings %v; want some: %t", profile, in.findings, !loaded && readable)
			}
		}
	}
}

func TestCheckKernel(t *testing.T) {
	for release, old := range map[string]bool{"5.13.19-amd64": true, "4.18.0": true, "5.14.0-70.el9": false, "6.1.0": false, "10.0": false, "strange": false} {
		in := inspect(t, nil, map[string]string{"proc/sys/kernel/osrelease": release})
		in.kernel()
		if got := len(in.findings) == 1; got != old {
			t.Errorf("%s: too old %t; want %t", release, got, old)
		}
	}
}

func TestCheckNamespaces(t *testing.T) {
	spec := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
		{Type: specs.UserNamespace},
		{Type: specs.TimeNamespace},
		{Type: specs.NetworkNamespace, Path: "/proc/self/ns/net"},
		{Type: specs.IPCNamespace, Path: "/proc/self/ns/uts"},
		{Type: specs.UTSNamespace, Path: "/dev/null"},
		{Type: specs.PIDNamespace, Path: "/no/such"},
	}}}
	in := inspect(t, spec, map[string]string{
		"proc/self/ns/user": "", "proc/self/ns/net": "", "proc/self/ns/ipc": "", "proc/self/ns/uts": "", "proc/self/ns/pid": "",
		"proc/sys/user/max_user_namespaces": "0",
	})
	in.namespaces()
	wantFindings(t, "namespaces", in,
		"error: /linux/namespaces/0: the host allows no new user namespaces: /proc/sys/user/max_user_namespaces is 0",
		"error: /linux/namespaces/1: the kernel has no time namespaces",
		`error: /linux/namespaces/3/path: "/proc/self/ns/uts" is not a ipc namespace`,
		`error: /linux/namespaces/4/path: "/dev/null" is not a namespace`,
		`error: /linux/namespaces/5/path: "/no/such": no such file or directory`)
}

func TestCheckUnprivilegedUserns(t *testing.T) {
	in := inspect(t, nil, map[string]string{"proc/sys/kernel/unprivileged_userns_clone": "0", "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0"})
	in.unprivilegedUserns("/x")
	wantFindings(t, "userns", in, "error: /x: ordinary users may not make user namespaces here: /proc/sys/kernel/unprivileged_userns_clone is 0")
}

func TestCheckSources(t *testing.T) {
	in := inspect(t, &specs.Spec{Mounts: []specs.Mount{
		{Type: "tmpfs", Source: "tmpfs"},
		{Type: "nonsensefs", Source: "x"},
		{Type: "cgroup", Source: "cgroup"},
		{Type: "bind", Source: "here"},
		{Type: "bind", Source: "/no/such"},
		{Source: "nor/this", Options: []string{"bind"}},
		{Options: []string{"remount", "ro"}},
	}}, map[string]string{"proc/filesystems": "nodev\tproc\nnodev\ttmpfs\n\text4", "here": ""})
	in.sources()
	wantFindings(t, "sources", in,
		`warning: /mounts/1/type: the kernel does not have the file system "nonsensefs" now; it may be a module`,
		`error: /mounts/4/source: "/no/such": no such file or directory`,
		`error: /mounts/5/source: "`+in.root+`/nor/this": no such file or directory`)
}

func TestCheckHooks(t *testing.T) {
	in := inspect(t, &specs.Spec{Hooks: &specs.Hooks{
		CreateRuntime:  []specs.Hook{{Path: "/bin/sh"}, {Path: "/no/such"}},
		StartContainer: []specs.Hook{{Path: "/only/in/the/container"}},
		Poststop:       []specs.Hook{{Path: "/etc/passwd"}},
	}}, nil)
	in.hookFiles()
	wantFindings(t, "hooks", in,
		`error: /hooks/createRuntime/1/path: "/no/such" cannot be executed: no such file or directory`,
		`error: /hooks/poststop/0/path: "/etc/passwd" cannot be executed: permission denied`)
}

func TestCheckSysctls(t *testing.T) {
	in := inspect(t, &specs.Spec{Linux: &specs.Linux{Sysctl: map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv4.nonsense": "1", "net.ipv4.conf.eth0.rp_filter": "1", "kernel.shmmax": "1",
	}}}, map[string]string{"proc/sys/net/ipv4/ip_forward": "0"})
	in.sysctls()
	wantFindings(t, "sysctls", in,
		"error: /linux/sysctl/kernel.shmmax: this kernel has no such parameter",
		"error: /linux/sysctl/net.ipv4.nonsense: this kernel has no such parameter")
}

func TestCheckMemoryNodes(t *testing.T) {
	policy := func(nodes string) *specs.Spec {
		return &specs.Spec{Linux: &specs.Linux{MemoryPolicy: &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: nodes}}}
	}
	for nodes, want := range map[string][]string{
		"0": nil, "0-1,3": nil,
		"0-2": {"error: /linux/memoryPolicy/nodes: this host has no memory node 2 (only 0-1,3)"},
		"7":   {"error: /linux/memoryPolicy/nodes: this host has no memory node 7 (only 0-1,3)"},
	} {
		in := inspect(t, policy(nodes), map[string]string{"sys/devices/system/node/online": "0-1,3"})
		in.memoryNodes()
		wantFindings(t, nodes, in, want...)
	}
	in := inspect(t, policy("0"), nil)
	in.memoryNodes()
	wantFindings(t, "no NUMA", in, "error: /linux/memoryPolicy: the kernel has no NUMA support")
}

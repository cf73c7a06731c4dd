package tests

import (
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestCheckOfAHealthyBundle(t *testing.T) {
	peersLack(t, "there is no such verb")
	c := newContainer(t)
	before := treeOf(t, c.bundle)
	r := c.must("check", c.bundle)
	want(t, "output", r.out+r.err, "")
	want(t, "as JSON", strings.TrimSpace(c.must("check", "--format", "json", c.bundle).out), "[]")
	want(t, "files of the bundle", treeOf(t, c.bundle), before)
	if _, err := os.Stat(c.root); err == nil {
		t.Error("a state root was made")
	}
	if dirs := c.cgroupDirs(); len(dirs) > 0 {
		t.Errorf("cgroups were made: %v", dirs)
	}
}

// check reports all problems at once, each under its field, and create then refuses the bundle.
func TestCheckSaysAllThatIsWrong(t *testing.T) {
	peersLack(t, "there is no such verb")
	c := newContainer(t,
		func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 40, Hard: 1 << 40}}
			s.Linux.Sysctl = map[string]string{"net.ipv4.nonsense": "1"}
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "99"}
			s.Linux.Namespaces[0].Path = "/no/such/namespace"
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"frobnicate"}, Action: specs.ActErrno}}}
		},
		netDevice("nonsense0", ""),
		hooks("createRuntime", specs.Hook{Path: "/no/such/hook"}),
		mount(
			specs.Mount{Destination: "/a", Type: "bind", Source: "/no/such/source", Options: []string{"bind"}},
			specs.Mount{Destination: "/b", Type: "nonsensefs", Source: "x"},
		))
	r := c.verb("check", c.bundle)
	if r.code != 1 || r.err != "" {
		t.Errorf("exit status %d; want 1 and nothing on standard error\n%v", r.code, r)
	}
	wanted := []string{
		`error: /hooks/createRuntime/0/path: "/no/such/hook" cannot be executed: no such file or directory`,
		`error: /mounts/7/source: "/no/such/source": no such file or directory`,
		`warning: /mounts/8/type: the kernel does not have the file system "nonsensefs" now`,
		`error: /linux/namespaces/0/path: "/no/such/namespace": no such file or directory`,
		`warning: /linux/seccomp/syscalls: libseccomp does not know frobnicate`,
		`error: /linux/sysctl/net.ipv4.nonsense: this kernel has no such parameter`,
		`error: /linux/netDevices/nonsense0: link not found for interface nonsense0: `,
		`error: /linux/memoryPolicy/nodes: this host has no memory node 99`,
	}
	if !hasResourcePrivilege() {
		wanted = append(wanted, `error: /process/rlimits/0/hard: 1099511627776 is above the runtime's own`)
	}
	for _, line := range wanted {
		if !strings.Contains(r.out, line) {
			t.Errorf("no %q in\n%s", line, r.out)
		}
	}
	if got := strings.Count(r.out, "\n"); got != len(wanted) {
		t.Errorf("%d lines; want %d\n%s", got, len(wanted), r.out)
	}
	if _, err := os.Stat(c.root); err == nil {
		t.Error("a state root was made")
	}
}

func hasResourcePrivilege() bool {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	caps := field(string(data), "CapPrm")
	return strings.ContainsRune("13579bdf", rune(caps[len(caps)-7])) // bit 24
}

// check reports problems of the configuration together with those of the host.
func TestCheckOfABrokenConfiguration(t *testing.T) {
	peersLack(t, "there is no such verb")
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.Cwd = "relative"
		s.Root.Path = "nowhere"
		s.Process.ApparmorProfile = "p"
	})
	r := c.verb("check", "--format", "json", c.bundle)
	var findings []struct {
		Field, Message string
		Warning        bool
	}
	decode(t, r.out, &findings)
	var fields []string
	for _, f := range findings {
		fields = append(fields, f.Field)
	}
	got := strings.Join(fields, " ")
	if r.code != 1 || !strings.Contains(got, "/process/cwd") || !strings.Contains(got, "/root/path") {
		t.Errorf("fields %q; want those that are wrong\n%v", got, r)
	}
	os.Remove(c.bundle + "/config.json")
	refused(t, c.verb("check", c.bundle), 1, "config.json")
	refused(t, c.verb("check", "/no/such/bundle"), 1, "no such file or directory")
}

// check and create agree for bundles that engines write.
func TestCheckAgreesWithCreate(t *testing.T) {
	peersLack(t, "there is no such verb")
	for name, e := range map[string]edit{
		"as it is":       func(*specs.Spec) {},
		"user namespace": userNamespace(100000),
		"no such source": mount(specs.Mount{Destination: "/a", Type: "bind", Source: "/no/such", Options: []string{"bind"}}),
		"apparmor":       process(func(p *specs.Process) { p.ApparmorProfile = "docker-default" }),
		"cgroup":         resources(func(r *specs.LinuxResources) { r.Network = &specs.LinuxNetwork{ClassID: ptr(uint32(1))} }),
		"unsupported":    func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, e)
			check, create := c.verb("check", c.bundle), c.verb(c.withFlags("create")...)
			if (check.code == 0) != (create.code == 0) {
				t.Errorf("they differ\n%v\n%v", check, create)
			}
		})
	}
}

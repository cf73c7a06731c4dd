package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// leavesNothing runs a create that has to fail, and checks that it had no effect.
func leavesNothing(t *testing.T, c *container, text string, flags ...string) {
	t.Helper()
	os.MkdirAll(c.root, 0o711)
	rootfs := treeOf(t, c.rootfs)
	for _, verb := range []string{"create", "run"} {
		refused(t, c.verb(c.withFlags(verb, flags...)...), 1, text)
	}
	if entries, _ := os.ReadDir(filepath.Join(c.root, c.id)); len(entries) != 0 {
		t.Errorf("state was left: %v", entries)
	}
	if dirs := c.cgroupDirs(); len(dirs) != 0 {
		t.Errorf("cgroups were left: %v", dirs)
	}
	if after := treeOf(t, c.rootfs); after != rootfs {
		t.Errorf("the rootfs changed:\n%s", diff(rootfs, after))
	}
}

func TestConfigThatIsNone(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "not JSON": "{", "another type": "[]", "a number": "1", "wrong type of a field": `{"ociVersion": "1.0.2", "process": {"args": "sh"}}`,
		"null": "null", "trailing": "{} {}", "binary": "\x00\xff",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "trailing" || name == "null" {
				peerFails(t, "runc", "takes it, or dereferences nothing")
			}
			c := newContainer(t)
			c.write("config.json", text)
			leavesNothing(t, c, "")
		})
	}
	t.Run("missing", func(t *testing.T) {
		c := newContainer(t)
		os.Remove(filepath.Join(c.bundle, "config.json"))
		leavesNothing(t, c, "config.json")
	})
	t.Run("bundle missing", func(t *testing.T) {
		c := newContainer(t)
		refused(t, c.verb("create", "--bundle", "/no/such/bundle", c.id), 1, "no such file or directory")
	})
	t.Run("unknown fields are passed over", func(t *testing.T) {
		c := newContainer(t, sh("echo fine"))
		data, _ := json.Marshal(c.spec)
		c.write("config.json", strings.Replace(string(data), "{", `{"com.example.unknown": {"deep": [1, 2]}, "zos": {},`, 1))
		want(t, "output", c.output(), "fine")
	})
}

func TestConfigValuesThatCannotBe(t *testing.T) {
	tests := []struct {
		name    string
		edit    edit
		pointer string // the field that onggi has to name
		runc    string // why runc takes it
	}{
		{"no root", func(s *specs.Spec) { s.Root = nil }, "/root", ""},
		{"rootfs missing", func(s *specs.Spec) { s.Root.Path = "nowhere" }, "nowhere", ""},
		{"rootfs is a file", func(s *specs.Spec) { s.Root.Path = "config.json" }, "config.json", ""},
		{"no arguments", func(s *specs.Spec) { s.Process.Args = nil }, "/process/args", ""},
		{"cwd relative", func(s *specs.Spec) { s.Process.Cwd = "tmp" }, "/process/cwd", ""},
		{"cwd empty", func(s *specs.Spec) { s.Process.Cwd = "" }, "/process/cwd", ""},
		{"rlimit unknown", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NONSENSE"}} }, "/process/rlimits/0", ""},
		{"rlimit twice", func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_CORE"}}
		}, "/process/rlimits/1", "takes the last"},
		{"rlimit soft above hard", func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 2, Hard: 1}}
		}, "/process/rlimits/0", ""},
		{"hostname without uts namespace", func(s *specs.Spec) {
			without(specs.UTSNamespace)(s)
			s.Hostname = "x"
		}, "/hostname", ""},
		{"maps without user namespace", func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}
		}, "/linux/uidMappings", "says so only with a user namespace"},
		{"user namespace without maps", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		}, "/linux/uidMappings", ""},
		{"user not mapped", func(s *specs.Spec) {
			userNamespace(100000)(s)
			s.Process.User.UID = 70000
		}, "", ""},
		{"masked path relative", func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"etc"} }, "/linux/maskedPaths/0", "takes it"},
		{"read-only path relative", func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"etc"} }, "/linux/readonlyPaths/0", "takes it"},
		{"propagation unknown", func(s *specs.Spec) { s.Linux.RootfsPropagation = "nonsense" }, "/linux/rootfsPropagation", ""},
		{"mount type unknown", mount(specs.Mount{Destination: "/mnt", Type: "nonsense", Source: "x"}), "nonsense", ""},
		{"mount option unknown", mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"nonsense=1"}}), "nonsense", ""},
		{"device type unknown", func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "z"}} }, "/linux/devices/0", ""},
		{"device path relative", func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "x", Type: "c"}} }, "/linux/devices/0", "takes it"},
		{"AppArmor where there is none", func(s *specs.Spec) { s.Process.ApparmorProfile = "nonsense" }, "", ""},
		{"SELinux where there is none", func(s *specs.Spec) { s.Process.SelinuxLabel = "nonsense" }, "", ""},
		{"intelRdt where there is none", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} }, "", "1.1 takes no notice"},
		{"personality unknown", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "NONSENSE"} }, "/linux/personality/domain", "does not read it"},
		{"version unknown", func(s *specs.Spec) { s.Version = "9.0.0" }, "/ociVersion", "takes any"},
		{"version missing", func(s *specs.Spec) { s.Version = "" }, "/ociVersion", "takes it"},
		{"annotation without a key", func(s *specs.Spec) { s.Annotations = map[string]string{"": "x"} }, "/annotations", "takes it"},
		{"cgroupsPath leaves", func(s *specs.Spec) { s.Linux.CgroupsPath = "/../../../etc/onggi-x" }, "", "cleans it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.runc != "" {
				peerFails(t, "runc", test.runc)
			}
			c := newContainer(t, test.edit)
			text := test.pointer
			if env.kind != "onggi" {
				text = ""
			}
			if test.name == "cgroupsPath leaves" {
				// The runtime may refuse the path, or take it as a path below the root of the hierarchy.
				if r := c.run(); r.code == 0 {
					for _, h := range hierarchies() {
						removeCgroup(filepath.Join(h.mountpoint, "etc"))
					}
				}
				return
			}
			leavesNothing(t, c, text)
		})
	}
}

func TestAllProblemsOfAConfigAreNamedAtOnce(t *testing.T) {
	peerFails(t, "runc", "stops at the first")
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.Cwd = "relative"
		s.Process.Args = nil
		s.Linux.MaskedPaths = []string{"also/relative"}
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NONSENSE"}}
	})
	r := c.run()
	for _, pointer := range []string{"/process/cwd", "/process/args", "/linux/maskedPaths/0", "/process/rlimits/0"} {
		if !strings.Contains(r.err, pointer) {
			t.Errorf("no %s in %v", pointer, r)
		}
	}
	if r.code != 1 || strings.Count(strings.TrimSpace(r.err), "\n") != 0 {
		t.Errorf("want one line and exit status 1: %v", r)
	}
}

func TestIDs(t *testing.T) {
	for _, id := range []string{"", ".", "..", "a/b", "../x", "/x", "a b", "ü", "a\nb", "a:b", strings.Repeat("x", 1025)} {
		t.Run("bad "+id, func(t *testing.T) {
			c := newContainer(t)
			os.MkdirAll(c.root, 0o711)
			before := treeOf(t, filepath.Dir(c.root))
			for _, line := range [][]string{{"create", "--bundle", c.bundle, "--", id}, {"run", "--bundle", c.bundle, "--", id}, {"start", "--", id}, {"state", "--", id}, {"delete", "--", id}} {
				if r := c.verb(line...); r.code != 1 || r.err == "" {
					t.Errorf("%q: %v", line, r)
				}
			}
			if after := treeOf(t, filepath.Dir(c.root)); after != before {
				t.Errorf("something was made:\n%s", diff(before, after))
			}
		})
	}
	for _, id := range []string{"a", "A-b_c.d+e", "0", "..a", strings.Repeat("x", 200)} {
		t.Run("good "+id[:min(len(id), 10)], func(t *testing.T) {
			c := newContainer(t)
			c.id = id
			c.output()
		})
	}
}

func TestStateRootThatCannotBe(t *testing.T) {
	c := newContainer(t)
	c.write("file", "")
	c.root = filepath.Join(c.bundle, "file")
	if r := c.run(); r.code != 1 {
		t.Error(r)
	}
}

func TestCorruptStateOfOneContainerDoesNotHideTheOthers(t *testing.T) {
	peerFails(t, "runc", "delete cannot remove it")
	good := newContainer(t)
	good.up()
	for _, text := range []string{"", "{", "null", `{"pid": "x"}`, "\x00\x00"} {
		bad := newContainer(t)
		bad.root = good.root
		bad.up()
		dir := filepath.Join(bad.root, bad.id)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), ".json") {
				os.WriteFile(filepath.Join(dir, entry.Name()), []byte(text), 0o600)
			}
		}
		if r := good.verb("list", "--quiet"); !strings.Contains(r.out, good.id) {
			t.Errorf("state %q: %v", text, r)
		}
		want(t, "status of the good one", good.status(), "running")
		if r := bad.verb("delete", "--force", bad.id); r.code != 0 {
			t.Errorf("state %q: %v", text, r)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("state %q: the state directory is left", text)
		}
		// The lost state was the only record of the cgroup's place, so the runtime cannot remove it.
		for _, cgroup := range bad.cgroupDirs() {
			os.WriteFile(filepath.Join(cgroup, "cgroup.kill"), []byte("1"), 0)
		}
		for _, pid := range bad.livePids() {
			p, _ := os.FindProcess(pid)
			p.Kill()
		}
		eventually(t, "the processes are gone", func() bool { return len(bad.livePids()) == 0 })
		takeStock().strays()
		for _, cgroup := range bad.cgroupDirs() {
			removeCgroup(cgroup)
		}
	}
}

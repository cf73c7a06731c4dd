package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// restoreArgs returns the command line of a restore, with flags.
func (c *container) restoreArgs(flags ...string) []string {
	all := append([]string{"restore", "--bundle", c.bundle, "--image-path", c.images()}, flags...)
	return append(all, c.id)
}

// dumped returns a container with a counter after its checkpoint, and the last count.
func dumped(t testing.TB, edits ...edit) (*container, int) {
	t.Helper()
	c := counting(t, edits...)
	c.must("checkpoint", "--image-path", c.images(), c.id)
	if r := c.verb("state", c.id); r.code != 1 || !strings.Contains(r.err, "does not exist") {
		t.Errorf("after a checkpoint: %s", r)
	}
	return c, c.count()
}

// attributes prints the attributes of a process that CRIU does not restore, or restores wrongly.
func attributes(t testing.TB, pid int) string {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &set); err != nil {
		t.Fatal(err)
	}
	slack, _ := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", pid))
	oom, _ := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	prio, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0)
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	var kept []string
	for line := range strings.Lines(string(status)) {
		for _, key := range []string{"Cap", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups", "Umask"} {
			if strings.HasPrefix(line, key) {
				kept = append(kept, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return fmt.Sprintf("processors %d, I/O priority %d, timer slack %s, oom_score_adj %s, %s", set.Count(), prio, strings.TrimSpace(string(slack)), strings.TrimSpace(string(oom)), strings.Join(kept, "; "))
}

// mountTable lists the mounts of a process without their numbers.
func mountTable(t testing.TB, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(data)) {
		left, right, _ := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		kind := ""
		for _, f := range l[6:] {
			kind, _, _ = strings.Cut(f, ":")
		}
		all = append(all, strings.Join([]string{l[4], l[5], kind, r[0]}, " "))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// A restored container has everything that its configuration promises: twin read-only binds, masks, loopback, the session
// keyring, the cgroup and its namespace, and the attributes of its process. It can be dumped and restored again.
func TestRestore(t *testing.T) {
	c := counting(t, func(s *specs.Spec) {
		bundle := filepath.Dir(s.Mounts[len(s.Mounts)-1].Source)
		if err := os.Mkdir(filepath.Join(bundle, "twin"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"/ro1", "/ro2"} {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: at, Type: "bind", Source: filepath.Join(bundle, "twin"), Options: []string{"rbind", "ro", "nosuid", "nodev"}})
		}
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1000}}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mapped", Type: "bind", Source: filepath.Join(bundle, "twin"), Options: []string{"bind", "idmap"}, UIDMappings: ids, GIDMappings: ids})
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "81"}
	})
	pid := c.state().Pid
	one := unix.CPUSet{}
	one.Set(0)
	if err := unix.SchedSetaffinity(pid, &one); err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, 1, uintptr(pid), 3<<13|4); errno != 0 {
		t.Fatal(errno)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", pid), []byte("123456"), 0); err != nil {
		t.Fatal(err)
	}
	before, mounts := attributes(t, pid), mountTable(t, pid)
	for range 2 {
		c.must("checkpoint", "--image-path", c.images(), c.id)
		n := c.count()
		pidFile := filepath.Join(c.bundle, "pid")
		c.must(c.restoreArgs("--detach", "--pid-file", pidFile)...)
		want(t, "status", c.status(), "running")
		c.countsOn(n)
		pid = c.state().Pid
		want(t, "pid file", strings.TrimSpace(textOf(t, pidFile)), strconv.Itoa(pid))
		want(t, "attributes", attributes(t, pid), before)
		want(t, "mounts", mountTable(t, pid), mounts)
		for _, dir := range []string{"/ro1", "/ro2"} {
			if out := c.execOutput(nil, "sh", "-c", "touch "+dir+"/x 2>&1; true"); !strings.Contains(out, "Read-only") {
				t.Errorf("touch %s/x: %q; want a read-only file system", dir, out)
			}
		}
		want(t, "sysctl", c.execOutput(nil, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"), "81")
		if out := c.execOutput(nil, "ip", "link", "show", "lo"); !strings.Contains(out, "UP") {
			t.Errorf("lo: %s", out)
		}
		own, _ := os.Readlink("/proc/self/ns/cgroup")
		if got, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/cgroup", pid)); got == own {
			t.Error("the container is in the host's cgroup namespace")
		}
		if keys := textOf(t, "/proc/keys"); !strings.Contains(keys, "_ses."+c.id) {
			t.Errorf("the session keyring is missing: %s", keys)
		}
		want(t, "stage", readDirNames("/tmp/tree"), "")
	}
	c.must("kill", c.id, "KILL")
	c.stopped()
	c.must("delete", c.id)
}

func textOf(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func readDirNames(dir string) string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// In the foreground, restore waits for the container, returns its status and deletes it. The host's hooks run with the state.
func TestRestoreForeground(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	hook := func(kind string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", `echo "` + kind + ` $(sed 's/.*"status":"\([a-z]*\)".*/\1/')" >>` + log}}}
	}
	c, _ := dumped(t, func(s *specs.Spec) {
		s.Process.Args = []string{"sh", "-c", "trap 'exit 7' TERM; " + counter}
		s.Hooks = &specs.Hooks{
			Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"), CreateContainer: hook("createContainer"),
			StartContainer: nil, Poststart: hook("poststart"), Poststop: hook("poststop"),
		}
	})
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	n := c.count()
	i := c.begin(c.restoreArgs()...)
	c.countsOn(n)
	c.must("kill", c.id, "TERM")
	if r := i.end(); r.code != 7 {
		t.Errorf("%s; want exit status 7", r)
	}
	want(t, "hooks", strings.TrimSpace(textOf(t, log)), "prestart creating\ncreateRuntime creating\npoststart running\npoststop stopped")
	if r := c.verb("state", c.id); r.code != 1 {
		t.Errorf("after its end: %s", r)
	}
}

// Every refusal is one line of error, and leaves nothing.
func TestRestoreRefuses(t *testing.T) {
	c, _ := dumped(t)
	for _, tt := range []struct {
		name, want string
		flags      []string
		edit       edit
		file, data string // file of the images that the test damages
		path       bool   // PATH begins with a CRIU in /tmp
	}{
		{name: "CRIU in /tmp", flags: []string{"--image-path", "images"}, path: true, want: "a restore covers /tmp"},
		{name: "no images", flags: []string{"--image-path", "none"}, want: "no such file or directory"},
		{name: "empty", flags: []string{"--image-path", "data"}, want: "has no complete checkpoint"},
		{name: "other user namespace", want: "uid_map of the restored container is", edit: func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			ids := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
			s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
		}},
		{name: "no source", want: "the container had a mount on /data, for which the configuration has no source", edit: func(s *specs.Spec) { s.Mounts = s.Mounts[:len(s.Mounts)-1] }},
		{name: "no mask", want: "for which the configuration has no source", edit: func(s *specs.Spec) { s.Linux.MaskedPaths = nil }},
		{name: "missing bind source", want: "no such file or directory", edit: func(s *specs.Spec) {
			m := s.Mounts[len(s.Mounts)-1]
			m.Source += "-gone"
			s.Mounts = append(s.Mounts[:len(s.Mounts)-1:len(s.Mounts)-1], m)
		}},
		{name: "truncated facts", want: "onggi.json: damaged", file: "onggi.json", data: "{"},
		{name: "facts of another version", want: "version 9 is not known", file: "onggi.json", data: `{"version":9}`},
		{name: "foreign image", file: "pstree.img", data: "an image of another program", want: "an image is damaged or was not written by CRIU"},
		{name: "truncated image", want: "restore.log", file: "pstree.img", data: ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := c.in(t)
			old := c.spec
			spec, linux := *old, *old.Linux
			spec.Linux, spec.Mounts = &linux, slices.Clone(old.Mounts)
			c.spec = &spec
			if tt.edit != nil {
				c.edit(tt.edit)
			}
			if tt.path {
				dir := t.TempDir()
				if !strings.HasPrefix(dir, "/tmp/") {
					t.Skip("temporary files are elsewhere")
				}
				if err := os.WriteFile(filepath.Join(dir, "criu"), []byte("#!/bin/true\n"), 0o755); err != nil {
					t.Fatal(err)
				}
				before := c.env
				defer func() { c.env = before }()
				c.env = append(slices.Clone(before), "PATH="+dir)
			}
			if tt.file != "" {
				whole := textOf(t, filepath.Join(c.images(), tt.file))
				c.write("images/"+tt.file, tt.data)
				defer c.write("images/"+tt.file, whole)
			}
			r := c.verb(c.restoreArgs(append(tt.flags, "--detach")...)...)
			if r.code != 1 || !strings.Contains(r.err, tt.want) || strings.Count(r.err, "level=error") != 1 {
				t.Errorf("%s; want %q on one line", r, tt.want)
			}
			if r := c.verb("state", c.id); r.code != 1 || !strings.Contains(r.err, "does not exist") {
				t.Errorf("after a failed restore: %s", r)
			}
			c.spec = old
			c.edit()
		})
	}
}

// The test kills the runtime or CRIU during a restore, at any moment. delete --force must leave nothing.
func TestRestoreKilled(t *testing.T) {
	onOneLayout(t)
	c, _ := dumped(t)
	tries := kills(t)
	began := time.Now()
	c.must(c.restoreArgs("--detach")...)
	whole := time.Since(began)
	c.must("delete", "--force", c.id)
	before := takeStock()
	for i := range tries {
		inv := c.begin(c.restoreArgs("--detach")...)
		time.Sleep(whole * time.Duration(i/2*2+1) / time.Duration(tries+1))
		victim := inv.Process.Pid
		if i%2 == 1 {
			victim = childNamed(victim, "criu")
		}
		if victim > 0 {
			_ = syscall.Kill(victim, syscall.SIGKILL)
		}
		inv.end()
		c.must("delete", "--force", c.id)
		before.compare(t, c)
	}
}

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestDeleteForceUnderAnotherRoot: three state roots each have a container with the same id, and so with the same
// cgroup. Only one of the containers runs. `delete --force` under the two other roots must not kill it, in either
// order. A second `delete --force` under each of them, where the container is gone, must not kill it either.
func TestDeleteForceUnderAnotherRoot(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "kills them where the pid namespace is shared")
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			var all []*container
			for range 3 {
				c := newContainer(t, args("sleep", "1000"), without("pid"))
				c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = "" })
				if len(all) > 0 {
					c.id = all[0].id
				}
				c.cgroup = "/" + c.id
				all = append(all, c)
			}
			end(all[0])
			end(all[1])
			running := all[2]
			pid := running.up()
			for _, i := range order {
				r := all[i].verb("delete", "--force", all[i].id)
				if s := state(pid); s == 0 || s == 'Z' || running.status() != "running" {
					t.Fatalf("root %d: the other container's process has state %q: %v", i, s, r)
				}
				if r.code != 0 || strings.Count(r.err, "\n") > 1 {
					t.Errorf("root %d: %v", i, r)
				}
				if r = all[i].verb("delete", "--force", all[i].id); r.code != 0 || state(pid) == 0 || state(pid) == 'Z' {
					t.Fatalf("root %d, which has no such container now: %v", i, r)
				}
			}
			running.must("delete", "--force", running.id)
			if left := running.leftovers(); left != "" {
				t.Errorf("left %s", left)
			}
		})
	}
}

// TestMagicLinksAsSources uses links of procfs that lead to an open file, a root or a namespace, as bind sources and as
// other paths of config.json. Only the path of a namespace may be such a link. Every other run must fail soon, with at
// most one line of error.
func TestMagicLinksAsSources(t *testing.T) {
	peerFails(t, "runc", "takes a working directory behind a magic link")
	other := newContainer(t, args("sleep", "1000"))
	pid := other.up()
	bind := func(source string) edit {
		return mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: source, Options: []string{"rbind"}})
	}
	of := func(name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }
	for _, tt := range []struct {
		name string
		edit edit
		runs bool // the program runs
	}{
		{"source: an open directory of another process", bind(of("cwd")), false},
		{"source: a root", bind(of("root/tmp")), false},
		{"source: a root itself", bind(of("root")), false},
		{"source: a mount namespace", bind(of("ns/mnt")), false},
		{"source: a network namespace", bind(of("ns/net")), false},
		{"source: an executable", bind(of("exe")), false},
		{"source: an open file of the runtime", bind("/proc/self/fd/999"), false},
		{"source: a process that is gone", bind("/proc/4194304/root"), false},
		{"root.path", func(s *specs.Spec) { s.Root.Path = of("root") }, false},
		{"root.path: below a root", func(s *specs.Spec) { s.Root.Path = of("root/tmp") }, false},
		{"root.path: a namespace", func(s *specs.Spec) { s.Root.Path = of("ns/net") }, false},
		{"a namespace's path", namespaceAt(specs.UTSNamespace, of("ns/uts")), true},
		{"a namespace's path of another kind", namespaceAt(specs.UTSNamespace, of("ns/net")), false},
		{"a namespace's path that is none", namespaceAt(specs.UTSNamespace, of("exe")), false},
		{"a namespace's path: a directory", namespaceAt(specs.UTSNamespace, of("root")), false},
		{"cwd: an open descriptor", func(s *specs.Spec) { s.Process.Cwd = "/proc/self/fd/7" }, false},
		{"cwd: the root, through procfs", func(s *specs.Spec) { s.Process.Cwd = "/proc/self/root" }, false}, // runc takes it
		{"args: an open descriptor", args("/proc/self/fd/7"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t, sh("test ! -e "+env.dir+" && echo inside"))
			if err := os.MkdirAll(filepath.Join(c.rootfs, "mnt"), 0o755); err != nil {
				t.Fatal(err)
			}
			c.edit(tt.edit)
			r := c.run()
			if r.took > slowly(5e9) || strings.Count(r.err, "\n") > 1 || strings.Contains(r.err, "goroutine") {
				t.Errorf("it took %v: %v", r.took, r)
			}
			if (r.code == 0) != tt.runs || tt.runs && r.out != "inside\n" {
				t.Errorf("%v; want success: %t", r, tt.runs)
			}
			c.must("delete", "--force", c.id)
			for _, dir := range []string{"/tmp/proc", "/tmp/dev"} {
				if _, err := os.Stat(dir); err == nil {
					t.Errorf("the path of another mount namespace was used on the host: %s is there", dir)
				}
			}
			if s := state(pid); s == 0 || s == 'Z' {
				t.Fatal("the other container's process has ended")
			}
		})
	}
}

func namespaceAt(kind specs.LinuxNamespaceType, path string) edit {
	return func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == kind {
				s.Linux.Namespaces[i].Path = path
			}
		}
	}
}

// TestACreateWhoseCgroupIsKilled: during create, the kernel kills all processes of the cgroup above the container's at
// once, as it does for memory.oom.group. The create must fail with one line and leave nothing.
func TestACreateWhoseCgroupIsKilled(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "leaves cgroups")
	peerFails(t, "crun", "leaves cgroups")
	for _, kind := range []string{"prestart", "createRuntime"} {
		t.Run(kind, func(t *testing.T) {
			c := newContainer(t, args("sleep", "1000"))
			parent := c.cgroup
			c.cgroup += "/below"
			c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = c.cgroup })
			var unified string
			for _, h := range hierarchies() {
				t.Cleanup(func() { removeCgroup(filepath.Join(h.mountpoint, parent)) })
				if h.unified {
					unified = filepath.Join(h.mountpoint, parent)
				}
			}
			if unified == "" {
				t.Skip("no cgroup2")
			}
			done := filepath.Join(c.bundle, "done")
			c.edit(hooks(kind, hook("echo 1 >"+filepath.Join(unified, "cgroup.kill")+" && touch "+done)))
			i := c.begin(c.withFlags("create")...)
			r := i.end()
			if _, err := os.Stat(done); err != nil {
				t.Skip("no cgroup.kill") // it exists since Linux 5.14
			}
			if r.code != 1 || strings.Count(r.err, "\n") != 1 || r.took > slowly(10e9) {
				t.Errorf("%v; want exit status 1 and one line", r)
			}
			if left := c.leftovers(); left != "" {
				t.Errorf("left %s", left)
			}
		})
	}
}

// TestACreateBelowAnOOMKill: memory runs out in the cgroup above the container's while create waits for a hook. On cgroup2,
// memory.oom.group makes the kernel kill all processes below at once; on v1 it kills the hook. The create must fail with one
// line and leave nothing.
func TestACreateBelowAnOOMKill(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "leaves cgroups")
	peerFails(t, "crun", "leaves cgroups")
	c := newContainer(t, args("sleep", "1000"))
	parent := c.cgroup
	c.cgroup += "/below"
	for _, h := range hierarchies() {
		t.Cleanup(func() { removeCgroup(filepath.Join(h.mountpoint, parent)) })
	}
	dir := filepath.Dir(c.cgroupDir("memory"))
	c.edit(resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: ptr(int64(1 << 30))} })) // on cgroup2 it enables the controller above
	c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = c.cgroup }, hooks("createRuntime", hook("cd "+dir+` && mkdir hog
		if test -e cgroup.controllers; then
			echo +memory >cgroup.subtree_control
			echo 16M >memory.max && echo 1 >memory.oom.group && echo 0 >memory.swap.max
		else
			echo 16M >memory.limit_in_bytes
		fi
		echo $$ >hog/cgroup.procs && x=$(head -c 64M /dev/zero | tr '\0' x)`)))
	r := c.verb(c.withFlags("create")...)
	if kills := oomKills(dir) + oomKills(filepath.Join(dir, "hog")); kills == 0 {
		t.Fatalf("control: nothing was killed: %v", r)
	}
	if r.code != 1 || strings.Count(r.err, "\n") != 1 || r.took > slowly(10e9) {
		t.Errorf("%v; want exit status 1 and one line", r)
	}
	if left := c.leftovers(); left != "" {
		t.Errorf("left %s", left)
	}
}

// oomKills returns the number of processes that the OOM killer has ended in a cgroup.
func oomKills(dir string) (n int) {
	for _, name := range []string{"memory.events", "memory.oom_control"} {
		data, _ := os.ReadFile(filepath.Join(dir, name))
		_, rest, _ := strings.Cut(string(data), "oom_kill ")
		fmt.Sscan(rest, &n)
	}
	return n
}

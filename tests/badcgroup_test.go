package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// unified returns the cgroup2 hierarchy, one of its controllers, and a limit that needs this controller.
func unified(t *testing.T) (h hierarchy, controller, limit string) {
	t.Helper()
	for _, h := range hierarchies() {
		for controller, limit := range map[string]string{
			"hugetlb": `{"unified":{"hugetlb.2MB.max":"2097152"}}`,
			"memory":  `{"unified":{"memory.high":"67108864"}}`,
		} {
			if h.unified && unifiedHas(h.mountpoint, controller) {
				return h, controller, limit
			}
		}
	}
	t.Skip("no cgroup2 hierarchy with a controller")
	return hierarchy{}, "", ""
}

// group creates a cgroup and removes it after the test.
func group(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroup(dir) })
	return dir
}

func set(t *testing.T, dir, file, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// occupied keeps a process in a cgroup during the test.
func occupied(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	set(t, dir, "cgroup.procs", fmt.Sprint(cmd.Process.Pid))
}

// below returns the cgroups of all hierarchies below a path.
func below(path string) []string {
	var dirs []string
	for _, h := range hierarchies() {
		filepath.WalkDir(filepath.Join(h.mountpoint, path), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
	}
	return dirs
}

// TestCgroupsThatCannotBe checks that the error for an unusable cgroup names the file and the reason, and that create leaves nothing.
func TestCgroupsThatCannotBe(t *testing.T) {
	needCgroupfs(t)
	peersLack(t, "not the subject here")
	h, controller, limit := unified(t)
	tests := []struct {
		name    string
		prepare func(t *testing.T, above string) // above is a cgroup of the hierarchy
		path    string                           // below above
		want    string                           // ABOVE stands for the path of above
	}{
		{"a cgroup above has processes", func(t *testing.T, above string) {
			occupied(t, above)
		}, "c", "/linux/resources/unified/LIMIT: this cgroup has processes of its own, so that its children cannot have controllers: " +
			`failed to write \"+` + controller + `\": write ABOVE/cgroup.subtree_control: device or resource busy`},
		{"it is threaded", func(t *testing.T, above string) {
			set(t, group(t, above+"/c"), "cgroup.type", "threaded")
		}, "c", "/linux/resources/unified/LIMIT: this cgroup is in a threaded subtree: " +
			`failed to write \"+` + controller + `\": write ABOVE/cgroup.subtree_control: operation not supported`},
		{"the one above is threaded", func(t *testing.T, above string) {
			set(t, group(t, above+"/t"), "cgroup.type", "threaded")
		}, "t/c", "/linux/resources/unified/LIMIT: this cgroup is in a threaded subtree: " +
			`failed to write \"+` + controller + `\": write ABOVE/cgroup.subtree_control: operation not supported`},
		{"the one above is threaded, and there is no limit", func(t *testing.T, above string) {
			set(t, group(t, above+"/t"), "cgroup.type", "threaded")
		}, "t/c", "/linux/cgroupsPath: unable to apply cgroup configuration: ABOVE/t/c: its parent is threaded (cgroup.type): it cannot have processes"},
		{"it has processes", func(t *testing.T, above string) {
			occupied(t, group(t, above+"/c"))
		}, "c", "/linux/cgroupsPath: unable to apply cgroup configuration: ABOVE/c: container's cgroup is not empty"},
		{"a cgroup below it has processes", func(t *testing.T, above string) {
			occupied(t, group(t, group(t, above+"/c")+"/d"))
		}, "c", "/linux/cgroupsPath: unable to apply cgroup configuration: ABOVE/c: container's cgroup is not empty"},
		{"there may be no more", func(t *testing.T, above string) {
			set(t, above, "cgroup.max.descendants", "0")
		}, "c", "/linux/cgroupsPath: unable to apply cgroup configuration: cgroup.max.descendants or cgroup.max.depth above it is reached: mkdir ABOVE/c: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			limit := limit
			if strings.HasSuffix(test.name, "no limit") {
				limit = "{}"
			}
			c := newContainer(t, resourcesJSON(t, limit))
			name := c.cgroup
			c.cgroup += "-not" // the harness looks for what is left of it; here the test does
			c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = filepath.Join(name, test.path) })
			above := group(t, filepath.Join(h.mountpoint, name))
			test.prepare(t, above)
			before := below(name)
			wanted := strings.NewReplacer("ABOVE", above, "LIMIT", map[string]string{"hugetlb": "hugetlb.2MB.max", "memory": "memory.high"}[controller]).Replace(test.want)
			refused(t, c.verb(c.withFlags("create")...), 1, wanted)
			if after := below(name); !slices.Equal(before, after) {
				t.Errorf("cgroups: %q, then %q", before, after)
			}
			refused(t, c.verb("state", c.id), 1, "does not exist")
		})
	}
}

// TestFrozenCgroupsAreRefused freezes the container's cgroup or its parent.
func TestFrozenCgroupsAreRefused(t *testing.T) {
	needCgroupfs(t)
	needController(t, "freezer")
	peersLack(t, "hangs or only warns")
	for _, h := range hierarchies() {
		file, value := "cgroup.freeze", "1"
		if !h.unified {
			file, value = "freezer.state", "FROZEN"
		}
		if !h.unified && !slices.Contains(h.controllers, "freezer") {
			continue
		}
		for _, frozen := range []string{"", "/c"} {
			t.Run(file+frozen, func(t *testing.T) {
				c := newContainer(t)
				name := c.cgroup
				c.cgroup += "-not"
				c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = name + "/c" })
				above := group(t, filepath.Join(h.mountpoint, name))
				group(t, above+"/c")
				set(t, above+frozen, file, value)
				refused(t, c.verb(c.withFlags("create")...), 1, "/linux/cgroupsPath: unable to apply cgroup configuration: "+above+"/c: container's cgroup unexpectedly frozen")
				want(t, "cgroups", fmt.Sprint(below(name)), fmt.Sprint([]string{above, above + "/c"}))
			})
		}
	}
}

// TestAControllerThatIsNotDelegated uses a cgroup that did not get the controller from its parent.
func TestAControllerThatIsNotDelegated(t *testing.T) {
	needCgroupfs(t)
	peersLack(t, "not the subject here")
	h, controller, limit := unified(t)
	if env.layout != "v2" {
		t.Skip("cgroup v2 only: elsewhere there is no such tree of controllers")
	}
	c := newContainer(t, resourcesJSON(t, limit))
	ours := group(t, group(t, filepath.Join(h.mountpoint, c.cgroup+"-not"))+"/ours")
	const enter = `echo 0 > "$0"/cgroup.procs && exec unshare --cgroup --mount sh -c '
		umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' sh "$@"`
	c.wrapper = []string{"sh", "-c", enter, ours}
	refused(t, c.verb(c.withFlags("create")...), 1, "the "+controller+" controller is not available in /sys/fs/cgroup/cgroup.controllers ()")
	want(t, "cgroups", fmt.Sprint(below(c.cgroup+"-not")), fmt.Sprint([]string{filepath.Dir(ours), ours}))
}

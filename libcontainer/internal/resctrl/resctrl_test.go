package resctrl

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// fake is a directory that behaves as resctrl: a new group has files.
func fake(t *testing.T) Host {
	t.Helper()
	h := Host{Root: t.TempDir()}
	h.Mkdir = func(path string, mode uint32) error {
		if err := unix.Mkdir(path, mode); err != nil {
			return err
		}
		fill(t, path)
		return nil
	}
	fill(t, h.Root)
	return h
}

func fill(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"schemata", "tasks"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if filepath.Base(filepath.Dir(dir)) != "mon_groups" {
		if err := os.Mkdir(filepath.Join(dir, "mon_groups"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// group creates a group of the fake with its own schemata.
func (h Host) group(t *testing.T, name, schemata string) {
	t.Helper()
	if err := h.Mkdir(filepath.Join(h.Root, name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Root, name, "schemata"), []byte(schemata), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCreate(t *testing.T) {
	const existing = "    MB:0= 20;1= 70\n    L3:0=007f0;1=0001f\n"
	tests := []struct {
		name      string
		rdt       specs.LinuxIntelRdt
		dir       string   // below the root
		removable []string // below the root
		schemata  string   // the last line that was written: the fake keeps no more
		fails     string
	}{
		{"named after the container", specs.LinuxIntelRdt{}, "c", []string{"c"}, "", ""},
		{"with schemata", specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20", Schemata: []string{"L2:0=1"}}, "c", []string{"c"}, "L2:0=1\n", ""},
		{"one", specs.LinuxIntelRdt{MemBwSchema: "MB:0=20"}, "c", []string{"c"}, "MB:0=20\n", ""},
		{"monitored", specs.LinuxIntelRdt{EnableMonitoring: true}, "c", []string{"c", "c/mon_groups/c"}, "", ""},
		{"the root", specs.LinuxIntelRdt{ClosID: "/"}, "", nil, "", ""},
		{"the root, monitored", specs.LinuxIntelRdt{ClosID: "/", EnableMonitoring: true}, "", []string{"mon_groups/c"}, "", ""},
		{"a class that is there", specs.LinuxIntelRdt{ClosID: "gold"}, "gold", nil, existing, ""},
		{"a class that is the same", specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7F0;1=1f", MemBwSchema: "MB:1=70"}, "gold", nil, existing, ""},
		{"a class that is new", specs.LinuxIntelRdt{ClosID: "silver", Schemata: []string{"L3:0=1"}}, "silver", nil, "L3:0=1\n", ""},
		{"a class that is new, monitored", specs.LinuxIntelRdt{ClosID: "silver", Schemata: []string{"L3:0=1"}, EnableMonitoring: true}, "silver", []string{"silver/mon_groups/c"}, "L3:0=1\n", ""},
		{"a class that is not there", specs.LinuxIntelRdt{ClosID: "bronze"}, "", nil, "", "there is no class of service"},
		{"a class that is another", specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7f1"}, "", nil, "", `its schemata have no "L3:0=7f1"`},
		{"a class without the resource", specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L2:0=1"}}, "", nil, "", `its schemata have no "L2:0=1"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := fake(t)
			h.group(t, "gold", existing)
			g, err := h.Group("c", &tt.rdt)
			if err != nil {
				t.Fatal(err)
			}
			before := g.Removable()
			err = g.Create()
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("Create = %v; want %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(h.Root, tt.dir); g.Dir != want {
				t.Errorf("Dir = %s; want %s", g.Dir, want)
			}
			if got := contents(t, g.Dir, "schemata"); got != tt.schemata {
				t.Errorf("schemata = %q; want %q", got, tt.schemata)
			}
			var removable []string
			if after := g.Removable(); len(after) != 0 {
				t.Errorf("Removable once they are there = %q", after)
			}
			for _, dir := range before {
				removable = append(removable, strings.TrimPrefix(dir, h.Root+"/"))
			}
			if !slices.Equal(removable, tt.removable) {
				t.Errorf("Removable = %q; want %q", removable, tt.removable)
			}
			if err := Join(g.Dirs(), 4711); err != nil {
				t.Fatal(err)
			}
			for _, dir := range g.Dirs() {
				if got := contents(t, dir, "tasks"); got != "4711" {
					t.Errorf("tasks of %s = %q", dir, got)
				}
			}
		})
	}
}

func TestCreateUndoes(t *testing.T) {
	h := fake(t)
	plain := h.Mkdir
	h.Mkdir = func(path string, mode uint32) error {
		if strings.Contains(path, "mon_groups") {
			return unix.ENOSPC
		}
		return unix.Mkdir(path, mode) // so that it is empty and can be removed
	}
	g, _ := h.Group("c", &specs.LinuxIntelRdt{EnableMonitoring: true})
	err := g.Create()
	if !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "the CPUs have no monitoring group left") {
		t.Errorf("Create = %v; want ENOSPC in words", err)
	}
	if _, err := os.Stat(g.Dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", g.Dir, err)
	}
	h.Mkdir = plain
	h.group(t, "c", "")
	if g, _ := h.Group("c", &specs.LinuxIntelRdt{}); !errors.Is(g.Create(), unix.EEXIST) {
		t.Error("a group that others have made is taken for the container's own")
	}
}

func TestExplain(t *testing.T) {
	h := fake(t)
	os.Mkdir(filepath.Join(h.Root, "info"), 0o755)
	os.WriteFile(filepath.Join(h.Root, "info/last_cmd_status"), []byte("mask f is out of range\n"), 0o644)
	h.Mkdir = unix.Mkdir // a group without files
	g, _ := h.Group("c", &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f"})
	if err := g.Create(); err == nil || !strings.HasPrefix(err.Error(), `mask f is out of range: write "L3:0=f": `) {
		t.Errorf("Create = %v; want the kernel's words", err)
	}
}

func TestUpdateAndRemove(t *testing.T) {
	h := fake(t)
	h.group(t, "gold", "")
	dir := filepath.Join(h.Root, "gold")
	if err := Update(dir, "L3:0=f"); err != nil || contents(t, dir, "schemata") != "L3:0=f\n" {
		t.Errorf("Update: %v, schemata %q", err, contents(t, dir, "schemata"))
	}
	if err := Remove(filepath.Join(h.Root, "gone")); err != nil {
		t.Errorf("Remove of nothing = %v", err)
	}
	if err := Remove(dir); !errors.Is(err, unix.ENOTEMPTY) {
		t.Errorf("Remove = %v; want ENOTEMPTY, which resctrl never says", err)
	}
}

// A refused line restores the lines before it.
func TestChange(t *testing.T) {
	have := map[string]string{}
	write := func(line string) error {
		name, value, _ := strings.Cut(line, ":")
		if value == "bad" {
			return unix.EINVAL
		}
		have[name] = value
		return nil
	}
	const old = "    MB:0=100\n    L3:0=fffff\n"
	if err := change(old, []string{"L3:0=f", "MB:0=20"}, write); err != nil || have["L3"] != "0=f" || have["MB"] != "0=20" {
		t.Errorf("change: %v, %v", err, have)
	}
	if err := change(old, []string{"L3:0=1", "MB:bad"}, write); !errors.Is(err, unix.EINVAL) || have["L3"] != "0=fffff" || have["MB"] != "0=100" {
		t.Errorf("a change that is refused: %v, %v; want EINVAL and what was", err, have)
	}
	if err := Update(filepath.Join(t.TempDir(), "none"), "L3:0=f"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Update without a group = %v; want ENOENT", err)
	}
}

func TestFindMount(t *testing.T) {
	const other = "22 1 0:20 / /sys rw - sysfs sysfs rw\n"
	const line = "30 22 0:33 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl rw\n"
	for mountinfo, want := range map[string]string{"": "", other: "", other + line: "/sys/fs/resctrl", "30 - resctrl x": "", " - ": ""} {
		if got := findMount(mountinfo); got != want {
			t.Errorf("findMount(%q) = %q; want %q", mountinfo, got, want)
		}
	}
	if _, err := (Host{}).Group("c", &specs.LinuxIntelRdt{}); err != nil && !errors.Is(err, ErrNotMounted) {
		t.Errorf("Group on this machine: %v", err)
	}
}

func TestContains(t *testing.T) {
	const schemata = "    MB:0= 20;1=100\nL3CODE:0=fffff\n    L3:0=007f0;1=0001f\n"
	for line, want := range map[string]bool{
		"L3:0=7f0;1=1f": true, "L3:1=1f": true, "MB:0=20": true, "L3:0=7f1": false, "L3:2=1": false, "L3CODE:0=FFFFF": true, "L2:0=1": false, "MB:0=2": false, "L3:7=0": false,
	} {
		if got := contains(schemata, line); got != want {
			t.Errorf("contains(%q) = %t; want %t", line, got, want)
		}
	}
}

package conformance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// suiteCgroup is the cgroup2 cgroup of the program and of the runtime. It stands beside the containers' cgroups, because a
// cgroup with processes cannot give controllers to its children.
const suiteCgroup = "suite"

// hierarchy is a mounted cgroup hierarchy.
type hierarchy struct {
	mountpoint string
	kind       string // cgroup or cgroup2
	options    string // controllers and names, as for mount(2)
	own        string // directory of this process's cgroup
}

// findCgroups reads the mounted hierarchies, in the order of mounting.
func findCgroups() ([]hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	paths, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var found []hierarchy
	for line := range strings.Lines(string(mounts)) {
		left, right, _ := strings.Cut(strings.TrimSpace(line), " - ")
		at, super := strings.Fields(left), strings.Fields(right)
		if super[0] != "cgroup" && super[0] != "cgroup2" {
			continue
		}
		h := hierarchy{mountpoint: at[4], kind: super[0], options: identifying(super[2])}
		rel, err := filepath.Rel(at[3], pathIn(string(paths), h.options))
		if err != nil {
			return nil, err
		}
		h.own = filepath.Join(h.mountpoint, rel)
		found = append(found, h)
	}
	return found, nil
}

// identifying returns the options of a super block that identify its hierarchy.
func identifying(super string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(super, ","), func(o string) bool {
		name, _, _ := strings.Cut(o, "=")
		return slices.Contains([]string{
			"rw", "ro", "xattr", "noprefix", "clone_children", "release_agent", "cpuset_v2_mode",
			"nsdelegate", "memory_recursiveprot", "favordynmods", "memory_localevents", "memory_hugetlb_accounting",
		}, name)
	}), ",")
}

// pathIn finds the path of a hierarchy in the text of /proc/PID/cgroup.
func pathIn(text, options string) string {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && f[1] == options {
			return f[2]
		}
	}
	return "/"
}

// enter creates a cgroup below this process's and moves the process there.
func (h hierarchy) enter(name string) error {
	dir := filepath.Join(h.own, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	// A new cpuset of v1 has no processors.
	for _, file := range []string{"cpuset.mems", "cpuset.cpus"} {
		value, err := os.ReadFile(filepath.Join(h.own, file))
		if err != nil || h.kind == "cgroup2" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
}

// mountAgain replaces the mount by its view from a new cgroup namespace, the room's.
func (h *hierarchy) mountAgain() error {
	if err := unix.Unmount(h.mountpoint, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", h.mountpoint, err)
	}
	if err := unix.Mount("cgroup", h.mountpoint, h.kind, 0, h.options); err != nil {
		return fmt.Errorf("mount %s (%s) again: %w", h.mountpoint, h.options, err)
	}
	h.own = h.mountpoint
	if h.kind == "cgroup2" {
		return h.enter(suiteCgroup)
	}
	return nil
}

// cgroupsLeft names the cgroups below the room's.
func cgroupsLeft(hierarchies []hierarchy) []string {
	var left []string
	for _, h := range hierarchies {
		for _, dir := range below(h.own) {
			if dir != filepath.Join(h.own, suiteCgroup) {
				left = append(left, "cgroup: "+dir)
			}
		}
	}
	return left
}

// below returns the directories below dir, the deepest first.
func below(dir string) []string {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != dir {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs)
	return dirs
}

// removeRoom removes a room's cgroups. The room's processes have ended, or are about to.
func removeRoom(t *testing.T, hierarchies []hierarchy, name string) {
	t.Helper()
	for _, h := range hierarchies {
		room := filepath.Join(h.own, name)
		for _, dir := range append(below(room), room) {
			// The last process of a dead pid namespace may end a moment after its first.
			for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(2 * time.Millisecond) {
				err := os.Remove(dir)
				if err == nil || errors.Is(err, fs.ErrNotExist) {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("leak: %v", err)
					break
				}
			}
		}
	}
}

func TestIdentifying(t *testing.T) {
	for super, want := range map[string]string{
		"rw,cpu,cpuacct":        "cpu,cpuacct",
		"rw,xattr,name=systemd": "name=systemd",
		"rw,nsdelegate":         "",
	} {
		if got := identifying(super); got != want {
			t.Errorf("identifying(%q) = %q; want %q", super, got, want)
		}
	}
}

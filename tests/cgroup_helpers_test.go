package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hierarchy is one mounted cgroup hierarchy. A v2 hierarchy has no controllers in its mount options.
type hierarchy struct {
	mountpoint  string
	controllers []string
	unified     bool
}

func hierarchies() []hierarchy {
	var all []hierarchy
	for line := range strings.Lines(mountinfo()) {
		front, back, ok := strings.Cut(line, " - ")
		if !ok {
			continue
		}
		mountpoint, kind := strings.Fields(front)[4], strings.Fields(back)
		switch kind[0] {
		case "cgroup2":
			all = append(all, hierarchy{mountpoint: mountpoint, unified: true})
		case "cgroup":
			all = append(all, hierarchy{mountpoint: mountpoint, controllers: strings.Split(kind[2], ",")})
		}
	}
	return all
}

func currentLayout() string {
	var v1, v2 bool
	for _, h := range hierarchies() {
		v1, v2 = v1 || !h.unified, v2 || h.unified
	}
	switch {
	case v1 && v2:
		return "hybrid"
	case v2:
		return "v2"
	default:
		return "v1"
	}
}

// inScope makes systemd create the container's cgroup.
func (c *container) inScope() {
	c.scope, c.cgroup = true, "/system.slice/onggi-"+c.id+".scope"
}

// cgroupsPath returns the value for config.json.
func (c *container) cgroupsPath() string {
	if c.scope {
		return "system.slice:onggi:" + c.id
	}
	return c.cgroup
}

// needCgroupfs skips a test that chooses the cgroup's path itself.
func needCgroupfs(t testing.TB) {
	t.Helper()
	if env.driver != "cgroupfs" {
		t.Skipf("systemd knows no such cgroupsPath (DRIVER=%s)", env.driver)
	}
}

// cgroupDirs returns the existing cgroups of the container.
func (c *container) cgroupDirs() []string {
	var dirs []string
	for _, h := range hierarchies() {
		dir := filepath.Join(h.mountpoint, c.cgroup)
		if _, err := os.Stat(dir); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// cgroupDir returns the container's cgroup for a controller. It skips the test if the layout lacks the controller.
func (c *container) cgroupDir(controller string) string {
	c.t.Helper()
	for _, h := range hierarchies() {
		if slices.Contains(h.controllers, controller) || h.unified && unifiedHas(h.mountpoint, controller) {
			return filepath.Join(h.mountpoint, c.cgroup)
		}
	}
	c.t.Skipf("the cgroup layout (%s) has no %s controller", env.layout, controller)
	return ""
}

func unifiedHas(mountpoint, controller string) bool {
	if controller == "freezer" {
		return true // no controller there, but part of every cgroup
	}
	data, _ := os.ReadFile(filepath.Join(mountpoint, "cgroup.controllers"))
	return slices.Contains(strings.Fields(string(data)), controller)
}

// needController skips a test if the layout lacks the controller.
func needController(t testing.TB, controller string) {
	t.Helper()
	(&container{t: t}).cgroupDir(controller)
}

// limit reads a file of the container's cgroup, by its v1 or v2 name.
func (c *container) limit(controller, v1, v2 string) string {
	c.t.Helper()
	dir, name := c.cgroupDir(controller), v1
	if _, err := os.Stat(filepath.Join(dir, "cgroup.controllers")); err == nil {
		name = v2
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func removeCgroup(dir string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != dir {
			removeCgroup(path)
			return filepath.SkipDir
		}
		return nil
	})
	os.Remove(dir)
}

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// bySystemd makes a container's cgroup a scope.
func bySystemd(c *container) *container {
	c.inScope()
	c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = c.cgroupsPath() })
	return c
}

func needSystemd(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("systemd does not run here")
	}
}

func TestSystemdIsAbsent(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here")
	}
	peerFails(t, "runc", "another text")
	refused(t, bySystemd(newContainer(t)).run(), 1, "systemd does not run on this host: use the cgroupfs cgroup manager")
	c := newContainer(t)
	c.global = []string{"--systemd-cgroup"}
	refused(t, c.run(), 1, "slice:prefix:name")
}

// property is what systemd has for the scope.
func (c *container) property(name string) string {
	c.t.Helper()
	out, err := exec.Command("systemctl", "show", "--value", "-p", name, filepath.Base(c.cgroup)).Output()
	if err != nil {
		c.t.Fatalf("systemctl show: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// daemonReload has systemd read its files anew, and apply again what it knows of.
func daemonReload(t testing.TB) {
	t.Helper()
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		t.Fatalf("daemon-reload: %v: %s", err, out)
	}
}

// A scope has limits, keeps them when systemd has read its files anew, and goes with its container. With
// DRIVER=systemd, TestResources looks at each of them.
func TestResourcesInAScope(t *testing.T) {
	needSystemd(t)
	c := bySystemd(newContainer(t, resourcesJSON(t, `{"pids":{"limit":20},"cpu":{"shares":512}}`)))
	c.up()
	check := func(when, pids string) {
		t.Helper()
		want(t, when+", limit", c.limit("pids", "pids.max", "pids.max"), pids)
		want(t, when+", TasksMax", c.property("TasksMax"), pids)
	}
	check("created", "20")
	c.must("update", "--pids-limit", "30", c.id)
	check("updated", "30")
	daemonReload(t)
	check("after daemon-reload", "30")
	c.must("delete", "--force", c.id)
	if state := c.property("LoadState"); state != "not-found" {
		t.Errorf("the unit of a deleted container is %s", state)
	}
}

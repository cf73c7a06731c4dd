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
	c.global = []string{"--systemd-cgroup"}
	c.cgroup = "/system.slice/onggi-" + c.id + ".scope"
	c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = "system.slice:onggi:" + c.id })
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

// scopeProperties are what systemd keeps of the fields of resourceFields, after create and after update.
func scopeProperties() map[string][3]string {
	return map[string][3]string{
		"memory limit":          {"MemoryMax", "67108864", "33554432"},
		"memory reservation":    {"MemoryLow", "33554432", "16777216"},
		"memory and swap":       {"MemorySwapMax", "33554432", "67108864"},
		"swap follows memory":   {"MemorySwapMax", "33554432", "16777216"},
		"CPU shares":            {"CPUWeight", "59", "174"},
		"CPU quota":             {"CPUQuotaPerSecUSec", "250ms", "300ms"},
		"no CPU quota any more": {"CPUQuotaPerSecUSec", "500ms", "infinity"},
		"processors":            {"AllowedCPUs", "0", "0-1"},
		"memory nodes":          {"AllowedMemoryNodes", "0", "0"},
		"processes":             {"TasksMax", "20", "infinity"},
		"idle":                  {"CPUWeight", "idle", "[not set]"},
	}
}

// All limits, made and updated in a scope, and still there when systemd has read its files anew.
func TestResourcesInAScope(t *testing.T) {
	needSystemd(t)
	for _, f := range resourceFields(t) {
		t.Run(f.name, func(t *testing.T) {
			h, file := f.place(t)
			c := bySystemd(newContainer(t, resourcesJSON(t, f.config)))
			c.up()
			check := func(when, text, property string) {
				t.Helper()
				data, err := os.ReadFile(filepath.Join(h.mountpoint, c.cgroup, file.file))
				if err != nil {
					t.Fatal(err)
				}
				tells(t, when, string(data), text)
				if p, ok := scopeProperties()[f.name]; ok && env.layout == "v2" {
					want(t, when+", "+p[0], c.property(p[0]), property)
				}
			}
			p := scopeProperties()[f.name]
			check("created", file.created, p[1])
			c.must(append(append([]string{"update"}, f.flags...), c.id)...)
			check("updated", file.updated, p[2])
			if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
				t.Fatalf("daemon-reload: %v: %s", err, out)
			}
			check("after daemon-reload", file.updated, p[2])
			c.must("delete", "--force", c.id)
			if state := c.property("LoadState"); state != "not-found" {
				t.Errorf("the unit of a deleted container is %s", state)
			}
		})
	}
}

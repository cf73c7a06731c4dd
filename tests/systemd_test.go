package tests

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bySystemd makes systemd create the container's cgroup as a scope.
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

// A systemd that accepts connections and does not answer is an error after a deadline. The error names the socket and the
// request. A signal ends the wait at once. create makes nothing meanwhile.
func TestSystemdIsSilent(t *testing.T) {
	peerFails(t, "runc", "waits for ever")
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here")
	}
	private := silentSystemd(t)
	c := bySystemd(newContainer(t))
	i := c.begin(c.withFlags("create")...)
	if amount(0, 0, 1) == 0 {
		<-private
		i.Process.Signal(unix.SIGTERM)
	}
	r := i.end()
	refused(t, r, 1, "systemd (/run/systemd/private) does not answer: connecting: ")
	t.Logf("after %v: %s", r.took.Round(time.Millisecond), r.err)
	want(t, "cgroups", strings.Join(c.cgroupDirs(), " "), "")
	refused(t, c.verb("state", c.id), 1, "does not exist")
}

// silentSystemd is a socket in systemd's place. The channel reports the first connection.
func silentSystemd(t *testing.T) <-chan struct{} {
	t.Helper()
	if err := os.MkdirAll("/run/systemd", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", "/run/systemd", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/run/systemd", unix.MNT_DETACH) })
	if err := os.Mkdir("/run/systemd/system", 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", "/run/systemd/private")
	if err != nil {
		t.Fatal(err)
	}
	talks, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for first := true; ; first = false {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.Read(make([]byte, 1))
			if first {
				close(talks)
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return talks
}

// Annotations set properties of the scope. An annotation that is no property, and a property that systemd refuses, are
// errors.
func TestSystemdProperties(t *testing.T) {
	needSystemd(t)
	peersLack(t, "not the subject here")
	c := bySystemd(newContainer(t, annotation("org.systemd.property.TimeoutStopUSec", "uint64 5000000"),
		annotation("org.systemd.property.RuntimeMaxSec", "3600"), annotation("org.systemd.property.Description", "'a text'"),
		annotation("org.systemd.property.CollectMode", "'inactive'")))
	c.up()
	for name, value := range map[string]string{"TimeoutStopUSec": "5s", "RuntimeMaxUSec": "1h", "Description": "a text", "CollectMode": "inactive"} {
		want(t, name, c.property(name), value)
	}
	c.must("delete", "--force", c.id)
	for key, value := range map[string]string{"NoSuchThing": "true", "TimeoutStopUSec": "'text'"} {
		c := bySystemd(newContainer(t, annotation("org.systemd.property."+key, value)))
		refused(t, c.verb(c.withFlags("create")...), 1, "StartTransientUnit")
		want(t, "cgroups", strings.Join(c.cgroupDirs(), " "), "")
	}
}

// An annotation that is not a property is refused before any request to systemd, for every cgroupsPath.
func TestSystemdPropertiesThatAreNone(t *testing.T) {
	needSystemd(t)
	peersLack(t, "not the subject here")
	for key, value := range map[string]string{"Timeout.Stop": "1", "X": "1", "TimeoutStopUSec": "[1", "TimeoutStopSec": "'soon'"} {
		c := bySystemd(newContainer(t, annotation("org.systemd.property."+key, value)))
		refused(t, c.verb(c.withFlags("create")...), 1, "/annotations/org.systemd.property."+key)
	}
}

// The container's cgroup can be below that of the scope. Both then have its limits, and systemd has the properties.
func TestSystemdSubgroup(t *testing.T) {
	needSystemd(t)
	peersLack(t, "crun's annotation")
	c := bySystemd(newContainer(t, annotation("run.oci.systemd.subgroup", "container"), resourcesJSON(t, `{"pids":{"limit":20}}`)))
	scope := c.cgroup
	c.cgroup += "/container"
	pid := c.up()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil || !strings.Contains(string(data), ":"+c.cgroup+"\n") {
		t.Errorf("the container is in %q, %v; want %s", data, err, c.cgroup)
	}
	want(t, "limit", c.limit("pids", "pids.max", "pids.max"), "20")
	want(t, "exec", c.execOutput(nil, "echo", "works"), "works")
	c.must("update", "--pids-limit", "30", c.id)
	daemonReload(t)
	want(t, "limit after daemon-reload", c.limit("pids", "pids.max", "pids.max"), "30")
	c.must("delete", "--force", c.id)
	c.cgroup = scope
	want(t, "cgroups", strings.Join(c.cgroupDirs(), " "), "")

	c.edit(annotation("run.oci.systemd.subgroup", ""))
	c.up()
	want(t, "cgroups without one", fmt.Sprint(len(c.pids()) > 0), "true")
	c.must("delete", "--force", c.id)
}

func TestSystemdSubgroupThatCannotBe(t *testing.T) {
	peersLack(t, "crun's annotation")
	newContainer(t, annotation("run.oci.systemd.subgroup", "../up")).
		runFails().has(t, "/annotations/run.oci.systemd.subgroup", "not the path of a cgroup below the container's")
}

// property returns a property of the scope from systemd.
func (c *container) property(name string) string {
	c.t.Helper()
	out, err := exec.Command("systemctl", "show", "--value", "-p", name, filepath.Base(c.cgroup)).Output()
	if err != nil {
		c.t.Fatalf("systemctl show: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// daemonReload makes systemd read its files again and apply its properties again.
func daemonReload(t testing.TB) {
	t.Helper()
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		t.Fatalf("daemon-reload: %v: %s", err, out)
	}
}

// A scope has limits of all kinds. It keeps the limits of create and of update when systemd reads its files again, and it
// ends with its container. With DRIVER=systemd, TestResources checks each limit.
func TestResourcesInAScope(t *testing.T) {
	needSystemd(t)
	needV2(t)
	for _, controller := range []string{"memory", "cpu", "cpuset", "pids", "io", "hugetlb"} {
		needController(t, controller)
	}
	d := newDisk(t)
	c := bySystemd(newContainer(t, resourcesJSON(t, `{"memory":{"limit":67108864,"swap":100663296,"reservation":33554432},
		"cpu":{"shares":512,"quota":50000,"period":200000,"burst":10000,"cpus":"0","mems":"0"},"pids":{"limit":20},
		"hugepageLimits":[{"pageSize":"2MB","limit":4194304}],"unified":{"memory.high":"50331648"}}`)))
	if d.none == "" {
		c.edit(resources(func(r *specs.LinuxResources) {
			r.BlockIO = &specs.LinuxBlockIO{Weight: ptr(uint16(200)), ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{throttleOf(t, d.name)}}
		}))
	}
	c.up()
	check := func(when string, properties ...string) {
		t.Helper()
		before := c.allLimits()
		daemonReload(t)
		if after := c.allLimits(); after != before {
			t.Errorf("%s, daemon-reload has changed limits:\n%s", when, diff(before, after))
		}
		for _, p := range properties {
			name, value, _ := strings.Cut(p, "=")
			want(t, when+", "+name, c.property(name), value)
		}
	}
	check("created", "TasksMax=20", "MemoryMax=67108864", "MemorySwapMax=33554432", "MemoryLow=33554432", "MemoryHigh=50331648", "CPUWeight=59", "CPUQuotaPerSecUSec=250ms")
	c.must("update", "--pids-limit", "30", "--memory", "80m", "--cpu-quota", "60000", "--cpu-share", "2048", "--cpu-burst", "5000", "--hugepage", "2MB=8m", c.id)
	check("updated", "TasksMax=30", "MemoryMax=83886080", "MemorySwapMax=16777216", "CPUWeight=174", "CPUQuotaPerSecUSec=300ms")
	c.must("delete", "--force", c.id)
	if state := c.property("LoadState"); state != "not-found" {
		t.Errorf("the unit of a deleted container is %s", state)
	}
}

package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestResources is the acceptance test of limits. config.json sets each limit. The test reads it outside and inside the
// container, changes it by flags and by JSON while the container runs, and reads it again each time. With DRIVER=systemd,
// the test also reads the property that systemd keeps. A limit that this host or its cgroup version cannot have must be an
// error and change nothing.
func TestResources(t *testing.T) {
	for _, f := range resourceFields(t) {
		t.Run(f.name, func(t *testing.T) {
			h, side, why := f.place(t)
			switch {
			case side.refusal != "":
				f.refused(t, side.refusal)
			case side.warning != "":
				f.warned(t, side.warning)
			default:
				f.written(t, h, side)
			}
			if why != "" {
				t.Skip(why)
			}
		})
	}
}

// written reads back the file and systemd's property.
func (f resourceField) written(t *testing.T, h hierarchy, side side) {
	c := newContainer(t, resourcesJSON(t, f.config))
	c.up()
	check := func(when, text, property string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(h.mountpoint, c.cgroup, side.file))
		if err != nil {
			t.Fatal(err)
		}
		tells(t, when+", outside", string(data), text)
		tells(t, when+", inside", c.execOutput(nil, "cat", filepath.Join(h.inside(), side.file)), text)
		if c.scope && env.layout == "v2" && f.property.name != "" {
			want(t, when+", "+f.property.name, c.property(f.property.name), property)
		}
	}
	check("created", side.created, f.property.created)
	if f.flags != nil {
		c.must(slices.Concat([]string{"update"}, f.flags, []string{c.id})...)
		check("updated by flags", side.updated, f.property.updated)
	}
	c.must("update", "--resources", f.json(c), c.id)
	check("updated by JSON", side.created, f.property.created)
}

// json returns the case's configuration as a file for update.
func (f resourceField) json(c *container) string {
	c.t.Helper()
	c.write("update.json", f.config)
	return filepath.Join(c.bundle, "update.json")
}

// refused checks that create and update fail and change nothing.
func (f resourceField) refused(t *testing.T, text string) {
	peerFails(t, "runc", "drops what it cannot convert")
	check := func(r result) {
		t.Helper()
		refused(t, r, 1, text)
		if !strings.Contains(r.err, f.pointer()) && !strings.Contains(r.err, f.group()) {
			t.Errorf("the message does not name %s\n%v", f.pointer(), r)
		}
	}
	c := newContainer(t, resourcesJSON(t, f.config))
	check(c.run())
	if dirs := c.cgroupDirs(); len(dirs) > 0 {
		t.Errorf("left behind: %v", dirs)
	}
	c.edit(resourcesJSON(t, "{}"))
	c.up()
	before := c.allLimits()
	if f.flags != nil {
		// v2 accepts a request for the default of v1.
		if r := c.verb(slices.Concat([]string{"update"}, f.flags, []string{c.id})...); f.flags[1] != "false" {
			check(r)
		}
	}
	check(c.verb("update", "--resources", f.json(c), c.id))
	if now := c.allLimits(); now != before {
		t.Errorf("limits changed:\n%s", diff(before, now))
	}
}

// group is the field that the message names if a whole controller is missing: the first one that needs it.
func (f resourceField) group() string {
	name, _, _ := strings.Cut(f.field, ".")
	return "/linux/resources/" + name
}

// warned checks for a warning about a field that no kernel supports any more.
func (f resourceField) warned(t *testing.T, text string) {
	peerFails(t, "runc", "has other words")
	c := newContainer(t, resourcesJSON(t, f.config), args("true"))
	if r := c.run(); r.code != 0 || !strings.Contains(r.err, text) {
		t.Errorf("no %q in a warning\n%v", text, r)
	}
}

// place returns the hierarchy of the field and the behaviour of its version. If both sides of a hybrid layout could
// have a field, the v1 side has it. If the host lacks the field, the behaviour is an error. why then names the
// reason for which this host cannot show that the limit works.
func (f resourceField) place(t *testing.T) (h hierarchy, s side, why string) {
	t.Helper()
	if f.why != "" && f.field == "rdma" {
		f.v1, f.v2 = refusal(f.controller), refusal(f.controller)
	} else if f.why != "" {
		t.Skip(f.why)
	}
	if env.layout == "v2" && f.v2.program {
		t.Skip("no file tells: TestSocketMarkAndPriority")
	}
	if env.layout != "v2" && (f.controller == "net_cls" || f.controller == "net_prio") {
		mountController(t, f.controller)
	}
	all := hierarchies()
	for _, h := range all {
		if slices.Contains(h.controllers, f.controller) && (f.v1.file != "" || f.v1.warning != "" || env.layout == "v1" || f.v2.file == "") {
			f.needFile(t, h, f.v1)
			return h, f.v1, f.why
		}
	}
	for _, h := range all {
		if h.unified && (unifiedHas(h.mountpoint, v2Name(f.controller)) || strings.HasPrefix(f.controller, "net_")) {
			f.needFile(t, h, f.v2)
			return h, f.v2, f.why
		}
	}
	if f.v2 == (side{}) && f.controller == "devices" {
		t.Skip("a program does it: see TestDeviceRulesChangeWhileRunning")
	}
	if f.v1.refusal != "" && env.layout == "v1" {
		return hierarchy{}, f.v1, ""
	}
	return hierarchy{}, refusal("controller is not "), fmt.Sprintf("the cgroup layout (%s) has no %s controller", env.layout, f.controller)
}

// needFile skips the test if there is no file to read.
func (f resourceField) needFile(t *testing.T, h hierarchy, s side) {
	t.Helper()
	switch {
	case s.file != "":
		needFile(t, h, s.file)
	case s == side{}:
		t.Skip("there is no file to read")
	}
}

// mountController mounts a v1 hierarchy that this machine lacks, if the kernel has the controller.
func mountController(t *testing.T, controller string) {
	t.Helper()
	if slices.ContainsFunc(hierarchies(), func(h hierarchy) bool { return slices.Contains(h.controllers, controller) }) {
		return
	}
	dir := filepath.Join("/sys/fs/cgroup", controller)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no place for a hierarchy: %v", err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := unix.Mount("none", dir, "cgroup", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, controller); err != nil {
		t.Skipf("this kernel has no %s controller: %v", controller, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func v2Name(controller string) string {
	if controller == "blkio" {
		return "io"
	}
	return controller
}

// inside returns the path at which containers see the hierarchy.
func (h hierarchy) inside() string {
	if env.layout == "v2" {
		return "/sys/fs/cgroup"
	}
	return filepath.Join("/sys/fs/cgroup", filepath.Base(h.mountpoint))
}

// needFile skips the test if cgroups of this kernel do not have the file. The root cgroup lacks many files.
func needFile(t testing.TB, h hierarchy, name string) {
	t.Helper()
	if h.unified {
		controller, _, _ := strings.Cut(name, ".")
		os.WriteFile(filepath.Join(h.mountpoint, "cgroup.subtree_control"), []byte("+"+controller), 0)
	}
	dir := filepath.Join(h.mountpoint, fmt.Sprintf("onggi-tests-probe-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		t.Skipf("this kernel has no %s", name)
	}
}

// tells checks that one of the lines of a cgroup file is the text, or has it as a word of a device's line.
func tells(t testing.TB, what, file, text string) {
	t.Helper()
	for line := range strings.Lines(file) {
		if line = strings.TrimSuffix(line, "\n"); line == text || strings.Contains(text, "=") && slices.Contains(strings.Fields(line), text) {
			return
		}
	}
	t.Errorf("%s: no %q in %q", what, text, file)
}

func resourcesJSON(t testing.TB, text string) edit {
	t.Helper()
	r := &specs.LinuxResources{}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		t.Fatal(err)
	}
	return func(s *specs.Spec) { s.Linux.Resources = r }
}

// enginesUpdate is the form that containerd and Podman send: all fields of the type, with zeros and nulls.
const enginesUpdate = `{"devices":null,"memory":{"limit":33554432,"reservation":0,"swap":67108864,"checkBeforeUpdate":false},
	"cpu":{"shares":0,"quota":0,"period":0,"realtimeRuntime":0,"realtimePeriod":0,"cpus":"","mems":""},"pids":{"limit":17},"blockIO":{"weight":0}}`

func TestUpdateByJSON(t *testing.T) {
	for _, how := range []string{"a file", "standard input", "standard input, one word"} {
		t.Run(how, func(t *testing.T) {
			needController(t, "memory")
			c := newContainer(t, resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20))} }))
			c.up()
			c.write("update.json", enginesUpdate)
			flags := []string{"--resources", "-"}
			switch how {
			case "a file":
				flags = []string{"-r", filepath.Join(c.bundle, "update.json")}
			case "standard input, one word":
				flags = []string{"--resources=-"}
			}
			f, err := os.Open(filepath.Join(c.bundle, "update.json"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c.stdin = f
			c.must(append(append([]string{"update"}, flags...), c.id)...)
			c.stdin = nil
			want(t, "memory", c.limit("memory", "memory.limit_in_bytes", "memory.max"), "33554432")
			want(t, "processes", c.limit("pids", "pids.max", "pids.max"), "17")
		})
	}
}

// An update that fails in any of its parts changes nothing, neither in the kernel nor in the state.
func TestARefusedUpdateChangesNothing(t *testing.T) {
	peerFails(t, "runc", "leaves what it has written")
	needController(t, "memory")
	c := newContainer(t, resources(func(r *specs.LinuxResources) {
		r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20))}
		r.Pids = &specs.LinuxPids{Limit: ptr(int64(20))}
		r.CPU = &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000))}
	}))
	c.up()
	before := c.allLimits()
	others := []string{"--cpu-share", "1000", "--cpuset-cpus", "0", "--memory-reservation", "1m", "--pids-limit", "30"}
	tests := []struct {
		name  string
		flags []string
		text  string // in the message
	}{
		{"processor that is not there", []string{"--cpuset-cpus", "4095"}, "/linux/resources/cpu/cpus"},
		{"less memory than in use", []string{"--memory", "4k", "--memory-check", "true"}, "/linux/resources/memory/limit"},
		{"swap below memory", []string{"--memory-swap", "32m"}, "/linux/resources/memory/"},
		{"quota too small", []string{"--cpu-quota", "1"}, "/linux/resources/cpu/quota"},
		{"disk that is not there", []string{"--blkio-read-bps-device", "4000:1=1m"}, "/linux/resources/blockIO/throttleReadBpsDevice/0"},
		{"page size that is not there", []string{"--hugepage", "3MB=1m"}, "/linux/resources/hugepageLimits/0"},
		{"file that is not there", []string{"--unified", "hugetlb.no-such=1"}, "/linux/resources/unified"},
		{"file elsewhere", []string{"--unified", "../cgroup.procs=1"}, "unified"},
		{"weight out of range", []string{"--cpu-share", "1"}, ""},
		{"device rule without an access", []string{"--device-allow", "c 1:1 x"}, "access"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if env.layout == "v2" && test.text == "" {
				t.Skip("v2 has no such range")
			}
			c := c.in(t)
			refused(t, c.verb(slices.Concat([]string{"update"}, others, test.flags, []string{c.id})...), 1, test.text)
			if now := c.allLimits(); now != before {
				t.Errorf("limits changed:\n%s", diff(before, now))
			}
		})
	}
	// A refused change is not in the state either: memory and swap are still 96 MiB.
	c.must("update", "--memory", "80m", c.id)
	if env.layout == "v2" {
		want(t, "swap", c.limit("memory", "", "memory.swap.max"), "16777216")
	}
}

// allLimits is the text of every file with a limit.
func (c *container) allLimits() string {
	var b strings.Builder
	for _, dir := range c.cgroupDirs() {
		for _, pattern := range []string{"memory.*limit*", "memory.m*", "memory.low", "memory.high", "memory.swap.max", "cpu.[csmwi]*", "cpuset.*effective*", "pids.max", "cgroup.max.depth", "blkio.throttle.*_device", "io.max", "io.*weight", "hugetlb.*max", "devices.list"} {
			files, _ := filepath.Glob(filepath.Join(dir, pattern))
			for _, file := range files {
				if base := filepath.Base(file); strings.Contains(base, "stat") || strings.Contains(base, "usage") || strings.Contains(base, "force") {
					continue
				}
				data, _ := os.ReadFile(file)
				fmt.Fprintf(&b, "%s: %s\n", file, bytes.TrimSpace(data))
			}
		}
	}
	return b.String()
}

func TestUpdateNeedsALiveContainer(t *testing.T) {
	needController(t, "pids")
	c := newContainer(t)
	c.create()
	c.must("update", "--pids-limit", "9", c.id) // a created container suffices
	c.start()
	c.stopped()
	refused(t, c.verb("update", "--pids-limit", "8", c.id), 1, "container not running")
	refused(t, c.verb("update", "--pids-limit", "8", "no-such"), 1, "does not exist")
	c.write("update.json", `{"pids":`)
	refused(t, c.verb("update", "-r", filepath.Join(c.bundle, "update.json"), c.id), 1, "update.json")
	refused(t, c.verb("update", "-r", "/no/such/file", c.id), 1, "no such file")
}

// Limits of a paused container can change, and it stays paused.
func TestUpdateWhilePaused(t *testing.T) {
	needController(t, "pids")
	needController(t, "freezer")
	c := newContainer(t)
	c.up()
	c.must("pause", c.id)
	c.must("update", "--pids-limit", "9", "--device-allow", "c 10:229 r", c.id)
	want(t, "status", c.status(), "paused")
	c.must("resume", c.id)
	want(t, "limit", c.limit("pids", "pids.max", "pids.max"), "9")
}

// The processes fork continuously, in cgroups of their own below the container's. They do not end with the first process,
// because the pid namespace is shared. Pause stops all of them at once, and kill ends them.
func TestAForkingFamilyIsPausedAndKilled(t *testing.T) {
	needController(t, "freezer")
	c := newContainer(t, without(specs.PIDNamespace), sh("while :; do (sleep 0.001; sleep 0.001) & sleep 0.001; done"),
		resources(func(r *specs.LinuxResources) {
			if env.layout != "v2" {
				r.Pids = &specs.LinuxPids{Limit: ptr(int64(100))}
			}
		}))
	c.up()
	var below []string
	for _, dir := range c.cgroupDirs() {
		sub := filepath.Join(dir, "a", "b")
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		// A cpuset of v1 needs processors before a process can enter.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			for _, to := range []string{filepath.Dir(sub), sub} {
				if data, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
					os.WriteFile(filepath.Join(to, file), data, 0)
				}
			}
		}
		below = append(below, sub)
	}
	pid := c.execDetached(nil, "sh", "-c", "while :; do (sleep 0.001; sleep 0.001) & sleep 0.001; done")
	for _, dir := range below {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Appendf(nil, "%d", pid), 0); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		c.must("pause", c.id)
		before := c.pids()
		time.Sleep(20 * time.Millisecond)
		if now := c.pids(); !slices.Equal(now, before) {
			t.Errorf("processes of the paused container: %v, then %v", before, now)
		}
		c.must("resume", c.id)
	}
	c.must("pause", c.id)
	r := c.must("delete", "--force", c.id)
	t.Logf("delete --force took %v", r.took)
}

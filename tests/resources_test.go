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
)

// on is a cgroup file with its text after create and after update.
type on struct{ file, created, updated string }

// field is one field of linux.resources: as config.json has it, as flags of update, and as the kernel tells it.
type resourceField struct {
	name, controller string
	config           string
	flags            []string
	v1, v2           on
}

func resourceFields(t testing.TB) []resourceField {
	disk := rootDevice(t)
	major, minor, _ := strings.Cut(disk, ":")
	throttled := func(kind, flag, v1, v2 string) resourceField {
		return resourceField{
			"block I/O " + kind, "blkio",
			fmt.Sprintf(`{"blockIO":{"throttle%sDevice":[{"major":%s,"minor":%s,"rate":1048576}]}}`, kind, major, minor),
			[]string{flag, disk + "=2m"},
			on{"blkio.throttle." + v1, disk + " 1048576", disk + " 2097152"},
			on{"io.max", v2 + "=1048576", v2 + "=2097152"},
		}
	}
	return []resourceField{
		{
			"memory limit", "memory", `{"memory":{"limit":67108864}}`,
			[]string{"--memory", "32m"},
			on{"memory.limit_in_bytes", "67108864", "33554432"},
			on{"memory.max", "67108864", "33554432"},
		},
		{
			"no memory limit any more", "memory", `{"memory":{"limit":67108864,"swap":67108864}}`,
			[]string{"--memory", "-1"},
			on{"memory.memsw.limit_in_bytes", "67108864", "9223372036854771712"},
			on{"memory.swap.max", "0", "max"},
		},
		{
			"memory reservation", "memory", `{"memory":{"reservation":33554432}}`,
			[]string{"--memory-reservation", "16m"},
			on{"memory.soft_limit_in_bytes", "33554432", "16777216"},
			on{"memory.low", "33554432", "16777216"},
		},
		{
			"TCP buffers", "memory", `{"memory":{"kernelTCP":33554432}}`,
			[]string{"--kernel-memory-tcp", "16m"},
			on{"memory.kmem.tcp.limit_in_bytes", "33554432", "16777216"},
			on{},
		},
		{
			"memory and swap", "memory", `{"memory":{"limit":67108864,"swap":100663296}}`,
			[]string{"--memory-swap", "128m"},
			on{"memory.memsw.limit_in_bytes", "100663296", "134217728"},
			on{"memory.swap.max", "33554432", "67108864"},
		},
		{
			"memory and swap, both lower", "memory", `{"memory":{"limit":67108864,"swap":100663296}}`,
			[]string{"--memory", "32m", "--memory-swap", "48m"},
			on{"memory.memsw.limit_in_bytes", "100663296", "50331648"},
			on{"memory.swap.max", "33554432", "16777216"},
		},
		{
			"memory and swap, both higher", "memory", `{"memory":{"limit":67108864,"swap":67108864}}`,
			[]string{"--memory", "128m", "--memory-swap", "160m"},
			on{"memory.memsw.limit_in_bytes", "67108864", "167772160"},
			on{"memory.swap.max", "0", "33554432"},
		},
		{
			"swap follows memory", "memory", `{"memory":{"limit":67108864,"swap":100663296}}`,
			[]string{"--memory", "80m"},
			on{"memory.memsw.limit_in_bytes", "100663296", "100663296"},
			on{"memory.swap.max", "33554432", "16777216"},
		},
		{
			"swappiness", "memory", `{"memory":{"swappiness":10}}`,
			[]string{"--memory-swappiness", "0"},
			on{"memory.swappiness", "10", "0"},
			on{},
		},
		{
			"OOM killer", "memory", `{"memory":{"disableOOMKiller":true}}`,
			[]string{"--oom-kill-disable", "false"},
			on{"memory.oom_control", "oom_kill_disable 1", "oom_kill_disable 0"},
			on{},
		},
		{
			"CPU shares", "cpu", `{"cpu":{"shares":512}}`,
			[]string{"--cpu-share", "2048"},
			on{"cpu.shares", "512", "2048"},
			on{"cpu.weight", "59", "174"},
		},
		{
			"CPU quota", "cpu", `{"cpu":{"quota":50000,"period":200000}}`,
			[]string{"--cpu-quota", "60000"},
			on{"cpu.cfs_quota_us", "50000", "60000"},
			on{"cpu.max", "50000 200000", "60000 200000"},
		},
		{
			"no CPU quota any more", "cpu", `{"cpu":{"quota":50000}}`,
			[]string{"--cpu-quota", "-1"},
			on{"cpu.cfs_quota_us", "50000", "-1"},
			on{"cpu.max", "50000 100000", "max 100000"},
		},
		{
			"CPU period", "cpu", `{"cpu":{"quota":50000,"period":200000}}`,
			[]string{"--cpu-period", "100000"},
			on{"cpu.cfs_period_us", "200000", "100000"},
			on{"cpu.max", "50000 200000", "50000 100000"},
		},
		{
			"CPU burst", "cpu", `{"cpu":{"quota":50000,"burst":10000}}`,
			[]string{"--cpu-burst", "20000"},
			on{"cpu.cfs_burst_us", "10000", "20000"},
			on{"cpu.max.burst", "10000", "20000"},
		},
		{
			"idle", "cpu", `{"cpu":{"idle":1}}`,
			[]string{"--cpu-idle", "0"},
			on{"cpu.idle", "1", "0"},
			on{"cpu.idle", "1", "0"},
		},
		{
			"weight once idle no more", "cpu", `{"cpu":{"shares":512,"idle":0}}`,
			[]string{"--cpu-idle", "0"},
			on{"cpu.shares", "512", "512"},
			on{"cpu.weight", "59", "59"},
		},
		{
			"real-time period", "cpu", `{"cpu":{"realtimePeriod":500000}}`,
			[]string{"--cpu-rt-period", "1000000"},
			on{"cpu.rt_period_us", "500000", "1000000"},
			on{},
		},
		{
			"real-time runtime", "cpu", `{"cpu":{"realtimeRuntime":1000}}`,
			[]string{"--cpu-rt-runtime", "2000"},
			on{"cpu.rt_runtime_us", "1000", "2000"},
			on{},
		},
		{
			"processors", "cpuset", `{"cpu":{"cpus":"0"}}`,
			[]string{"--cpuset-cpus", "0-1"},
			on{"cpuset.cpus", "0", "0-1"},
			on{"cpuset.cpus", "0", "0-1"},
		},
		{
			"memory nodes", "cpuset", `{"cpu":{"mems":"0"}}`,
			[]string{"--cpuset-mems", "0"},
			on{"cpuset.mems", "0", "0"},
			on{"cpuset.mems", "0", "0"},
		},
		{
			"processes", "pids", `{"pids":{"limit":20}}`,
			[]string{"--pids-limit", "-1"},
			on{"pids.max", "20", "max"},
			on{"pids.max", "20", "max"},
		},
		{
			"block I/O weight", "blkio", `{"blockIO":{"weight":200}}`,
			[]string{"--blkio-weight", "300"},
			on{"blkio.bfq.weight", "200", "300"},
			on{"io.weight", "default 1920", "default 2930"},
		},
		throttled("ReadBps", "--blkio-read-bps-device", "read_bps_device", "rbps"),
		throttled("WriteBps", "--blkio-write-bps-device", "write_bps_device", "wbps"),
		throttled("ReadIOPS", "--blkio-read-iops-device", "read_iops_device", "riops"),
		throttled("WriteIOPS", "--blkio-write-iops-device", "write_iops_device", "wiops"),
		{
			"huge pages", "hugetlb", `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`,
			[]string{"--hugepage", "2MB=8m"},
			on{"hugetlb.2MB.limit_in_bytes", "4194304", "8388608"},
			on{"hugetlb.2MB.max", "4194304", "8388608"},
		},
		{
			"reserved huge pages", "hugetlb", `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`,
			[]string{"--hugepage", "2MB=0"},
			on{"hugetlb.2MB.rsvd.limit_in_bytes", "4194304", "0"},
			on{"hugetlb.2MB.rsvd.max", "4194304", "0"},
		},
		{
			"network class", "net_cls", `{"network":{"classID":1048577}}`,
			[]string{"--network-class", "0x100002"},
			on{"net_cls.classid", "1048577", "1048578"},
			on{},
		},
		{
			"network priority", "net_prio", `{"network":{"priorities":[{"name":"lo","priority":3}]}}`,
			[]string{"--network-priority", "lo=4"},
			on{"net_prio.ifpriomap", "lo 3", "lo 4"},
			on{},
		},
		{
			"unified", "hugetlb", `{"unified":{"hugetlb.2MB.max":"2097152"}}`,
			[]string{"--unified", "hugetlb.2MB.max=6291456"},
			on{},
			on{"hugetlb.2MB.max", "2097152", "6291456"},
		},
		{
			"unified, of the core", "freezer", `{"unified":{"cgroup.max.depth":"3"}}`,
			[]string{"--unified", "cgroup.max.depth=4"},
			on{},
			on{"cgroup.max.depth", "3", "4"},
		},
		{
			"device rules", "devices", `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]}`,
			[]string{"--device-allow", "c 10:237 r"},
			on{"devices.list", "c 10:229 rw", "c 10:237 r"},
			on{},
		},
	}
}

// The acceptance test of limits: set by config.json, read outside and inside, changed while the container runs.
func TestResources(t *testing.T) {
	for _, f := range resourceFields(t) {
		t.Run(f.name, func(t *testing.T) {
			h, file := f.place(t)
			c := newContainer(t, resourcesJSON(t, f.config))
			c.up()
			check := func(when, text string) {
				t.Helper()
				data, err := os.ReadFile(filepath.Join(h.mountpoint, c.cgroup, file.file))
				if err != nil {
					t.Fatal(err)
				}
				tells(t, when+", outside", string(data), text)
				tells(t, when+", inside", c.execOutput(nil, "cat", filepath.Join(h.inside(), file.file)), text)
			}
			check("created", file.created)
			c.must(append(append([]string{"update"}, f.flags...), c.id)...)
			check("updated", file.updated)
		})
	}
}

// place is the hierarchy and the file that tell of the field. What both sides of a hybrid layout could have, the v1
// side has.
func (f resourceField) place(t testing.TB) (hierarchy, on) {
	t.Helper()
	for _, h := range hierarchies() {
		if slices.Contains(h.controllers, f.controller) && f.v1.file != "" {
			needFile(t, h, f.v1.file)
			return h, f.v1
		}
	}
	for _, h := range hierarchies() {
		if h.unified && unifiedHas(h.mountpoint, v2Name(f.controller)) {
			if f.v2.file == "" {
				t.Skip("cgroup v2 does not have it")
			}
			needFile(t, h, f.v2.file)
			return h, f.v2
		}
	}
	t.Skipf("the cgroup layout (%s) has no %s controller", env.layout, f.controller)
	return hierarchy{}, on{}
}

func v2Name(controller string) string {
	if controller == "blkio" {
		return "io"
	}
	return controller
}

// inside is where containers see the hierarchy.
func (h hierarchy) inside() string {
	if env.layout == "v2" {
		return "/sys/fs/cgroup"
	}
	return filepath.Join("/sys/fs/cgroup", filepath.Base(h.mountpoint))
}

// needFile skips the test where this kernel does not give cgroups such a file. The root cgroup lacks many.
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

// What containerd and Podman send: all fields of the type, with zeros and nulls.
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

// An update that fails in any of its parts changes nothing, in the kernel or in what is remembered.
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
	// What was refused is not remembered either: memory and swap are still 96 MiB.
	c.must("update", "--memory", "80m", c.id)
	if env.layout == "v2" {
		want(t, "swap", c.limit("memory", "", "memory.swap.max"), "16777216")
	}
}

// allLimits is the text of every file with a limit.
func (c *container) allLimits() string {
	var b strings.Builder
	for _, dir := range c.cgroupDirs() {
		for _, pattern := range []string{"memory.*limit*", "memory.m*", "memory.low", "memory.swap.max", "cpu.[csmwi]*", "cpuset.*effective*", "pids.max", "blkio.throttle.*_device", "io.max", "hugetlb.*max", "devices.list"} {
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
	c.must("update", "--pids-limit", "9", c.id) // created is enough
	c.start()
	c.stopped()
	refused(t, c.verb("update", "--pids-limit", "8", c.id), 1, "container not running")
	refused(t, c.verb("update", "--pids-limit", "8", "no-such"), 1, "does not exist")
	c.write("update.json", `{"pids":`)
	refused(t, c.verb("update", "-r", filepath.Join(c.bundle, "update.json"), c.id), 1, "update.json")
	refused(t, c.verb("update", "-r", "/no/such/file", c.id), 1, "no such file")
}

// A paused container's limits can be changed, and it stays paused.
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

// Device rules change under a running process, on v1 and, by an eBPF program that takes the place of the other, on v2.
func TestDeviceRulesChangeWhileRunning(t *testing.T) {
	peerFails(t, "runc", "does not update device rules")
	if f, err := os.Open("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse to open")
	} else {
		f.Close()
	}
	c := newContainer(t, func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}}
	})
	c.up()
	opens := func(mode string) bool { return c.exec(nil, "sh", "-c", "exec 9"+mode+"/dev/fuse").code == 0 }
	check := func(when string, read, write bool) {
		t.Helper()
		if got := opens("<"); got != read {
			t.Errorf("%s: opens for reading %v; want %v", when, got, read)
		}
		if got := opens(">"); got != write {
			t.Errorf("%s: opens for writing %v; want %v", when, got, write)
		}
		if r := c.exec(nil, "sh", "-c", "echo > /dev/null < /dev/zero"); r.code != 0 {
			t.Errorf("%s: the default devices do not work: %v", when, r)
		}
	}
	check("at first", false, false)
	c.must("update", "--device-allow", "c 10:229 r", c.id)
	check("after the first update", true, false)
	c.must("update", "--device-allow", "c 10:229 w", c.id)
	check("after the second update", true, true)
	if env.layout == "v1" {
		c.must("update", "--pids-limit", "50", c.id)
	} else {
		c.must("update", "--unified", "cgroup.max.depth=5", c.id)
	}
	check("after an update of something else", true, true)
	c.must("update", "--device-deny", "/dev/fuse r", c.id)
	check("after a denial", false, true)
	c.write("update.json", `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"r"}]}`)
	c.must("update", "-r", filepath.Join(c.bundle, "update.json"), c.id)
	check("after a list of its own", true, false)
	c.write("update.json", `{"devices":[]}`)
	c.must("update", "-r", filepath.Join(c.bundle, "update.json"), c.id)
	check("after an engine's empty list", true, false)
	c.must("update", "--device-allow", "a", c.id)
	check("after all was allowed", true, true)
	c.must("update", "--device-deny", "a", c.id)
	check("after all was denied", false, false)
}

// Processes that fork all the time, in cgroups of their own below the container's and without a first process that
// takes them along: they stop all at once, and they end.
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
		// Processors have to be given to a cpuset of v1 before a process can enter.
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

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// resources changes linux.resources.
func resources(change func(*specs.LinuxResources)) edit {
	return func(s *specs.Spec) { change(s.Linux.Resources) }
}

func TestCgroupLimits(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		name       string
		controller string
		edit       func(*specs.LinuxResources)
		v1, v2     string // file names; empty if there is none
		value1     string
		value2     string
	}{
		{
			"memory limit", "memory", func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 * mib))} },
			"memory.limit_in_bytes", "memory.max", "67108864", "67108864",
		},
		{
			"memory reservation", "memory", func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Reservation: ptr(int64(32 * mib))} },
			"memory.soft_limit_in_bytes", "memory.low", "33554432", "33554432",
		},
		{"memory and swap", "memory", func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 * mib)), Swap: ptr(int64(96 * mib))}
		}, "memory.memsw.limit_in_bytes", "memory.swap.max", "100663296", "33554432"},
		{
			"swappiness", "memory", func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Swappiness: ptr(uint64(10))} },
			"memory.swappiness", "", "10", "",
		},
		{
			"cpu shares", "cpu", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Shares: ptr(uint64(512))} },
			"cpu.shares", "cpu.weight", "512", "59",
		},
		{"cpu quota", "cpu", func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(200000))}
		}, "cpu.cfs_quota_us", "cpu.max", "50000", "50000 200000"},
		{
			"cpu period", "cpu", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Period: ptr(uint64(200000))} },
			"cpu.cfs_period_us", "cpu.max", "200000", "max 200000",
		},
		{
			"cpuset cpus", "cpuset", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "0"} },
			"cpuset.cpus", "cpuset.cpus", "0", "0",
		},
		{
			"cpuset mems", "cpuset", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Mems: "0"} },
			"cpuset.mems", "cpuset.mems", "0", "0",
		},
		{
			"pids", "pids", func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(20))} },
			"pids.max", "pids.max", "20", "20",
		},
		{
			"pids without limit", "pids", func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(-1))} },
			"pids.max", "pids.max", "max", "max",
		},
		{"read rate", "blkio", func(r *specs.LinuxResources) {
			r.BlockIO = &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{throttle(t, mib)}}
		}, "blkio.throttle.read_bps_device", "", fmt.Sprintf("%s %d", rootDevice(t), mib), ""},
		{"huge pages", "hugetlb", func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 * mib}}
		}, "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max", "4194304", "4194304"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			needController(t, test.controller)
			if test.controller == "hugetlb" && env.layout == "hybrid" {
				t.Skip("the controller is on the v2 side of a hybrid layout")
			}
			if test.v2 == "" && env.layout == "v2" {
				t.Skip("no such file on v2")
			}
			c := newContainer(t, resources(test.edit))
			if _, err := os.Stat(filepath.Join(filepath.Dir(c.cgroupDir(test.controller)), test.v1)); err != nil && strings.Contains(test.v1, "memsw") && env.layout != "v2" {
				t.Skip("the kernel counts no swap")
			}
			c.up()
			wanted := test.value1
			if env.layout == "v2" {
				wanted = test.value2
			}
			want(t, "outside", c.limit(test.controller, test.v1, test.v2), wanted)
			if test.controller == "hugetlb" {
				return
			}
			dir := "/sys/fs/cgroup/"
			if env.layout != "v2" {
				dir += test.controller + "/"
			}
			file := test.v1
			if env.layout == "v2" {
				file = test.v2
			}
			want(t, "inside", c.execOutput(nil, "cat", dir+file), wanted)
		})
	}
}

// rootDevice returns the disk of the root file system as "major:minor".
func rootDevice(t testing.TB) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
}

func throttle(t testing.TB, rate uint64) specs.LinuxThrottleDevice {
	t.Helper()
	d := throttleOf(t, rootDevice(t))
	d.Rate = rate
	return d
}

// throttleOf limits the device 7:0 to 1 MiB a second.
func throttleOf(t testing.TB, name string) specs.LinuxThrottleDevice {
	t.Helper()
	d := specs.LinuxThrottleDevice{Rate: 1 << 20}
	if _, err := fmt.Sscanf(name, "%d:%d", &d.Major, &d.Minor); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheContainerIsInItsCgroupEverywhere(t *testing.T) {
	c := newContainer(t)
	pid := c.up()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hierarchies() {
		procs, err := os.ReadFile(filepath.Join(h.mountpoint, c.cgroup, "cgroup.procs"))
		if err != nil {
			t.Error(err)
			continue
		}
		want(t, h.mountpoint, strings.TrimSpace(string(procs)), strconv.Itoa(pid))
	}
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		// The runtime does not touch hierarchies that are not mounted here.
		if f[2] != c.cgroup && mountedHierarchy(f[1]) {
			t.Errorf("in %s the container is in %s; want %s", f[1], f[2], c.cgroup)
		}
	}
}

func mountedHierarchy(controllers string) bool {
	for _, h := range hierarchies() {
		if h.unified && controllers == "" || !h.unified && strings.Join(h.controllers, ",") == strings.TrimPrefix(controllers, "name=") ||
			strings.Join(h.controllers, ",") == controllers && controllers != "" {
			return true
		}
	}
	return false
}

func TestNestedCgroupsPath(t *testing.T) {
	needCgroupfs(t)
	c := newContainer(t)
	c.cgroup = "/onggi-tests-" + c.id + "/a/b"
	c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = c.cgroup })
	c.up()
	if dirs := c.cgroupDirs(); len(dirs) != len(hierarchies()) {
		t.Errorf("cgroups = %v", dirs)
	}
	c.must("delete", "--force", c.id)
	// The engine removes parents.
	for _, h := range hierarchies() {
		removeCgroup(filepath.Join(h.mountpoint, "onggi-tests-"+c.id))
	}
}

// Several containers share a parent cgroup, which the runtime creates and removes. One container may remove it while
// another one creates its cgroup in it.
func TestContainersInOneCgroupThatIsMadeForThem(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "leaves the parents")
	const lives = 15
	var all []*container
	for range 3 {
		all = append(all, newContainer(t))
	}
	above := "/onggi-tests-" + all[0].id + "-above"
	var running sync.WaitGroup
	for _, c := range all {
		c.cgroup = above + "/a/b/" + c.id
		c.edit(func(s *specs.Spec) {
			s.Linux.CgroupsPath = c.cgroup
			s.Process.Args = []string{"true"}
		})
		running.Go(func() {
			for range lives {
				if r := c.run(); r.code != 0 {
					t.Error(r)
				}
			}
		})
	}
	running.Wait()
	for _, h := range hierarchies() { // the parent stays if its creator was not the last one to end
		for _, dir := range []string{"/a/b", "/a", ""} {
			if err := os.Remove(h.mountpoint + above + dir); err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		}
	}
}

func TestACgroupInUseIsRefused(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "1.1 only warns")
	first := newContainer(t)
	first.up()
	second := newContainer(t)
	second.cgroup = first.cgroup + "-not" // the harness looks for leaks of the first one's
	second.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = first.cgroup })
	refused(t, second.run(), 1, "cgroup")
	want(t, "status of the first", first.status(), "running")
}

func TestMemoryLimitIsEnforced(t *testing.T) {
	needController(t, "memory")
	c := newContainer(t, sh("dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null; echo $?"),
		resources(func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr(int64(16 << 20)), Swap: ptr(int64(16 << 20))}
		}))
	if r := c.run(); r.out != "137\n" && r.code != 137 {
		t.Error(r)
	}
}

func TestPidsLimitIsEnforced(t *testing.T) {
	needController(t, "pids")
	c := newContainer(t, sh("for i in 1 2 3 4 5; do sleep 1 & done; wait"), resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(3))} }))
	if r := c.run(); !strings.Contains(r.err, "can't fork") {
		t.Error(r)
	}
}

func TestTheSmallestLimits(t *testing.T) {
	t.Run("64 KiB of memory", func(t *testing.T) {
		needController(t, "memory")
		peerFails(t, "runc", "sets the limit later")
		peerFails(t, "crun", "has no hint")
		c := newContainer(t, args("/bin/true"), resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 10))} }))
		r := c.verb(c.withFlags("create")...) // the kernel refuses the limit, or kills the first process
		refused(t, r, 1, "/linux/resources/memory/limit: ")
		refused(t, r, 1, "(memory limit too low?)")
	})
	t.Run("512 KiB of memory", func(t *testing.T) {
		needController(t, "memory")
		peerFails(t, "runc", "needs more for itself")
		c := newContainer(t, args("/bin/true"), resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: ptr(int64(512 << 10))} }))
		for range 5 {
			c.output()
		}
	})
	t.Run("one process", func(t *testing.T) {
		needController(t, "pids")
		c := newContainer(t, args("/bin/true"), resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(1))} }))
		if env.kind == "runc" {
			t.Skip("runc: its first process has several threads")
		}
		for range 5 {
			c.output()
		}
	})
	t.Run("a limit too small for anything is one clear error", func(t *testing.T) {
		needController(t, "memory")
		c := newContainer(t, args("/bin/true"), resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: ptr(int64(8 << 10))} }))
		r := c.run()
		if r.code == 0 {
			t.Skip("8 KiB are enough here")
		}
		if env.kind == "onggi" && !strings.Contains(strings.ToLower(r.err), "memory") && r.code != 137 {
			t.Errorf("the message does not name the memory limit: %v", r)
		}
	})
}

func TestResourcesThatCannotBe(t *testing.T) {
	tests := []struct {
		name, controller string
		edit             func(*specs.LinuxResources)
	}{
		{"processor that is not there", "cpuset", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "4095"} }},
		{"page size that is not there", "hugetlb", func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}
		}},
		{"swap below the limit", "memory", func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(32 << 20))}
		}},
		{"quota too small", "cpu", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Quota: ptr(int64(1))} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			needController(t, test.controller)
			refused(t, newContainer(t, resources(test.edit)).run(), 1, "")
		})
	}
}

func TestUnifiedResources(t *testing.T) {
	if env.layout != "v2" {
		t.Skip("cgroup v2 only")
	}
	c := newContainer(t, resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"hugetlb.2MB.max": "2097152"} }))
	needController(t, "hugetlb")
	c.up()
	want(t, "value", c.limit("hugetlb", "", "hugetlb.2MB.max"), "2097152")
	for _, key := range []string{"no-dot", "a/b.c", "../x.y", "nonsense.max"} {
		t.Run(key, func(t *testing.T) {
			c := newContainer(t, resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{key: "1"} }))
			refused(t, c.run(), 1, "")
		})
	}
}

func TestEmptySubCgroupsGoWithTheContainer(t *testing.T) {
	c := newContainer(t)
	c.up()
	for _, dir := range c.cgroupDirs() {
		if err := os.MkdirAll(filepath.Join(dir, "sub/deeper"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.must("delete", "--force", c.id)
}

func TestDeleteDoesNotWaitLongerThanItMust(t *testing.T) {
	peerFails(t, "runc", "sleeps 100 ms")
	c := newContainer(t)
	fastest := time.Hour
	for range 5 {
		c.up()
		fastest = min(fastest, c.must("delete", "--force", c.id).took)
	}
	if fastest > slowly(80*time.Millisecond) {
		t.Errorf("delete --force takes %v", fastest)
	}
}

// The test moves the first process to another cgroup and removes the container's. exec must follow the process.
func TestExecWhereTheFirstProcessIs(t *testing.T) {
	if env.layout != "v2" {
		t.Skip("it takes pure cgroup v2")
	}
	peerFails(t, "crun", "looks at the container's own cgroup")
	needCgroupfs(t)
	c := newContainer(t)
	pid := c.up()
	old := c.cgroupDirs()[0]
	other := old + "-other"
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(other) })
	if err := os.WriteFile(filepath.Join(other, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	want(t, "exec", c.execOutput(nil, "cat", "/proc/1/cgroup"), c.execOutput(nil, "cat", "/proc/self/cgroup"))
	c.must("kill", c.id, "KILL")
	c.stopped()
	c.must("delete", "--force", c.id)
}

package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// fake returns a view of the files in a map.
func fake(v2 bool, files map[string]string) view {
	return view{
		v2:  v2,
		has: func(f string) bool { _, ok := files[f]; return ok },
		read: func(f string) (string, error) {
			if s, ok := files[f]; ok {
				return s, nil
			}
			return "", unix.ENOENT
		},
	}
}

func parseResources(t *testing.T, text string) *specs.LinuxResources {
	t.Helper()
	r := new(specs.LinuxResources)
	if err := json.Unmarshal([]byte(text), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// planned renders the plan for r: writes as "file=value", problems with a "!" and warnings with a "?" in front.
func planned(r *specs.LinuxResources, v view) string {
	var l limits
	for _, k := range kinds(r) {
		k.plan(&l, v)
	}
	for file, value := range r.Unified {
		l.unified(file, value)
	}
	var out []string
	for _, b := range l.batches {
		for _, w := range b {
			out = append(out, w.file+"="+w.value)
		}
	}
	for _, p := range l.problems {
		out = append(out, "!"+strings.TrimPrefix(p.Error(), resources))
	}
	for _, w := range l.warnings {
		out = append(out, "?"+strings.TrimPrefix(w, resources))
	}
	return strings.Join(out, "|")
}

func TestPlanLimits(t *testing.T) {
	none := map[string]string{}
	for _, test := range []struct {
		resources string
		files     map[string]string
		v1, v2    string
	}{
		// memory
		{`{"memory":{}}`, none, "", ""},
		{`{"memory":{"limit":0,"swap":0,"reservation":0}}`, none, "", ""},
		{`{"memory":{"limit":1000}}`, none, "memory.limit_in_bytes=1000", "memory.max=1000"},
		{`{"memory":{"limit":-1}}`, none, "memory.limit_in_bytes=-1|memory.memsw.limit_in_bytes=-1", "memory.swap.max=max|memory.max=max"},
		{`{"memory":{"limit":1000,"swap":1500}}`, none, "memory.limit_in_bytes=1000|memory.memsw.limit_in_bytes=1500", "memory.swap.max=500|memory.max=1000"},
		{`{"memory":{"limit":1000,"swap":1000}}`, none, "memory.limit_in_bytes=1000|memory.memsw.limit_in_bytes=1000", "memory.swap.max=0|memory.max=1000"},
		{`{"memory":{"limit":1000,"swap":-1}}`, none, "memory.limit_in_bytes=1000|memory.memsw.limit_in_bytes=-1", "memory.swap.max=max|memory.max=1000"},
		{`{"memory":{"limit":1000,"swap":999}}`, none, "memory.limit_in_bytes=1000|memory.memsw.limit_in_bytes=999", "memory.max=1000|!/memory/swap: the memory+swap limit 999 is below the memory limit 1000"},
		{`{"memory":{"swap":999}}`, map[string]string{"memory.max": "900"}, "memory.memsw.limit_in_bytes=999", "memory.swap.max=99"},
		{`{"memory":{"swap":999}}`, map[string]string{"memory.max": "max"}, "memory.memsw.limit_in_bytes=999", "!/memory/swap: a memory+swap limit of 999 needs a memory limit"},
		{`{"memory":{"reservation":10}}`, none, "memory.soft_limit_in_bytes=10", "memory.low=10"},
		{`{"memory":{"swappiness":60}}`, none, "memory.swappiness=60", "!/memory/swappiness: cgroup v2 has no swappiness for each cgroup"},
		{`{"memory":{"swappiness":101}}`, none, "memory.swappiness=101|!/memory/swappiness: invalid memory swappiness value: 101 (valid range is 0-100)", "!/memory/swappiness: cgroup v2 has no swappiness for each cgroup"},
		{`{"memory":{"disableOOMKiller":true}}`, none, "memory.oom_control=1", "!/memory/disableOOMKiller: cgroup v2 cannot disable the OOM killer"},
		{`{"memory":{"disableOOMKiller":false}}`, map[string]string{"memory.oom_control": "oom_kill_disable 0\nunder_oom 0"}, "", ""},
		{`{"memory":{"disableOOMKiller":false}}`, map[string]string{"memory.oom_control": "oom_kill_disable 1\nunder_oom 0"}, "memory.oom_control=0", ""},
		{
			`{"memory":{"kernel":5,"kernelTCP":5}}`, none,
			"memory.kmem.tcp.limit_in_bytes=5|?/memory/kernel: Kernel memory settings are ignored and will be removed: Linux has none since 5.16",
			"!/memory/kernel: cgroup v2 has no separate limit for kernel memory|!/memory/kernelTCP: cgroup v2 has no separate limit for TCP buffers",
		},
		{
			`{"memory":{"kernel":-1,"kernelTCP":-1}}`, none,
			"memory.kmem.tcp.limit_in_bytes=-1|?/memory/kernel: Kernel memory settings are ignored and will be removed: Linux has none since 5.16", "",
		},
		{
			`{"memory":{"limit":1000,"checkBeforeUpdate":true}}`,
			map[string]string{"memory.usage_in_bytes": "1001", "memory.current": "1000"},
			"memory.limit_in_bytes=1000|!/memory/limit: 1001 bytes are in use, more than the new limit of 1000 (checkBeforeUpdate)", "memory.max=1000",
		},
		// cpu
		{`{"cpu":{"shares":0,"quota":0,"period":0}}`, none, "", ""},
		{`{"cpu":{"shares":1024}}`, none, "cpu.shares=1024", "cpu.weight=100"},
		{`{"cpu":{"shares":1}}`, none, "!/cpu/shares: 1: the minimum allowed cpu-shares is 2", "cpu.weight=1"},
		{`{"cpu":{"quota":50000,"period":100000}}`, none, "cpu.cfs_period_us=100000|cpu.cfs_quota_us=50000", "cpu.max=50000 100000"},
		{`{"cpu":{"quota":-1}}`, none, "cpu.cfs_quota_us=-1", "cpu.max=max"},
		{`{"cpu":{"period":20000}}`, map[string]string{"cpu.max": "5000 100000"}, "cpu.cfs_period_us=20000", "cpu.max=5000 20000"},
		{`{"cpu":{"period":20000}}`, none, "cpu.cfs_period_us=20000", "cpu.max=max 20000"},
		{`{"cpu":{"burst":10,"quota":1000}}`, none, "cpu.cfs_quota_us=1000|cpu.cfs_burst_us=10", "cpu.max=1000|cpu.max.burst=10"},
		{`{"cpu":{"idle":1,"shares":5}}`, none, "cpu.idle=1|?/cpu/shares: an idle cgroup has no weight: ignored", "cpu.idle=1|?/cpu/shares: an idle cgroup has no weight: ignored"},
		{`{"cpu":{"idle":0,"shares":2}}`, none, "cpu.idle=0|cpu.shares=2", "cpu.idle=0|cpu.weight=1"},
		{
			`{"cpu":{"realtimeRuntime":5,"realtimePeriod":9}}`, none, "cpu.rt_period_us=9|cpu.rt_runtime_us=5",
			"!/cpu/realtimeRuntime: cgroup v2 has no real-time limits|!/cpu/realtimePeriod: cgroup v2 has no real-time limits",
		},
		{`{"cpu":{"cpus":"0-1","mems":"0"}}`, none, "cpuset.cpus=0-1|cpuset.mems=0", "cpuset.cpus=0-1|cpuset.mems=0"},
		// pids
		{`{"pids":{"limit":0}}`, none, "pids.max=0", "pids.max=0"},
		{`{"pids":{"limit":-1}}`, none, "pids.max=max", "pids.max=max"},
		{`{"pids":{}}`, none, "", ""},
		// block I/O
		{`{"blockIO":{"weight":0}}`, none, "", ""},
		{`{"blockIO":{"weight":500}}`, none, "blkio.bfq.weight=500", "io.weight=4950"},
		{`{"blockIO":{"weight":500}}`, map[string]string{"blkio.weight": "", "io.bfq.weight": ""}, "blkio.weight=500", "io.bfq.weight=500"},
		{`{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10}]}}`, none, "blkio.bfq.weight_device=8:0 10", "io.weight=8:0 1"},
		{`{"blockIO":{"leafWeight":10}}`, none, "!/blockIO/leafWeight: this kernel has no CFQ I/O scheduler, the only one with leaf weights", "!/blockIO/leafWeight: cgroup v2 has no leaf weights"},
		{
			`{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":7}],"throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}`, none,
			"blkio.throttle.read_bps_device=8:0 7|blkio.throttle.write_iops_device=8:16 0", "io.max=8:0 rbps=7|io.max=8:16 wiops=max",
		},
		// huge pages
		{
			`{"hugepageLimits":[{"pageSize":"2MB","limit":9}]}`,
			map[string]string{"hugetlb.2MB.limit_in_bytes": "", "hugetlb.2MB.max": ""},
			"hugetlb.2MB.limit_in_bytes=9|hugetlb.2MB.rsvd.limit_in_bytes=9", "hugetlb.2MB.max=9|hugetlb.2MB.rsvd.max=9",
		},
		{
			`{"hugepageLimits":[{"pageSize":"../3MB","limit":9}]}`, none,
			`!/hugepageLimits/0/pageSize: this host has no huge pages of size "../3MB"`, `!/hugepageLimits/0/pageSize: this host has no huge pages of size "../3MB"`,
		},
		// network: on v2 an eBPF program applies it
		{`{"network":{"classID":7,"priorities":[{"name":"lo","priority":3}]}}`, none, "net_cls.classid=7|net_prio.ifpriomap=lo 3", ""},
		{
			`{"network":{"priorities":[{"name":"a","priority":3},{"name":"b","priority":4}]}}`, none,
			"net_prio.ifpriomap=a 3|net_prio.ifpriomap=b 4", "!/network/priorities/1: cgroup v2 has one priority for all interfaces, and a has 3, but b 4",
		},
		{`{"network":{"classID":0}}`, none, "", ""},
		// rdma
		{`{"rdma":{"m1":{"hcaHandles":2},"m0":{"hcaHandles":1,"hcaObjects":3}}}`, none, "rdma.max=m0 hca_handle=1 hca_object=3|rdma.max=m1 hca_handle=2", "rdma.max=m0 hca_handle=1 hca_object=3|rdma.max=m1 hca_handle=2"},
		// unified
		{`{"unified":{"io.max":"8:0 rbps=1\n8:16 wbps=2\n"}}`, none, "io.max=8:0 rbps=1|io.max=8:16 wbps=2", "io.max=8:0 rbps=1|io.max=8:16 wbps=2"},
		{`{"unified":{"../x.y":"1"}}`, none, "!/unified/..~1x.y: not the name of a cgroup file (CONTROLLER.PARAMETER)", "!/unified/..~1x.y: not the name of a cgroup file (CONTROLLER.PARAMETER)"},
	} {
		r := parseResources(t, test.resources)
		if got := planned(r, fake(false, test.files)); got != test.v1 {
			t.Errorf("%s on v1:\n got %s\nwant %s", test.resources, got, test.v1)
		}
		if got := planned(r, fake(true, test.files)); got != test.v2 {
			t.Errorf("%s on v2:\n got %s\nwant %s", test.resources, got, test.v2)
		}
	}
}

func TestCPUWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 3: 2, 100: 17, 512: 59, 1024: 100, 2048: 174, 262143: 10000, 262144: 10000, 1 << 40: 10000} {
		if got := CPUWeight(shares); got != want {
			t.Errorf("CPUWeight(%d) = %d; want %d", shares, got, want)
		}
	}
	last := uint64(0)
	for shares := uint64(2); shares <= 1<<18; shares += 7 {
		w := CPUWeight(shares)
		if w < last || w < 1 || w > 10000 {
			t.Fatalf("CPUWeight(%d) = %d after %d", shares, w, last)
		}
		last = w
	}
}

func TestIOWeight(t *testing.T) {
	for w, want := range map[uint16]string{1: "1", 10: "1", 100: "910", 1000: "10000"} {
		if got := ioWeight(w); got != want {
			t.Errorf("ioWeight(%d) = %s; want %s", w, got, want)
		}
	}
}

func TestUndo(t *testing.T) {
	for _, test := range []struct {
		undo      func(string) string
		old, want string
	}{
		{nil, "max", "max"},
		{nil, "", "\n"},
		{undoLine("8:0", "8:0 0"), "8:16 5\n8:0 7", "8:0 7"},
		{undoLine("8:0", "8:0 0"), "8:01 5", "8:0 0"},
		{undoLine("default", "default 100"), "default 50\n8:0 5", "default 50"},
		{oomDisabled, "oom_kill_disable 1\nunder_oom 0", "1"},
		{undoUnified("cpu.max", "1000 2000"), "max 100000", "max 100000"},
		{undoUnified("io.max", "8:0 rbps=1"), "8:0 rbps=9 wbps=max", "8:0 rbps=9 wbps=max"},
		{undoUnified("io.max", "8:0 rbps=1"), "", "8:0 rbps=max wbps=max riops=max wiops=max"},
		{undoUnified("misc.max", "sev 3"), "sev max\nsgx max", "sev max"},
	} {
		if got := (write{undo: test.undo}).restoring(test.old).value; got != test.want {
			t.Errorf("restoring(%q) = %q; want %q", test.old, got, test.want)
		}
	}
}

func TestFileError(t *testing.T) {
	err := &FileError{Field: "/linux/resources/pids/limit", Op: "write", Path: "/c/pids.max", Value: "x", Hint: "h", Err: unix.EINVAL}
	if got, want := err.Error(), `/linux/resources/pids/limit: h: failed to write "x": write /c/pids.max: invalid argument`; got != want {
		t.Errorf("Error() = %s; want %s", got, want)
	}
	if !errors.Is(fmt.Errorf("x: %w", err), unix.EINVAL) {
		t.Error("the errno is not in the chain")
	}
}

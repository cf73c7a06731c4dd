package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// resourceField is a test case for one field of linux.resources: its values in config.json, as flags of update, in the kernel
// and in systemd.
type resourceField struct {
	name       string
	field      string // below linux.resources: "memory.limit"
	controller string // its name on v1
	config     string // at create, and by update -r once the flags have changed it
	flags      []string
	v1, v2     side
	property   property
	why        string // reason why this host cannot have the field, or ""
}

// side is the behaviour of a cgroup version for a field: a file, or an error.
type side struct {
	file, created, updated string
	refusal                string // in the message; the field is named too
	warning                string // nothing else is done
	program                bool   // an eBPF program applies it; another test covers that
}

func file(name, created, updated string) side {
	return side{file: name, created: created, updated: updated}
}

func refusal(text string) side { return side{refusal: text} }

// property is systemd's property on v2, with its value after create and after update.
type property struct{ name, created, updated string }

// pointer returns the field's JSON pointer in config.json.
func (f resourceField) pointer() string {
	return "/linux/resources/" + strings.ReplaceAll(f.field, ".", "/")
}

// resourceFields lists all of linux.resources, the special cases after the plain ones. docs/resources.md names them.
func resourceFields(t testing.TB) []resourceField {
	d := newDisk(t)
	return append(append(append(memoryFields(), cpuFields()...), blockIOFields(d)...), otherFields()...)
}

func memoryFields() []resourceField {
	return []resourceField{
		{
			"memory limit", "memory.limit", "memory", `{"memory":{"limit":67108864}}`,
			[]string{"--memory", "32m"},
			file("memory.limit_in_bytes", "67108864", "33554432"),
			file("memory.max", "67108864", "33554432"),
			property{"MemoryMax", "67108864", "33554432"},
			"",
		},
		{
			"no memory limit any more", "memory.swap", "memory", `{"memory":{"limit":67108864,"swap":67108864}}`,
			[]string{"--memory", "-1"},
			file("memory.memsw.limit_in_bytes", "67108864", "9223372036854771712"),
			file("memory.swap.max", "0", "max"),
			property{"MemorySwapMax", "0", "infinity"},
			"",
		},
		{
			"memory reservation", "memory.reservation", "memory", `{"memory":{"reservation":33554432}}`,
			[]string{"--memory-reservation", "16m"},
			file("memory.soft_limit_in_bytes", "33554432", "16777216"),
			file("memory.low", "33554432", "16777216"),
			property{"MemoryLow", "33554432", "16777216"},
			"",
		},
		{
			"memory and swap", "memory.swap", "memory", `{"memory":{"limit":67108864,"swap":100663296}}`,
			[]string{"--memory-swap", "128m"},
			file("memory.memsw.limit_in_bytes", "100663296", "134217728"),
			file("memory.swap.max", "33554432", "67108864"),
			property{"MemorySwapMax", "33554432", "67108864"},
			"",
		},
		{
			"memory and swap, both lower", "memory.swap", "memory", `{"memory":{"limit":67108864,"swap":100663296}}`,
			[]string{"--memory", "32m", "--memory-swap", "48m"},
			file("memory.memsw.limit_in_bytes", "100663296", "50331648"),
			file("memory.swap.max", "33554432", "16777216"),
			property{"MemoryMax", "67108864", "33554432"},
			"",
		},
		{
			"memory and swap, both higher", "memory.swap", "memory", `{"memory":{"limit":67108864,"swap":67108864}}`,
			[]string{"--memory", "128m", "--memory-swap", "160m"},
			file("memory.memsw.limit_in_bytes", "67108864", "167772160"),
			file("memory.swap.max", "0", "33554432"),
			property{"MemorySwapMax", "0", "33554432"},
			"",
		},
		{
			"swap follows memory", "memory.swap", "memory", `{"memory":{"limit":67108864,"swap":100663296}}`,
			[]string{"--memory", "80m"},
			file("memory.memsw.limit_in_bytes", "100663296", "100663296"),
			file("memory.swap.max", "33554432", "16777216"),
			property{"MemorySwapMax", "33554432", "16777216"},
			"",
		},
		{
			"swappiness", "memory.swappiness", "memory", `{"memory":{"swappiness":10}}`,
			[]string{"--memory-swappiness", "0"},
			file("memory.swappiness", "10", "0"),
			refusal("cgroup v2 has no swappiness for each cgroup"),
			property{},
			"",
		},
		{
			"OOM killer", "memory.disableOOMKiller", "memory", `{"memory":{"disableOOMKiller":true}}`,
			[]string{"--oom-kill-disable", "false"},
			file("memory.oom_control", "oom_kill_disable 1", "oom_kill_disable 0"),
			refusal("cgroup v2 cannot disable the OOM killer"),
			property{},
			"",
		},
		{
			"limit checked against usage", "memory.checkBeforeUpdate", "memory", `{"memory":{"limit":67108864,"checkBeforeUpdate":true}}`,
			[]string{"--memory", "32m", "--memory-check", "true"},
			file("memory.limit_in_bytes", "67108864", "33554432"),
			file("memory.max", "67108864", "33554432"),
			property{"MemoryMax", "67108864", "33554432"},
			"",
		},
		{
			"kernel memory", "memory.kernel", "memory", `{"memory":{"kernel":33554432}}`,
			[]string{"--kernel-memory", "16m"},
			side{warning: "/linux/resources/memory/kernel: Kernel memory settings are ignored and will be removed"},
			refusal("cgroup v2 has no separate limit for kernel memory"),
			property{},
			"",
		},
		{
			"TCP buffers", "memory.kernelTCP", "memory", `{"memory":{"kernelTCP":33554432}}`,
			[]string{"--kernel-memory-tcp", "16m"},
			file("memory.kmem.tcp.limit_in_bytes", "33554432", "16777216"),
			refusal("cgroup v2 has no separate limit for TCP buffers"),
			property{},
			"",
		},
		{
			"accounting without hierarchy", "memory.useHierarchy", "memory", `{"memory":{"useHierarchy":false}}`, nil,
			side{warning: "/linux/resources/memory/useHierarchy: accounting is always hierarchical"},
			side{warning: "/linux/resources/memory/useHierarchy: accounting is always hierarchical"},
			property{},
			"",
		},
	}
}

func cpuFields() []resourceField {
	return []resourceField{
		{
			"CPU shares", "cpu.shares", "cpu", `{"cpu":{"shares":512}}`,
			[]string{"--cpu-share", "2048"},
			file("cpu.shares", "512", "2048"),
			file("cpu.weight", "59", "174"),
			property{"CPUWeight", "59", "174"},
			"",
		},
		{
			"CPU quota", "cpu.quota", "cpu", `{"cpu":{"quota":50000,"period":200000}}`,
			[]string{"--cpu-quota", "60000"},
			file("cpu.cfs_quota_us", "50000", "60000"),
			file("cpu.max", "50000 200000", "60000 200000"),
			property{"CPUQuotaPerSecUSec", "250ms", "300ms"},
			"",
		},
		{
			"no CPU quota any more", "cpu.quota", "cpu", `{"cpu":{"quota":50000}}`,
			[]string{"--cpu-quota", "-1"},
			file("cpu.cfs_quota_us", "50000", "-1"),
			file("cpu.max", "50000 100000", "max 100000"),
			property{"CPUQuotaPerSecUSec", "500ms", "infinity"},
			"",
		},
		{
			"CPU period", "cpu.period", "cpu", `{"cpu":{"quota":50000,"period":200000}}`,
			[]string{"--cpu-period", "100000"},
			file("cpu.cfs_period_us", "200000", "100000"),
			file("cpu.max", "50000 200000", "50000 100000"),
			property{"CPUQuotaPeriodUSec", "200ms", "100ms"},
			"",
		},
		{
			"CPU burst", "cpu.burst", "cpu", `{"cpu":{"quota":50000,"burst":10000}}`,
			[]string{"--cpu-burst", "20000"},
			file("cpu.cfs_burst_us", "10000", "20000"),
			file("cpu.max.burst", "10000", "20000"),
			property{},
			"",
		},
		{
			"idle", "cpu.idle", "cpu", `{"cpu":{"idle":1}}`,
			[]string{"--cpu-idle", "0"},
			file("cpu.idle", "1", "0"),
			file("cpu.idle", "1", "0"),
			property{"CPUWeight", "idle", "[not set]"},
			"",
		},
		{
			"weight once idle no more", "cpu.shares", "cpu", `{"cpu":{"shares":512,"idle":0}}`,
			[]string{"--cpu-idle", "0"},
			file("cpu.shares", "512", "512"),
			file("cpu.weight", "59", "59"),
			property{"CPUWeight", "59", "59"},
			"",
		},
		{
			"real-time period", "cpu.realtimePeriod", "cpu", `{"cpu":{"realtimePeriod":500000}}`,
			[]string{"--cpu-rt-period", "1000000"},
			file("cpu.rt_period_us", "500000", "1000000"),
			refusal("cgroup v2 has no real-time limits"),
			property{},
			"",
		},
		{
			"real-time runtime", "cpu.realtimeRuntime", "cpu", `{"cpu":{"realtimeRuntime":1000}}`,
			[]string{"--cpu-rt-runtime", "2000"},
			file("cpu.rt_runtime_us", "1000", "2000"),
			refusal("cgroup v2 has no real-time limits"),
			property{},
			"",
		},
		{
			"processors", "cpu.cpus", "cpuset", `{"cpu":{"cpus":"0"}}`,
			[]string{"--cpuset-cpus", "0-1"},
			file("cpuset.cpus", "0", "0-1"),
			file("cpuset.cpus", "0", "0-1"),
			property{"AllowedCPUs", "0", "0-1"},
			"",
		},
		{
			"memory nodes", "cpu.mems", "cpuset", `{"cpu":{"mems":"0"}}`,
			[]string{"--cpuset-mems", "0"},
			file("cpuset.mems", "0", "0"),
			file("cpuset.mems", "0", "0"),
			property{"AllowedMemoryNodes", "0", "0"},
			"",
		},
	}
}

func blockIOFields(d disk) []resourceField {
	const noLeaves = "leaf weights"
	weights, property1 := file("io.weight", "default 1920", "default 2930"), property{"IOWeight", "1920", "2930"}
	devices := file("io.weight", d.name+" 1920", d.name+" 2930")
	if d.bfq == "" {
		// systemd converts 200 and 300 to these values.
		property1 = property{"IOWeight", "1200", "2300"}
		weights, devices = file("io.bfq.weight", "default 200", "default 300"), file("io.bfq.weight", d.name+" 200", d.name+" 300")
	}
	return []resourceField{
		{
			"block I/O weight", "blockIO.weight", "blkio", `{"blockIO":{"weight":200}}`,
			[]string{"--blkio-weight", "300"},
			file("blkio.bfq.weight", "200", "300"), weights, property1, "",
		},
		{
			"block I/O leaf weight", "blockIO.leafWeight", "blkio", `{"blockIO":{"leafWeight":200}}`, nil,
			refusal(noLeaves), refusal(noLeaves),
			property{},
			"",
		},
		{
			"block I/O weight of a device", "blockIO.weightDevice", "blkio",
			fmt.Sprintf(`{"blockIO":{"weightDevice":[{%s,"weight":200}]}}`, d.numbers()),
			[]string{"--blkio-weight-device", d.name + "=300"},
			file("blkio.bfq.weight_device", d.name+" 200", d.name+" 300"), devices,
			property{},
			d.bfq,
		},
		{
			"a weight leaves those of devices", "blockIO.weightDevice", "blkio",
			fmt.Sprintf(`{"blockIO":{"weightDevice":[{%s,"weight":200}]}}`, d.numbers()),
			[]string{"--blkio-weight", "300"},
			file("blkio.bfq.weight_device", d.name+" 200", d.name+" 200"), file(devices.file, devices.created, devices.created),
			property{},
			d.bfq,
		},
		d.throttled("Read", "Bps", "--blkio-read-bps-device", "read_bps_device", "rbps"),
		d.throttled("Write", "Bps", "--blkio-write-bps-device", "write_bps_device", "wbps"),
		d.throttled("Read", "IOPS", "--blkio-read-iops-device", "read_iops_device", "riops"),
		d.throttled("Write", "IOPS", "--blkio-write-iops-device", "write_iops_device", "wiops"),
	}
}

func (d disk) throttled(verb, unit, flag, v1, v2 string) resourceField {
	return resourceField{
		"block I/O " + verb + unit, "blockIO.throttle" + verb + unit + "Device", "blkio",
		fmt.Sprintf(`{"blockIO":{"throttle%s%sDevice":[{%s,"rate":1048576}]}}`, verb, unit, d.numbers()),
		[]string{flag, d.name + "=2m"},
		file("blkio.throttle."+v1, d.name+" 1048576", d.name+" 2097152"),
		file("io.max", v2+"=1048576", v2+"=2097152"),
		property{},
		d.none,
	}
}

func otherFields() []resourceField {
	const v1Only = "invalid configuration: cannot use unified on cgroup v1"
	rdma, noRdma := rdmaDevice()
	return []resourceField{
		{
			"processes", "pids.limit", "pids", `{"pids":{"limit":20}}`,
			[]string{"--pids-limit", "-1"},
			file("pids.max", "20", "max"),
			file("pids.max", "20", "max"),
			property{"TasksMax", "20", "infinity"},
			"",
		},
		{
			"huge pages", "hugepageLimits", "hugetlb", `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`,
			[]string{"--hugepage", "2MB=8m"},
			file("hugetlb.2MB.limit_in_bytes", "4194304", "8388608"),
			file("hugetlb.2MB.max", "4194304", "8388608"),
			property{},
			"",
		},
		{
			"reserved huge pages", "hugepageLimits", "hugetlb", `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`,
			[]string{"--hugepage", "2MB=0"},
			file("hugetlb.2MB.rsvd.limit_in_bytes", "4194304", "0"),
			file("hugetlb.2MB.rsvd.max", "4194304", "0"),
			property{},
			"",
		},
		{
			"network class", "network.classID", "net_cls", `{"network":{"classID":1048577}}`,
			[]string{"--network-class", "0x100002"},
			file("net_cls.classid", "1048577", "1048578"),
			side{program: true},
			property{},
			"",
		},
		{
			"network priority", "network.priorities", "net_prio", `{"network":{"priorities":[{"name":"lo","priority":3}]}}`,
			[]string{"--network-priority", "lo=4"},
			file("net_prio.ifpriomap", "lo 3", "lo 4"),
			side{program: true},
			property{},
			"",
		},
		{
			"RDMA", "rdma", "rdma", fmt.Sprintf(`{"rdma":{"%s":{"hcaHandles":3,"hcaObjects":1000}}}`, rdma),
			[]string{"--rdma", rdma + "=hca_handle=4"},
			file("rdma.max", rdma+" hca_handle=3 hca_object=1000", rdma+" hca_handle=4 hca_object=1000"),
			file("rdma.max", rdma+" hca_handle=3 hca_object=1000", rdma+" hca_handle=4 hca_object=1000"),
			property{},
			noRdma,
		},
		{
			"unified", "unified", "hugetlb", `{"unified":{"hugetlb.2MB.max":"2097152"}}`,
			[]string{"--unified", "hugetlb.2MB.max=6291456"},
			refusal(v1Only),
			file("hugetlb.2MB.max", "2097152", "6291456"),
			property{},
			"",
		},
		{
			"unified, of the core", "unified", "freezer", `{"unified":{"cgroup.max.depth":"3"}}`,
			[]string{"--unified", "cgroup.max.depth=4"},
			refusal(v1Only),
			file("cgroup.max.depth", "3", "4"),
			property{},
			"",
		},
		{
			"unified, of a property", "unified", "memory", `{"unified":{"memory.high":"67108864"}}`,
			[]string{"--unified", "memory.high=33554432"},
			side{},
			file("memory.high", "67108864", "33554432"),
			property{"MemoryHigh", "67108864", "33554432"},
			"",
		},
		{
			"device rules", "devices", "devices", `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]}`,
			[]string{"--device-allow", "c 10:237 r"},
			file("devices.list", "c 10:229 rw", "c 10:237 r"),
			side{}, // an eBPF program; another test covers it
			property{},
			"",
		},
	}
}

// disk is a block device to limit: "7:0".
type disk struct {
	name string
	none string // why there is none
	bfq  string // why it has no scheduler with weights
}

// numbers returns the device's numbers as JSON.
func (d disk) numbers() string {
	major, minor, _ := strings.Cut(d.name, ":")
	return fmt.Sprintf(`"major":%s,"minor":%s`, major, minor)
}

// newDisk creates a loop device for the test. It uses BFQ, the only I/O scheduler with weights, if this kernel has it.
func newDisk(t testing.TB) disk {
	t.Helper()
	without := func(err error) disk { return disk{"0:0", fmt.Sprintf("no loop device: %v", err), "no loop device"} }
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return without(err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return without(err)
	}
	loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
	if err != nil {
		return without(err)
	}
	back := scratch(t)
	if err := back.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_FD, int(back.Fd())); err != nil {
		loop.Close()
		return without(err)
	}
	d := disk{name: fmt.Sprintf("7:%d", n)}
	scheduler := fmt.Sprintf("/sys/block/loop%d/queue/scheduler", n)
	if err := os.WriteFile(scheduler, []byte("bfq"), 0); err != nil {
		d.bfq = fmt.Sprintf("no I/O scheduler with weights: %v", err)
	}
	t.Cleanup(func() {
		os.WriteFile(scheduler, []byte("none"), 0)
		unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0)
		loop.Close()
	})
	return d
}

// rdmaDevice returns an RDMA device, or the reason why the host has none.
func rdmaDevice() (name, none string) {
	devices, _ := filepath.Glob("/sys/class/infiniband/*")
	if len(devices) == 0 {
		return "mlx5_0", "no RDMA device"
	}
	return filepath.Base(devices[0]), ""
}

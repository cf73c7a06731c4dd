package cgroup

// Stats are the statistics of a cgroup. Their JSON is the data of `events --stats`,
// with the field names of runc, which engines parse. Fields that the host's layout
// does not have are 0.
type Stats struct {
	CPU     CPUStats              `json:"cpu"`
	CPUSet  CPUSetStats           `json:"cpuset"`
	Memory  MemoryStats           `json:"memory"`
	Pids    PidsStats             `json:"pids"`
	BlockIO BlockIOStats          `json:"blkio"`
	Hugetlb map[string]HugetlbUse `json:"hugetlb"` // by page size: "2MB"
	Network *NetworkStats         `json:"network_limits,omitempty"`
}

// CPUStats has times in nanoseconds.
type CPUStats struct {
	Usage      CPUUsage   `json:"usage"`
	Throttling Throttling `json:"throttling"`
	Pressure   *Pressures `json:"psi,omitempty"`
}

// CPUUsage is the used CPU time. The lists have one entry for each CPU, on v1 only.
type CPUUsage struct {
	Total        uint64   `json:"total,omitempty"`
	PerCPU       []uint64 `json:"percpu,omitempty"`
	PerCPUKernel []uint64 `json:"percpu_kernel"`
	PerCPUUser   []uint64 `json:"percpu_user"`
	Kernel       uint64   `json:"kernel"`
	User         uint64   `json:"user"`
}

// Throttling is the effect of cpu.quota.
type Throttling struct {
	Periods          uint64 `json:"periods,omitempty"`
	ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
	ThrottledTime    uint64 `json:"throttledTime,omitempty"` // ns
}

// CPUSetStats has the files of the v1 cpuset controller. On v2 it has only CPUs and
// Mems.
type CPUSetStats struct {
	CPUs                  []uint16 `json:"cpus,omitempty"`
	CPUExclusive          uint64   `json:"cpu_exclusive"`
	Mems                  []uint16 `json:"mems,omitempty"`
	MemHardwall           uint64   `json:"mem_hardwall"`
	MemExclusive          uint64   `json:"mem_exclusive"`
	MemoryMigrate         uint64   `json:"memory_migrate"`
	MemorySpreadPage      uint64   `json:"memory_spread_page"`
	MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
	MemoryPressure        uint64   `json:"memory_pressure"`
	SchedLoadBalance      uint64   `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
}

// MemoryStats has sizes in bytes. Swap is memory plus swap, on v2 too.
type MemoryStats struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryUse         `json:"usage"`
	Swap      MemoryUse         `json:"swap"`
	Kernel    MemoryUse         `json:"kernel"`
	KernelTCP MemoryUse         `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"` // memory.stat
	Events    map[string]uint64 `json:"-"`             // memory.events of v2; runc's JSON has none
	Pressure  *Pressures        `json:"psi,omitempty"`
}

// MemoryUse is one kind of memory. A Limit of MaxUint64 means no limit.
type MemoryUse struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// PidsStats counts tasks. A Limit of 0 means no limit.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlockIOStats has counters for each device and operation.
type BlockIOStats struct {
	ServiceBytes []BlockIOEntry `json:"ioServiceBytesRecursive,omitempty"`
	Serviced     []BlockIOEntry `json:"ioServicedRecursive,omitempty"`
	Queued       []BlockIOEntry `json:"ioQueueRecursive,omitempty"`
	ServiceTime  []BlockIOEntry `json:"ioServiceTimeRecursive,omitempty"`
	WaitTime     []BlockIOEntry `json:"ioWaitTimeRecursive,omitempty"`
	Merged       []BlockIOEntry `json:"ioMergedRecursive,omitempty"`
	Time         []BlockIOEntry `json:"ioTimeRecursive,omitempty"`
	Sectors      []BlockIOEntry `json:"sectorsRecursive,omitempty"`
	Pressure     *Pressures     `json:"psi,omitempty"`
}

// BlockIOEntry is one counter: Op is "Read", "Write", "Sync", ..., or "".
type BlockIOEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// HugetlbUse is the number of bytes in huge pages of one size.
type HugetlbUse struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// Stats reads all statistics. It returns an error only if a cgroup cannot be opened.
func (p Paths) Stats() (*Stats, error) {
	s := new(Stats)
	for d := range p.dirs() {
		g, err := openGroup(d.Abs())
		if err != nil {
			return nil, err
		}
		if d.Controllers == nil {
			s.readUnified(stat{g}, p)
			s.Network, _ = networkStats(g) // best effort: bpf(2) needs privilege
		} else {
			s.readV1(stat{g}, d.Controllers)
		}
		g.close()
	}
	return s, nil
}

// readV1 reads the statistics of the controllers of one v1 hierarchy.
func (s *Stats) readV1(f stat, controllers []string) {
	for _, c := range controllers {
		switch c {
		case "cpuacct":
			s.CPU.Usage = f.cpuUsageV1()
		case "cpu":
			s.CPU.Throttling = f.throttlingV1()
		case "cpuset":
			s.CPUSet = f.cpusetV1()
		case "memory":
			s.Memory = f.memoryV1()
		case "pids":
			s.Pids = f.pids()
		case "blkio":
			s.BlockIO = f.blockIOV1()
		case "hugetlb":
			s.Hugetlb = f.hugetlb(false)
		}
	}
}

// readUnified reads the statistics of the cgroup2 cgroup, except for controllers
// that a v1 hierarchy has. It reads pressure in any case.
func (s *Stats) readUnified(f stat, p Paths) {
	v2 := func(controller string) bool {
		d, _ := p.find(controller)
		return d.Controllers == nil
	}
	if v2("cpuacct") {
		s.CPU = f.cpuV2()
	}
	if v2("cpuset") {
		s.CPUSet = f.cpusetV2()
	}
	if v2("memory") {
		s.Memory = f.memoryV2()
	}
	if v2("pids") {
		s.Pids = f.pids()
	}
	if v2("blkio") {
		s.BlockIO = f.blockIOV2()
	}
	if v2("hugetlb") {
		s.Hugetlb = f.hugetlb(true)
	}
	s.CPU.Pressure = f.pressure("cpu.pressure")
	s.Memory.Pressure = f.pressure("memory.pressure")
	s.BlockIO.Pressure = f.pressure("io.pressure")
}

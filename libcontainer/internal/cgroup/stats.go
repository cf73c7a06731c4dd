package cgroup

// Stats is what there is to tell about a cgroup. Its JSON is the data of
// `events --stats`, in the field names of runc, which engines parse. What a
// host's layout does not have is left zero.
type Stats struct {
	CPU     CPUStats              `json:"cpu"`
	CPUSet  CPUSetStats           `json:"cpuset"`
	Memory  MemoryStats           `json:"memory"`
	Pids    PidsStats             `json:"pids"`
	BlockIO BlockIOStats          `json:"blkio"`
	Hugetlb map[string]HugetlbUse `json:"hugetlb"` // by page size: "2MB"
	Network *NetworkStats         `json:"network_limits,omitempty"`
}

// CPUStats are times in nanoseconds.
type CPUStats struct {
	Usage      CPUUsage   `json:"usage"`
	Throttling Throttling `json:"throttling"`
	Pressure   *Pressures `json:"psi,omitempty"`
}

// CPUUsage is time used; the lists are by CPU, and v1 only.
type CPUUsage struct {
	Total        uint64   `json:"total,omitempty"`
	PerCPU       []uint64 `json:"percpu,omitempty"`
	PerCPUKernel []uint64 `json:"percpu_kernel"`
	PerCPUUser   []uint64 `json:"percpu_user"`
	Kernel       uint64   `json:"kernel"`
	User         uint64   `json:"user"`
}

// Throttling is what cpu.quota did.
type Throttling struct {
	Periods          uint64 `json:"periods,omitempty"`
	ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
	ThrottledTime    uint64 `json:"throttledTime,omitempty"` // ns
}

// CPUSetStats are the files of the v1 cpuset controller; on v2 only CPUs and Mems.
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

// MemoryStats are bytes. Swap is memory and swap together, on v2 too.
type MemoryStats struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryUse         `json:"usage"`
	Swap      MemoryUse         `json:"swap"`
	Kernel    MemoryUse         `json:"kernel"`
	KernelTCP MemoryUse         `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"` // memory.stat
	Pressure  *Pressures        `json:"psi,omitempty"`
}

// MemoryUse is one kind of memory. A Limit of MaxUint64 is none.
type MemoryUse struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// PidsStats counts tasks. A Limit of 0 is none.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlockIOStats are counters by device and operation.
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

// HugetlbUse is bytes in pages of one size.
type HugetlbUse struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// Stats reads all of it. An error only if the cgroup is not there.
func (p Paths) Stats() (*Stats, error) {
	s := new(Stats)
	for _, d := range p.dirs() {
		g, err := openGroup(d.Abs())
		if err != nil {
			return nil, err
		}
		if d.Controllers == nil {
			s.readUnified(stat{g}, p)
			s.Network, _ = networkStats(g) // without the right to, there is nothing to tell
		} else {
			s.readV1(stat{g}, d.Controllers)
		}
		g.close()
	}
	return s, nil
}

// readV1 reads what the controllers of one v1 hierarchy tell.
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

// readUnified reads what the cgroup2 cgroup tells, but for what v1 hierarchies
// have. Pressure it has beside these too.
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

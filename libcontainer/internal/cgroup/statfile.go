package cgroup

import (
	"math"
	"strconv"
	"strings"
)

// stat reads statistics of one cgroup. A missing or unreadable value counts as 0:
// the set of files differs between kernels.
type stat struct{ g group }

func (f stat) text(file string) string {
	text, err := f.g.read(file)
	if err != nil {
		return ""
	}
	return text
}

func (f stat) keyed(file string) map[string]uint64 { return flatKeyed(f.text(file)) }

// number returns the number in a file. "max" is MaxUint64.
func (f stat) number(file string) uint64 {
	text := f.text(file)
	if text == "max" {
		return math.MaxUint64
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// numbers returns the numbers in a file.
func (f stat) numbers(file string) []uint64 {
	var ns []uint64
	for _, s := range strings.Fields(f.text(file)) {
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			ns = append(ns, n)
		}
	}
	return ns
}

// list returns a list of CPUs or memory nodes, parsed from text like "0-2,7".
func (f stat) list(file string) []uint16 {
	var list []uint16
	for part := range strings.SplitSeq(f.text(file), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			continue
		}
		to, err := strconv.ParseUint(last, 10, 16)
		if err != nil {
			continue
		}
		for n := from; n <= to; n++ {
			list = append(list, uint16(n))
		}
	}
	return list
}

// Pressures is the content of a pressure file: the time in which some, or all,
// tasks waited.
type Pressures struct {
	Some *Pressure `json:"some,omitempty"`
	Full *Pressure `json:"full,omitempty"`
}

// Pressure is the share of time in percent over the last 10, 60 and 300 seconds,
// and the total time in microseconds.
type Pressure struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"`
}

// pressure reads a pressure file. It returns nil if the kernel has no such file.
func (f stat) pressure(file string) *Pressures {
	text := f.text(file)
	if text == "" {
		return nil
	}
	return parsePressures(text)
}

// parsePressures parses "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" lines.
func parsePressures(text string) *Pressures {
	var ps Pressures
	for line := range strings.SplitSeq(text, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "some":
			ps.Some = parsePressure(rest)
		case "full":
			ps.Full = parsePressure(rest)
		}
	}
	return &ps
}

func parsePressure(s string) *Pressure {
	p := new(Pressure)
	for _, field := range strings.Fields(s) {
		key, value, _ := strings.Cut(field, "=")
		// A value that does not parse stays 0.
		switch key {
		case "avg10":
			p.Avg10, _ = strconv.ParseFloat(value, 64)
		case "avg60":
			p.Avg60, _ = strconv.ParseFloat(value, 64)
		case "avg300":
			p.Avg300, _ = strconv.ParseFloat(value, 64)
		case "total":
			p.Total, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return p
}

// cpuUsageV1 reads the cpuacct controller, which counts nanoseconds.
func (f stat) cpuUsageV1() CPUUsage {
	return CPUUsage{
		Total:        f.number("cpuacct.usage"),
		Kernel:       f.number("cpuacct.usage_sys"),
		User:         f.number("cpuacct.usage_user"),
		PerCPU:       f.numbers("cpuacct.usage_percpu"),
		PerCPUKernel: f.numbers("cpuacct.usage_percpu_sys"),
		PerCPUUser:   f.numbers("cpuacct.usage_percpu_user"),
	}
}

func (f stat) throttlingV1() Throttling {
	k := f.keyed("cpu.stat")
	return Throttling{k["nr_periods"], k["nr_throttled"], k["throttled_time"]}
}

// cpuV2 reads cpu.stat, which counts microseconds.
func (f stat) cpuV2() CPUStats {
	k := f.keyed("cpu.stat")
	const ns = 1000
	return CPUStats{
		Usage:      CPUUsage{Total: k["usage_usec"] * ns, Kernel: k["system_usec"] * ns, User: k["user_usec"] * ns},
		Throttling: Throttling{k["nr_periods"], k["nr_throttled"], k["throttled_usec"] * ns},
	}
}

func (f stat) cpusetV1() CPUSetStats {
	level, err := strconv.ParseInt(f.text("cpuset.sched_relax_domain_level"), 10, 64)
	if err != nil {
		level = -1 // the kernel's default
	}
	return CPUSetStats{
		CPUs:                  f.list("cpuset.cpus"),
		CPUExclusive:          f.number("cpuset.cpu_exclusive"),
		Mems:                  f.list("cpuset.mems"),
		MemHardwall:           f.number("cpuset.mem_hardwall"),
		MemExclusive:          f.number("cpuset.mem_exclusive"),
		MemoryMigrate:         f.number("cpuset.memory_migrate"),
		MemorySpreadPage:      f.number("cpuset.memory_spread_page"),
		MemorySpreadSlab:      f.number("cpuset.memory_spread_slab"),
		MemoryPressure:        f.number("cpuset.memory_pressure"),
		SchedLoadBalance:      f.number("cpuset.sched_load_balance"),
		SchedRelaxDomainLevel: level,
	}
}

func (f stat) cpusetV2() CPUSetStats {
	return CPUSetStats{CPUs: f.list("cpuset.cpus.effective"), Mems: f.list("cpuset.mems.effective")}
}

func (f stat) memoryV1() MemoryStats {
	use := func(prefix string) MemoryUse {
		return MemoryUse{
			Limit:   f.number(prefix + "limit_in_bytes"),
			Usage:   f.number(prefix + "usage_in_bytes"),
			Max:     f.number(prefix + "max_usage_in_bytes"),
			Failcnt: f.number(prefix + "failcnt"),
		}
	}
	raw := f.keyed("memory.stat")
	return MemoryStats{
		Cache:     raw["cache"],
		Usage:     use("memory."),
		Swap:      use("memory.memsw."),
		Kernel:    use("memory.kmem."),
		KernelTCP: use("memory.kmem.tcp."),
		Raw:       raw,
	}
}

func (f stat) memoryV2() MemoryStats {
	if !f.g.has("memory.current") {
		return MemoryStats{}
	}
	raw, events := f.keyed("memory.stat"), f.keyed("memory.events")
	m := MemoryStats{
		Cache: raw["file"],
		Usage: MemoryUse{
			Limit:   f.number("memory.max"),
			Usage:   f.number("memory.current"),
			Max:     f.number("memory.peak"),
			Failcnt: events["max"],
		},
		Raw:    raw,
		Events: events,
	}
	if f.g.has("memory.swap.current") {
		m.Swap = MemoryUse{
			Limit: saturate(f.number("memory.swap.max"), m.Usage.Limit),
			Usage: f.number("memory.swap.current") + m.Usage.Usage,
		}
	}
	return m
}

// saturate adds two limits. The sum is MaxUint64 (no limit) if either one is.
func saturate(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func (f stat) pids() PidsStats {
	limit := f.number("pids.max")
	if limit == math.MaxUint64 {
		limit = 0
	}
	return PidsStats{Current: f.number("pids.current"), Limit: limit}
}

// blockIOV1 reads the counters of the I/O scheduler if it has any (BFQ, and CFQ
// until Linux 5.0). Otherwise it reads those of throttling, which always exist.
func (f stat) blockIOV1() BlockIOStats {
	for _, prefix := range []string{"blkio.bfq.", "blkio."} {
		entries := func(file string) []BlockIOEntry { return parseBlkio(f.text(prefix + file)) }
		if bytes := entries("io_service_bytes_recursive"); bytes != nil {
			return BlockIOStats{
				ServiceBytes: bytes,
				Serviced:     entries("io_serviced_recursive"),
				Queued:       entries("io_queued_recursive"),
				ServiceTime:  entries("io_service_time_recursive"),
				WaitTime:     entries("io_wait_time_recursive"),
				Merged:       entries("io_merged_recursive"),
				Time:         entries("time_recursive"),
				Sectors:      entries("sectors_recursive"),
			}
		}
	}
	return BlockIOStats{
		ServiceBytes: parseBlkio(f.text("blkio.throttle.io_service_bytes_recursive")),
		Serviced:     parseBlkio(f.text("blkio.throttle.io_serviced_recursive")),
	}
}

// parseBlkio parses "8:0 Read 4096" lines. Some files have no operation. The last
// line is the total and has no device.
func parseBlkio(text string) []BlockIOEntry {
	var es []BlockIOEntry
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		if len(f) < 2 || len(f) > 3 {
			continue
		}
		var e BlockIOEntry
		if !e.device(f[0]) {
			continue
		}
		if len(f) == 3 {
			e.Op = f[1]
		}
		n, err := strconv.ParseUint(f[len(f)-1], 10, 64)
		if err != nil {
			continue
		}
		e.Value = n
		es = append(es, e)
	}
	return es
}

// device parses "8:0".
func (e *BlockIOEntry) device(s string) bool {
	major, minor, ok := strings.Cut(s, ":")
	if !ok {
		return false
	}
	var err1, err2 error
	e.Major, err1 = strconv.ParseUint(major, 10, 32)
	e.Minor, err2 = strconv.ParseUint(minor, 10, 32)
	return err1 == nil && err2 == nil
}

func (f stat) blockIOV2() BlockIOStats { return parseIOStat(f.text("io.stat")) }

// parseIOStat parses io.stat into the tables of v1:
//
//	8:0 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0
func parseIOStat(text string) BlockIOStats {
	var s BlockIOStats
	for line := range strings.SplitSeq(text, "\n") {
		dev, rest, _ := strings.Cut(line, " ")
		var e BlockIOEntry
		if !e.device(dev) {
			continue
		}
		for _, field := range strings.Fields(rest) {
			key, value, _ := strings.Cut(field, "=")
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				continue
			}
			e.Value = n
			s.add(key, e)
		}
	}
	return s
}

func (s *BlockIOStats) add(key string, e BlockIOEntry) {
	switch key {
	case "rbytes", "rios":
		e.Op = "Read"
	case "wbytes", "wios":
		e.Op = "Write"
	case "dbytes", "dios":
		e.Op = "Discard"
	default:
		return
	}
	if strings.HasSuffix(key, "bytes") {
		s.ServiceBytes = append(s.ServiceBytes, e)
	} else {
		s.Serviced = append(s.Serviced, e)
	}
}

// hugetlb reads the usage of each huge page size of the host.
func (f stat) hugetlb(v2 bool) map[string]HugetlbUse {
	uses := make(map[string]HugetlbUse)
	for _, size := range hugepageSizes() {
		prefix := "hugetlb." + size + "."
		switch {
		case v2 && f.g.has(prefix+"current"):
			uses[size] = HugetlbUse{Usage: f.number(prefix + "current"), Failcnt: f.keyed(prefix + "events")["max"]}
		case !v2 && f.g.has(prefix+"usage_in_bytes"):
			uses[size] = HugetlbUse{
				Usage:   f.number(prefix + "usage_in_bytes"),
				Max:     f.number(prefix + "max_usage_in_bytes"),
				Failcnt: f.number(prefix + "failcnt"),
			}
		}
	}
	if len(uses) == 0 {
		return nil
	}
	return uses
}

// hugepageSizes returns the host's sizes as spelled in file names: "64KB", "2MB",
// "1GB".
func hugepageSizes() []string {
	g, err := openGroup("/sys/kernel/mm/hugepages")
	if err != nil {
		return nil
	}
	defer g.close()
	names, err := g.children()
	if err != nil {
		return nil
	}
	var sizes []string
	for _, name := range names {
		kb := strings.TrimSuffix(strings.TrimPrefix(name, "hugepages-"), "kB")
		if n, err := strconv.ParseUint(kb, 10, 64); err == nil {
			sizes = append(sizes, pageSize(n))
		}
	}
	return sizes
}

// pageSize spells a size in KiB as the kernel's hugetlb_cgroup does.
func pageSize(kb uint64) string {
	switch {
	case kb >= 1<<20:
		return strconv.FormatUint(kb>>20, 10) + "GB"
	case kb >= 1<<10:
		return strconv.FormatUint(kb>>10, 10) + "MB"
	}
	return strconv.FormatUint(kb, 10) + "KB"
}

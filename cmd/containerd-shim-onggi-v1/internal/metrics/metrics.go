// Package metrics converts the statistics of a container to containerd's messages: one for
// cgroup v1 and the hybrid layout, one for cgroup v2.
package metrics

import (
	"math"
	"os"
	"sort"
	"strconv"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// IsUnified reports whether the host has only cgroup v2.
func IsUnified() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// Pack returns the statistics with their type URL.
func Pack(s *libcontainer.Stats, unified bool) (*wire.Any, error) {
	if unified {
		return wire.Pack(wire.TypeMetrics2, v2(s))
	}
	return wire.Pack(wire.TypeMetrics1, v1(s))
}

func interfaces(s *libcontainer.Stats) []*wire.Interface {
	all := make([]*wire.Interface, 0, len(s.Interfaces))
	for _, i := range s.Interfaces {
		all = append(all, &wire.Interface{
			Name:    i.Name,
			RxBytes: i.RxBytes, RxPackets: i.RxPackets, RxErrors: i.RxErrors, RxDropped: i.RxDropped,
			TxBytes: i.TxBytes, TxPackets: i.TxPackets, TxErrors: i.TxErrors, TxDropped: i.TxDropped,
		})
	}
	return all
}

// pageSizes returns the sizes of huge pages in a fixed order.
func pageSizes(s *libcontainer.Stats) []string {
	sizes := make([]string, 0, len(s.Hugetlb))
	for size := range s.Hugetlb {
		sizes = append(sizes, size)
	}
	sort.Strings(sizes)
	return sizes
}

func pids(s *libcontainer.Stats) *wire.PidsUse {
	return &wire.PidsUse{Current: s.Pids.Current, Limit: s.Pids.Limit}
}

func v1(s *libcontainer.Stats) *wire.Metrics1 {
	m := &wire.Metrics1{
		Pids: pids(s),
		Cpu: &wire.CPU1{
			Usage: &wire.CPUUse{Total: s.CPU.Usage.Total, Kernel: s.CPU.Usage.Kernel, User: s.CPU.Usage.User, PerCpu: s.CPU.Usage.PerCPU},
			Throttling: &wire.Throttle{
				Periods: s.CPU.Throttling.Periods, ThrottledPeriods: s.CPU.Throttling.ThrottledPeriods, ThrottledTime: s.CPU.Throttling.ThrottledTime,
			},
		},
		Memory: memory1(&s.Memory),
		Blkio: &wire.BlkIO{
			IoServiceBytesRecursive: blkio(s.BlockIO.ServiceBytes), IoServicedRecursive: blkio(s.BlockIO.Serviced),
			IoQueuedRecursive: blkio(s.BlockIO.Queued), IoServiceTimeRecursive: blkio(s.BlockIO.ServiceTime),
			IoWaitTimeRecursive: blkio(s.BlockIO.WaitTime), IoMergedRecursive: blkio(s.BlockIO.Merged),
			IoTimeRecursive: blkio(s.BlockIO.Time), SectorsRecursive: blkio(s.BlockIO.Sectors),
		},
		Network: interfaces(s),
	}
	for _, size := range pageSizes(s) {
		h := s.Hugetlb[size]
		m.Hugetlb = append(m.Hugetlb, &wire.Hugetlb1{Usage: h.Usage, Max: h.Max, Failcnt: h.Failcnt, Pagesize: size})
	}
	return m
}

func blkio(entries []libcontainer.BlockIOEntry) []*wire.BlkIOUse {
	all := make([]*wire.BlkIOUse, 0, len(entries))
	for _, e := range entries {
		all = append(all, &wire.BlkIOUse{Op: e.Op, Device: device(e.Major, e.Minor), Major: e.Major, Minor: e.Minor, Value: e.Value})
	}
	return all
}

// device returns the path of a block device, or "" if it has none.
func device(major, minor uint64) string {
	name, err := os.Readlink("/sys/dev/block/" + strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10))
	if err != nil {
		return ""
	}
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return "/dev/" + name[i+1:]
		}
	}
	return ""
}

func memory1(m *libcontainer.MemoryStats) *wire.Memory1 {
	raw := func(name string) uint64 { return m.Raw[name] }
	use := func(u libcontainer.MemoryUse) *wire.MemoryUse {
		return &wire.MemoryUse{Limit: u.Limit, Usage: u.Usage, Max: u.Max, Failcnt: u.Failcnt}
	}
	return &wire.Memory1{
		Cache: raw("cache"), Rss: raw("rss"), RssHuge: raw("rss_huge"), MappedFile: raw("mapped_file"), Dirty: raw("dirty"), Writeback: raw("writeback"),
		PgPgIn: raw("pgpgin"), PgPgOut: raw("pgpgout"), PgFault: raw("pgfault"), PgMajFault: raw("pgmajfault"),
		InactiveAnon: raw("inactive_anon"), ActiveAnon: raw("active_anon"), InactiveFile: raw("inactive_file"), ActiveFile: raw("active_file"),
		Unevictable: raw("unevictable"), HierarchicalMemoryLimit: raw("hierarchical_memory_limit"), HierarchicalSwapLimit: raw("hierarchical_memsw_limit"),
		TotalCache: raw("total_cache"), TotalRss: raw("total_rss"), TotalRssHuge: raw("total_rss_huge"), TotalMappedFile: raw("total_mapped_file"),
		TotalDirty: raw("total_dirty"), TotalWriteback: raw("total_writeback"), TotalPgPgIn: raw("total_pgpgin"), TotalPgPgOut: raw("total_pgpgout"),
		TotalPgFault: raw("total_pgfault"), TotalPgMajFault: raw("total_pgmajfault"), TotalInactiveAnon: raw("total_inactive_anon"),
		TotalActiveAnon: raw("total_active_anon"), TotalInactiveFile: raw("total_inactive_file"), TotalActiveFile: raw("total_active_file"),
		TotalUnevictable: raw("total_unevictable"),
		Usage:            use(m.Usage), Swap: use(m.Swap), Kernel: use(m.Kernel), KernelTcp: use(m.KernelTCP),
	}
}

func v2(s *libcontainer.Stats) *wire.Metrics2 {
	const ns = 1000 // per microsecond
	m := &wire.Metrics2{
		Pids: pids(s),
		Cpu: &wire.CPU2{
			UsageUsec: s.CPU.Usage.Total / ns, UserUsec: s.CPU.Usage.User / ns, SystemUsec: s.CPU.Usage.Kernel / ns,
			NrPeriods: s.CPU.Throttling.Periods, NrThrottled: s.CPU.Throttling.ThrottledPeriods, ThrottledUsec: s.CPU.Throttling.ThrottledTime / ns,
			Psi: psi(s.CPU.Pressure),
		},
		Memory:  memory2(&s.Memory),
		Io:      &wire.IO{Usage: io(s.BlockIO), Psi: psi(s.BlockIO.Pressure)},
		Network: interfaces(s),
	}
	if e := s.Memory.Events; e != nil {
		m.MemoryEvents = &wire.MemoryEvents{
			Low: e["low"], High: e["high"], Max: e["max"], Oom: e["oom"], OomKill: e["oom_kill"], OomGroupKill: e["oom_group_kill"],
		}
	}
	for _, size := range pageSizes(s) {
		h := s.Hugetlb[size]
		m.Hugetlb = append(m.Hugetlb, &wire.Hugetlb2{Current: h.Usage, Max: h.Max, Pagesize: size, Failcnt: h.Failcnt})
	}
	return m
}

func psi(p *libcontainer.Pressures) *wire.PSI {
	if p == nil {
		return nil
	}
	return &wire.PSI{Some: stall(p.Some), Full: stall(p.Full)}
}

func stall(p *libcontainer.Pressure) *wire.Stall {
	if p == nil {
		return nil
	}
	return &wire.Stall{Avg10: p.Avg10, Avg60: p.Avg60, Avg300: p.Avg300, Total: p.Total}
}

// io sums up the operations of each device.
func io(s libcontainer.BlockIOStats) []*wire.IOUse {
	var all []*wire.IOUse
	find := func(e libcontainer.BlockIOEntry) *wire.IOUse {
		for _, u := range all {
			if u.Major == e.Major && u.Minor == e.Minor {
				return u
			}
		}
		all = append(all, &wire.IOUse{Major: e.Major, Minor: e.Minor})
		return all[len(all)-1]
	}
	for _, e := range s.ServiceBytes {
		switch e.Op {
		case "Read":
			find(e).Rbytes = e.Value
		case "Write":
			find(e).Wbytes = e.Value
		}
	}
	for _, e := range s.Serviced {
		switch e.Op {
		case "Read":
			find(e).Rios = e.Value
		case "Write":
			find(e).Wios = e.Value
		}
	}
	return all
}

func memory2(m *libcontainer.MemoryStats) *wire.Memory2 {
	raw := func(name string) uint64 { return m.Raw[name] }
	// In the library's statistics, swap includes memory; in containerd's message it does not.
	swap := func(both, memory uint64) uint64 {
		if both == math.MaxUint64 || both < memory {
			return both
		}
		return both - memory
	}
	return &wire.Memory2{
		Anon: raw("anon"), File: raw("file"), KernelStack: raw("kernel_stack"), Slab: raw("slab"), Sock: raw("sock"), Shmem: raw("shmem"),
		FileMapped: raw("file_mapped"), FileDirty: raw("file_dirty"), FileWriteback: raw("file_writeback"), AnonThp: raw("anon_thp"),
		InactiveAnon: raw("inactive_anon"), ActiveAnon: raw("active_anon"), InactiveFile: raw("inactive_file"), ActiveFile: raw("active_file"),
		Unevictable: raw("unevictable"), SlabReclaimable: raw("slab_reclaimable"), SlabUnreclaimable: raw("slab_unreclaimable"),
		Pgfault: raw("pgfault"), Pgmajfault: raw("pgmajfault"), WorkingsetRefault: raw("workingset_refault_anon") + raw("workingset_refault_file"),
		WorkingsetActivate:    raw("workingset_activate_anon") + raw("workingset_activate_file"),
		WorkingsetNodereclaim: raw("workingset_nodereclaim"), Pgrefill: raw("pgrefill"), Pgscan: raw("pgscan"), Pgsteal: raw("pgsteal"),
		Pgactivate: raw("pgactivate"), Pgdeactivate: raw("pgdeactivate"), Pglazyfree: raw("pglazyfree"), Pglazyfreed: raw("pglazyfreed"),
		ThpFaultAlloc: raw("thp_fault_alloc"), ThpCollapseAlloc: raw("thp_collapse_alloc"),
		Usage: m.Usage.Usage, UsageLimit: m.Usage.Limit, MaxUsage: m.Usage.Max,
		SwapUsage: swap(m.Swap.Usage, m.Usage.Usage), SwapLimit: swap(m.Swap.Limit, m.Usage.Limit), Psi: psi(m.Pressure),
	}
}

package libcontainer

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/resctrl"
)

// Stats is what a container uses. Its JSON is the data of the "stats" events,
// in the field names of runc, which engines parse. What a host's cgroup layout
// does not tell is zero.
type Stats struct {
	CPU        CPUStats              `json:"cpu"`
	CPUSet     CPUSetStats           `json:"cpuset"`
	Memory     MemoryStats           `json:"memory"`
	Pids       PidsStats             `json:"pids"`
	BlockIO    BlockIOStats          `json:"blkio"`
	Hugetlb    map[string]HugetlbUse `json:"hugetlb"`                  // by page size: "2MB"
	IntelRdt   IntelRdtStats         `json:"intel_rdt"`                // of the container's class of service, if it has one
	Interfaces []InterfaceStats      `json:"network_interfaces"`       // of the container's own network namespace
	Network    *NetworkStats         `json:"network_limits,omitempty"` // where its bandwidth is limited
}

// The parts of Stats.
type (
	CPUStats     = cgroup.CPUStats
	CPUUsage     = cgroup.CPUUsage
	Throttling   = cgroup.Throttling
	CPUSetStats  = cgroup.CPUSetStats
	MemoryStats  = cgroup.MemoryStats
	MemoryUse    = cgroup.MemoryUse
	PidsStats    = cgroup.PidsStats
	BlockIOStats = cgroup.BlockIOStats
	BlockIOEntry = cgroup.BlockIOEntry
	HugetlbUse   = cgroup.HugetlbUse
	Pressures    = cgroup.Pressures
	Pressure     = cgroup.Pressure

	NetworkStats   = cgroup.NetworkStats
	BandwidthStats = cgroup.BandwidthStats

	IntelRdtStats = resctrl.Stats
)

// InterfaceStats counts what went through one network interface. The names are
// runc's, capitals included.
type InterfaceStats struct {
	Name      string
	RxBytes   uint64
	RxPackets uint64
	RxErrors  uint64
	RxDropped uint64
	TxBytes   uint64
	TxPackets uint64
	TxErrors  uint64
	TxDropped uint64
}

// Stats reads what the container uses now. ErrNotRunning where nothing lives.
func (c *Container) Stats() (_ *Stats, err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	return c.stats()
}

func (c *Container) stats() (*Stats, error) {
	pidfd, err := c.open()
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	if err := c.checkOwn(); err != nil {
		return nil, err
	}
	s, err := c.cgroups().Stats()
	if err != nil {
		return nil, err
	}
	return &Stats{
		CPU: s.CPU, CPUSet: s.CPUSet, Memory: s.Memory, Pids: s.Pids, BlockIO: s.BlockIO, Hugetlb: s.Hugetlb,
		IntelRdt: c.IntelRdt(), Interfaces: interfaces(c.record.Init.Pid, pidfd),
		Network: s.Network,
	}, nil
}

// interfaces are those of the process's network namespace if that is its own;
// none where they cannot be known.
func interfaces(pid int, pidfd *os.File) []InterfaceStats {
	dir := "/proc/" + strconv.Itoa(pid)
	var own, host unix.Stat_t
	if unix.Stat(dir+"/ns/net", &own) != nil || unix.Stat("/proc/self/ns/net", &host) != nil || own.Ino == host.Ino {
		return nil
	}
	text, err := os.ReadFile(dir + "/net/dev")
	// The pid was that of the process all the time if it has not ended now.
	if ended, e := proc.Ended(pidfd); err != nil || e != nil || ended {
		return nil
	}
	return parseInterfaces(text)
}

// parseInterfaces parses /proc/PID/net/dev: two lines of headings, then
//
//	eth0: 1296 16 0 0 0 0 0 0 816 12 0 0 0 0 0 0
//
// bytes, packets, errors, drops and four more of what was received, then sent.
func parseInterfaces(text []byte) []InterfaceStats {
	var all []InterfaceStats
	for line := range bytes.Lines(text) {
		name, counters, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		var n [16]uint64
		fields := strings.Fields(counters)
		if len(fields) < len(n) {
			continue
		}
		for i := range n {
			n[i], _ = strconv.ParseUint(fields[i], 10, 64) // the kernel writes numbers
		}
		all = append(all, InterfaceStats{
			Name:    strings.TrimSpace(name),
			RxBytes: n[0], RxPackets: n[1], RxErrors: n[2], RxDropped: n[3],
			TxBytes: n[8], TxPackets: n[9], TxErrors: n[10], TxDropped: n[11],
		})
	}
	return all
}

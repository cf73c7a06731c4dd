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

// Stats is the resource usage of a container. Its JSON is the data of "stats" events and has
// the field names of runc, which engines parse. A value that the host's cgroup layout does
// not provide is zero.
type Stats struct {
	CPU        CPUStats              `json:"cpu"`
	CPUSet     CPUSetStats           `json:"cpuset"`
	Memory     MemoryStats           `json:"memory"`
	Pids       PidsStats             `json:"pids"`
	BlockIO    BlockIOStats          `json:"blkio"`
	Hugetlb    map[string]HugetlbUse `json:"hugetlb"`                  // by page size: "2MB"
	IntelRdt   IntelRdtStats         `json:"intel_rdt"`                // of the container's class of service; empty without one
	Interfaces []InterfaceStats      `json:"network_interfaces"`       // of the container's own network namespace
	Network    *NetworkStats         `json:"network_limits,omitempty"` // nil unless its bandwidth is limited
}

// The types of the parts of Stats.
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

// InterfaceStats is the traffic of one network interface: bytes, packets, errors and drops,
// received and sent. The JSON names are runc's, capitals included.
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

// Stats reads the present resource usage of the container. The error is ErrNotRunning if its
// first process does not live.
func (c *Container) Stats() (_ *Stats, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
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

// interfaces returns the interfaces of the process's network namespace. It returns none if
// that is the caller's namespace, or if the interfaces cannot be read.
func interfaces(pid int, pidfd *os.File) []InterfaceStats {
	dir := "/proc/" + strconv.Itoa(pid)
	var own, host unix.Stat_t
	if unix.Stat(dir+"/ns/net", &own) != nil || unix.Stat("/proc/self/ns/net", &host) != nil || own.Ino == host.Ino {
		return nil
	}
	text, err := os.ReadFile(dir + "/net/dev")
	// If the process has not ended by now, the pid was its pid all the time.
	if ended, e := proc.Ended(pidfd); err != nil || e != nil || ended {
		return nil
	}
	return parseInterfaces(text)
}

// parseInterfaces parses /proc/PID/net/dev. After two lines of headings it has one line for
// each interface:
//
//	eth0: 1296 16 0 0 0 0 0 0 816 12 0 0 0 0 0 0
//
// The first eight numbers are about received data: bytes, packets, errors, drops and four
// more. The other eight are the same for sent data.
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

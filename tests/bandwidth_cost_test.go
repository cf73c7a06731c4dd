package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BenchmarkBandwidthCost measures the processor time of a limit. It sends TCP flows of 1 Gbit/s over veth, in turn
// without limits, with a limit in both directions that lets them pass, and with the kernel's statistics of the programs
// switched on.
//
// Two measures do not depend on other work of the machine: the processor time of both containers' cgroups, and the time
// inside the programs. The third is the processor time of the whole machine. It is only meaningful on a quiet machine.
func BenchmarkBandwidthCost(b *testing.B) {
	needUnified(b)
	peer := newContainer(b, args("sleep", "1000"))
	peer.up()
	p := newPair(b, peer, 1)
	const rounds, d = 10, 3 * time.Second
	for _, s := range []stream{{protocol: "tcp", flows: 1, bits: 1e9}, {protocol: "tcp", flows: 1, bits: 1e9, inward: true}} {
		b.Run(s.String(), func(b *testing.B) {
			var without, with costs
			var inside []float64
			for range rounds {
				p.limit(b, "-1")
				one, _ := p.cost(b, s, d)
				without.add(one)
				p.limit(b, "20gbit")
				one, _ = p.cost(b, s, d)
				with.add(one)
				off := programStatistics(b)
				before := p.limited.programTime(b)
				one, gigabits := p.cost(b, s, d)
				inside = append(inside, (p.limited.programTime(b)-before)/(one.cgroups*gigabits))
				off()
			}
			b.Logf("processor time in ms for a gigabit: %.1f without a limit, %.1f with it; of the machine: %.0f, %.0f",
				1e3*middle(without.cgroups), 1e3*middle(with.cgroups), 1e3*middle(without.machine), 1e3*middle(with.machine))
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(100*middle(inside), "%-inside-programs")
			b.ReportMetric(100*(middle(with.cgroups)/middle(without.cgroups)-1), "%-of-cgroups")
			b.ReportMetric(100*(middle(with.machine)/middle(without.machine)-1), "%-of-machine")
		})
	}
}

func middle(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// limit sets both limits of the limited container, or removes them.
func (p pair) limit(b *testing.B, rate string) {
	b.Helper()
	p.limited.must("update", "--network-egress="+rate, "--network-ingress="+rate, p.limited.id)
}

// cost is the processor time of one flow, in seconds for each gigabit that has arrived.
type cost struct{ cgroups, machine float64 }

type costs struct{ cgroups, machine []float64 }

func (c *costs) add(one cost) {
	c.cgroups, c.machine = append(c.cgroups, one.cgroups), append(c.machine, one.machine)
}

// cost measures a flow and the processor time of the processes at its ends. On a busy machine a flow may be slower than
// requested. Then fewer bits have taken the processor time.
func (p pair) cost(b *testing.B, s stream, d time.Duration) (c cost, gigabits float64) {
	b.Helper()
	read := func() cost { return cost{p.limited.busy(b) + p.peer.busy(b), machineBusy(b)} }
	before := read()
	m := p.begin(b, s, d).end()
	after := read()
	if rate := m.rate(500, float64(d.Milliseconds())); rate < 0.6*float64(s.bits) {
		b.Errorf("%.0f bit/s; want at least six tenths of %d", rate, s.bits)
	}
	gigabits = m.samples[len(m.samples)-1][1] * 8 / 1e9
	return cost{(after.cgroups - before.cgroups) / gigabits, (after.machine - before.machine) / gigabits}, gigabits
}

// unifiedDir returns the container's cgroup2 cgroup.
func (c *container) unifiedDir() string {
	for _, h := range hierarchies() {
		if h.unified {
			return filepath.Join(h.mountpoint, c.cgroup)
		}
	}
	return ""
}

// busy returns the processor time of the container's processes so far. Every cgroup2 cgroup counts it.
func (c *container) busy(t testing.TB) float64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.unifiedDir(), "cpu.stat"))
	var us float64
	if err == nil {
		_, err = fmt.Sscanf(string(data), "usage_usec %g", &us)
	}
	if err != nil {
		t.Fatal(err)
	}
	return us / 1e6
}

// machineBusy returns the processor time of the machine, without idle and stolen time: fields 4, 5 and 8 of /proc/stat.
func machineBusy(t testing.TB) float64 {
	t.Helper()
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	var ticks int
	for i, n := range strings.Fields(line)[1:8] {
		if i != 3 && i != 4 {
			ticks += atoi(t, n)
		}
	}
	return float64(ticks) / 100 // USER_HZ
}

// programStatistics makes the kernel count the time of programs until the caller calls the returned function.
func programStatistics(t testing.TB) (off func()) {
	t.Helper()
	attr := struct{ kind uint32 }{unix.BPF_STATS_RUN_TIME}
	fd := bpf(t, unix.BPF_ENABLE_STATS, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return func() { unix.Close(fd) }
}

func bpf(t testing.TB, command uintptr, attr unsafe.Pointer, size uintptr) int {
	t.Helper()
	fd, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
	if errno != 0 {
		t.Fatalf("bpf(%d): %v", command, errno)
	}
	return int(fd)
}

// programTime returns the seconds that the programs of the container's cgroup have used.
func (c *container) programTime(t testing.TB) (seconds float64) {
	t.Helper()
	dir, err := unix.Open(c.unifiedDir(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	for _, place := range []uint32{unix.BPF_CGROUP_INET_EGRESS, unix.BPF_CGROUP_INET_INGRESS} {
		var id uint32
		query := struct {
			target, place, queryFlags, attachFlags uint32
			ids                                    uint64
			count                                  uint32
			_                                      uint32
		}{target: uint32(dir), place: place, ids: uint64(uintptr(unsafe.Pointer(&id))), count: 1}
		bpf(t, unix.BPF_PROG_QUERY, unsafe.Pointer(&query), unsafe.Sizeof(query))
		open := struct{ id, next, flags uint32 }{id: id}
		fd := bpf(t, unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&open), unsafe.Sizeof(open))
		data, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
		unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		seconds += float64(atoi(t, field(string(data), "run_time_ns"))) / 1e9
	}
	return seconds
}

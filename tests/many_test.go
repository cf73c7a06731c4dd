package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// crowd is a set of containers with one bundle, one state root and one parent cgroup.
type crowd struct {
	*container
	above string
	n     int
	pids  []int // first processes, which the test reaps
}

func newCrowd(t testing.TB) *crowd {
	t.Helper()
	needCgroupfs(t)
	c := &crowd{container: newContainer(t, args("sleep", "1000"))}
	c.above = c.cgroup
	t.Cleanup(func() {
		for n := range c.n {
			c.verb("delete", "--force", c.name(n))
		}
		for _, h := range hierarchies() {
			removeCgroup(filepath.Join(h.mountpoint, c.above))
		}
	})
	return c
}

func (c *crowd) name(n int) string { return fmt.Sprintf("%s-%04d", c.id, n) }

// next writes the configuration of one more container and returns the command line that creates it.
func (c *crowd) next() []string {
	c.t.Helper()
	name := c.name(c.n)
	c.n++
	c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = filepath.Join(c.above, name) })
	return []string{"create", "--bundle", c.bundle, "--pid-file", filepath.Join(c.bundle, "pid"), name}
}

// more creates one more container and returns the time that it took.
func (c *crowd) more() time.Duration {
	c.t.Helper()
	took := c.must(c.next()...).took
	data, err := os.ReadFile(filepath.Join(c.bundle, "pid"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.pids = append(c.pids, atoi(c.t, string(data)))
	return took
}

// less deletes the n-th container and returns the time for it.
func (c *crowd) less(n int) time.Duration {
	c.t.Helper()
	took := c.must("delete", "--force", c.name(n)).took
	syscall.Wait4(c.pids[n], nil, 0, nil)
	return took
}

// asItComes lists waiting calls, and calls of Go's scheduler. Their number depends on the load of the machine.
var asItComes = strings.Fields(`futex epoll_pwait epoll_ctl epoll_create1 eventfd2 nanosleep sched_yield tgkill getpid gettid rt_sigreturn
	rt_sigprocmask rt_sigaction sigaltstack madvise mmap munmap clone clone3 restart_syscall exit set_robust_list rseq
	rt_sigpending mprotect total sched_getaffinity write read timer_create timer_settime timer_delete ppoll poll
	pidfd_send_signal kill`)

// calls returns the number of the runtime's own system calls, without those of asItComes.
func (c *crowd) calls(line ...string) (total int, by map[string]int) {
	c.t.Helper()
	report := filepath.Join(c.bundle, "strace")
	tool, err := exec.LookPath("strace")
	if err != nil {
		c.t.Skip(err)
	}
	c.wrapper = []string{tool, "-f", "--detach-on=execve", "-c", "-U", "calls,name", "-o", report}
	defer func() { c.wrapper = nil }()
	c.must(line...)
	data, err := os.ReadFile(report)
	if err != nil {
		c.t.Fatal(err)
	}
	by = map[string]int{}
	for line := range bytes.Lines(data) {
		f := strings.Fields(string(line))
		if len(f) != 2 {
			continue
		}
		if n, err := strconv.Atoi(f[0]); err == nil && !slices.Contains(asItComes, f[1]) {
			by[f[1]] = n
			total += n
		}
	}
	return total, by
}

// The work of create and delete does not depend on the number of other containers.
func TestAmongManyContainers(t *testing.T) {
	c := newCrowd(t)
	c.more() // also creates the parent cgroup
	first, firstBy := c.calls(c.next()...)
	gone, goneBy := c.calls("delete", "--force", c.name(1))
	for range amount(10, 30, 200) {
		c.must(c.next()...)
	}
	last, lastBy := c.calls(c.next()...)
	end, endBy := c.calls("delete", "--force", c.name(c.n-1))
	t.Logf("system calls of create: %d beside one other, %d beside %d; of delete: %d and %d", first, last, c.n-2, gone, end)
	const slack = 3 // one thread more or less
	if last > first+slack || end > gone+slack {
		t.Errorf("create: %v\nthen %v\ndelete: %v\nthen %v", firstBy, lastBy, goneBy, endBy)
	}
}

// BenchmarkAThousandContainers has a thousand containers at the same time under one cgroup:
//
//	go test ./tests -run '^$' -bench AThousandContainers -benchtime 1x
//
// It compares the first hundred with the last.
func BenchmarkAThousandContainers(b *testing.B) {
	const all, some = 1000, 100
	for range b.N {
		c := newCrowd(b)
		create := make([]time.Duration, all)
		for i := range create {
			create[i] = c.more()
		}
		remove := make([]time.Duration, all)
		for i := range remove {
			remove[i] = c.less(i)
		}
		c.n = 0
		report := func(verb string, took []time.Duration) {
			first, last := median(took[:some]), median(took[all-some:])
			b.ReportMetric(float64(first.Microseconds()), verb+"-first-µs")
			b.ReportMetric(float64(last.Microseconds()), verb+"-last-µs")
			b.ReportMetric(float64(last)/float64(first), verb+"-ratio")
		}
		report("create", create)
		slices.Reverse(remove) // the first deletion has all others beside it
		report("delete", remove)
	}
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

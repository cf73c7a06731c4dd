package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Result is what one layout's run has found, in the order in which it is shown.
type Result struct {
	Layout      string
	Note        string
	Machine     string
	Runs        int
	Competitors []Competitor
	Items       []Item
}

// Competitor is a column of the report.
type Competitor struct{ Name, Version string }

// Item is a row: one thing that was measured, for each competitor that can do it.
type Item struct {
	Name    string
	Unit    string // ms, KiB
	Samples map[string][]float64
}

// residentItem is the one item besides times that the picture shows.
const residentItem = "resident memory of a created container"

const (
	id       = "bench"
	warmUps  = 3
	memories = 5 // resident memory hardly varies
	// A runtime that dies of its memory limit may hang instead.
	deadline = 10 * time.Second
)

// measure goes through the items by name.
func (f *field) measure(items []string, runs int) (Result, error) {
	r := Result{Layout: f.layout, Note: f.note, Machine: machine(), Runs: runs}
	for _, c := range f.competitors {
		r.Competitors = append(r.Competitors, Competitor{c.name, c.version})
	}
	known := map[string]func(*Result, int) error{
		"run": f.measureRun, "create": f.measureCycle, "exec": f.measureExec,
		"memory": f.measureMemory, "limit": f.measureLimit, "size": f.measureSize,
	}
	for _, name := range items {
		measure, ok := known[name]
		if !ok {
			return r, fmt.Errorf("BENCH_ITEMS: no item %q", name)
		}
		fmt.Fprintf(os.Stderr, "bench: %s: %s\n", f.layout, name)
		if err := measure(&r, runs); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

// runtimes are the competitors without the floor, which can only run.
func (f *field) runtimes() []*competitor {
	return slices.DeleteFunc(slices.Clone(f.competitors), func(c *competitor) bool { return c.floor })
}

// interleave calls sample for each competitor in turn, and keeps what comes after the warm-up.
func interleave(competitors []*competitor, runs int, sample func(*competitor) ([]time.Duration, error)) ([]map[string][]float64, error) {
	var kept []map[string][]float64
	for n := range warmUps + runs {
		for _, c := range competitors {
			took, err := sample(c)
			if err != nil {
				return nil, err
			}
			if n < warmUps {
				continue
			}
			for i, d := range took {
				if len(kept) == i {
					kept = append(kept, map[string][]float64{})
				}
				kept[i][c.name] = append(kept[i][c.name], d.Seconds()*1000)
			}
		}
		runtime.GC()
	}
	return kept, nil
}

func (f *field) measureRun(r *Result, runs int) error {
	if err := f.bundles("/bin/true"); err != nil {
		return err
	}
	kept, err := interleave(f.competitors, runs, func(c *competitor) ([]time.Duration, error) {
		took, err := c.run()
		return []time.Duration{took}, err
	})
	if err == nil {
		r.Items = append(r.Items, Item{"run /bin/true", "ms", kept[0]})
	}
	return err
}

func (f *field) measureCycle(r *Result, runs int) error {
	if err := f.bundles("/bin/true"); err != nil {
		return err
	}
	kept, err := interleave(f.runtimes(), runs, (*competitor).cycle)
	if err == nil {
		r.Items = append(r.Items, Item{"create", "ms", kept[0]}, Item{"start", "ms", kept[1]}, Item{"delete", "ms", kept[2]})
	}
	return err
}

func (f *field) measureExec(r *Result, runs int) error {
	if err := f.bundles("/bin/sleep", "100000"); err != nil {
		return err
	}
	for _, c := range f.runtimes() {
		pid, err := c.up()
		if err != nil {
			return err
		}
		defer c.down(pid)
	}
	kept, err := interleave(f.runtimes(), runs, func(c *competitor) ([]time.Duration, error) {
		took, err := c.time("exec", id, "/bin/true")
		return []time.Duration{took}, err
	})
	if err == nil {
		r.Items = append(r.Items, Item{"exec /bin/true", "ms", kept[0]})
	}
	return err
}

func (f *field) measureMemory(r *Result, _ int) error {
	if err := f.bundles("/bin/true"); err != nil {
		return err
	}
	item := Item{residentItem, "KiB", map[string][]float64{}}
	for range memories {
		for _, c := range f.runtimes() {
			pid, err := c.create()
			if err != nil {
				return err
			}
			kib, err := residentKiB(pid)
			c.down(pid)
			if err != nil {
				return err
			}
			item.Samples[c.name] = append(item.Samples[c.name], kib)
		}
	}
	r.Items = append(r.Items, item)
	return nil
}

// measureLimit looks for the smallest memory limit under which run /bin/true works three times in a row.
func (f *field) measureLimit(r *Result, _ int) error {
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil && !hasController("memory") {
		fmt.Fprintln(os.Stderr, "bench: no memory controller in this layout")
		return nil
	}
	item := Item{"smallest memory limit that works", "KiB", map[string][]float64{}}
	for _, c := range f.runtimes() {
		for _, kib := range limits() {
			if c.worksWithin(kib) {
				item.Samples[c.name] = []float64{float64(kib)}
				break
			}
		}
	}
	r.Items = append(r.Items, item)
	return nil
}

func hasController(name string) bool {
	data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return slices.Contains(strings.Fields(string(data)), name)
}

// limits steps by a quarter from 64 KiB to 64 MiB, on page boundaries.
func limits() []int64 {
	var all []int64
	for kib := int64(64); kib <= 64<<10; kib = max(kib*5/4, kib+4) / 4 * 4 {
		all = append(all, kib)
	}
	return all
}

func (c *competitor) worksWithin(kib int64) bool {
	bytes := kib << 10
	spec := defaultSpec(c.cgroup, "/bin/true")
	spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &bytes}}
	if c.write(spec) != nil {
		return false
	}
	for range 3 {
		p, err := c.lane.start(c.log, c.argv("run", "--bundle", c.dir, id)...)
		if err != nil {
			return false
		}
		timer := time.AfterFunc(deadline, func() { syscall.Kill(p.pid, syscall.SIGKILL) })
		_, status, err := p.wait()
		timer.Stop()
		if err != nil || status.ExitStatus() != 0 {
			c.time("delete", "--force", id)
			reapAll()
			return false
		}
	}
	return true
}

func (f *field) measureSize(r *Result, _ int) error {
	item := Item{"size of the binary", "KiB", map[string][]float64{}}
	for _, c := range f.runtimes() {
		info, err := os.Stat(c.path)
		if err != nil {
			return err
		}
		item.Samples[c.name] = []float64{float64(info.Size()) / 1024}
	}
	r.Items = append(r.Items, item)
	return nil
}

// argv is a command line of the runtime.
func (c *competitor) argv(args ...string) []string {
	return append([]string{c.path, "--root", c.root}, args...)
}

// time runs a verb; an error has the end of what was printed.
func (c *competitor) time(args ...string) (time.Duration, error) {
	return c.timed(args[0], c.argv(args...))
}

func (c *competitor) timed(what string, argv []string) (time.Duration, error) {
	took, err := c.lane.time(c.log, argv...)
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", c.name, what, err, c.lastLine())
	}
	return took, err
}

func (c *competitor) lastLine() string {
	data, _ := io.ReadAll(io.NewSectionReader(c.log, 0, 1<<20))
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lines[len(lines)-1]
}

func (c *competitor) run() (time.Duration, error) {
	if c.floor {
		return c.timed("run", append([]string{c.path, filepath.Join(c.dir, "rootfs"), "/bin/true"}, c.cgroups...))
	}
	return c.time("run", "--bundle", c.dir, id)
}

// create makes a container and returns its first process.
func (c *competitor) create() (int, error) {
	if _, err := c.time("create", "--bundle", c.dir, "--pid-file", c.pidFile(), id); err != nil {
		return 0, err
	}
	return c.pid()
}

func (c *competitor) pidFile() string { return filepath.Join(c.dir, "pid") }

func (c *competitor) pid() (int, error) {
	data, err := os.ReadFile(c.pidFile())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(data))
}

func (c *competitor) up() (int, error) {
	pid, err := c.create()
	if err == nil {
		_, err = c.time("start", id)
	}
	return pid, err
}

// down kills the container, collects it and deletes it.
func (c *competitor) down(pid int) {
	syscall.Kill(pid, syscall.SIGKILL)
	process{pid: pid}.wait()
	c.time("delete", "--force", id)
}

// cycle is create, start, the container's own end, delete.
func (c *competitor) cycle() ([]time.Duration, error) {
	create, err := c.time("create", "--bundle", c.dir, "--pid-file", c.pidFile(), id)
	if err != nil {
		return nil, err
	}
	pid, err := c.pid()
	if err != nil {
		return nil, err
	}
	start, err := c.time("start", id)
	if err != nil {
		return nil, err
	}
	process{pid: pid}.wait()
	remove, err := c.time("delete", id)
	return []time.Duration{create, start, remove}, err
}

// reapAll collects what a killed runtime has left to us.
func reapAll() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

func residentKiB(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseFloat(strings.Fields(value)[0], 64)
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

func machine() string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err.Error()
	}
	model := "?"
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("Linux %s, %d × %s", unix.ByteSliceToString(uts.Release[:]), runtime.NumCPU(), model)
}

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// countings is the number of repetitions of a count; counts hardly vary.
const countings = 5

// events are the kernel's own counters of a process and of everything that it starts, the container included, whichever
// process waits for it. Children inherit the counters. They begin with the execve, as in perf stat.
type events struct {
	names []string
	fds   []int
}

// counter is one of the kernel's counters. Several may have one name: then they are added.
type counter struct {
	name   string
	typ    uint32
	config uint64
	filter string // of a tracepoint (Documentation/trace/events.rst, "Event filtering")
}

// software are the counters that every kernel has.
var software = []counter{
	{"cpu", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK, ""},
	{"faults", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_PAGE_FAULTS, ""},
	{"switches", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CONTEXT_SWITCHES, ""},
}

// point describes the counter of a tracepoint.
type point struct{ name, event, filter string }

// allCalls is the tracepoint that each system call passes.
var allCalls = []point{{"calls", "raw_syscalls/sys_enter", ""}}

// someCalls are counted by name: futex and nanosleep, which depend on the threads, and calls that create or remove files.
var someCalls = []point{
	{"futex", "syscalls/sys_enter_futex", ""},
	{"nanosleep", "syscalls/sys_enter_nanosleep", ""},
	{"nanosleep", "syscalls/sys_enter_clock_nanosleep", ""},
	{"made", "syscalls/sys_enter_mkdirat", ""},
	{"made", "syscalls/sys_enter_mknodat", ""},
	{"made", "syscalls/sys_enter_symlinkat", ""},
	{"made", "syscalls/sys_enter_memfd_create", ""},
	{"made", "syscalls/sys_enter_openat", "flags & 64"}, // O_CREAT
	{"removed", "syscalls/sys_enter_unlinkat", ""},
}

// openEvents opens the counters for the next child of the calling thread.
func openEvents(all []counter) (*events, error) {
	e := &events{}
	for _, c := range all {
		fd, err := c.open()
		if err != nil {
			e.close()
			return nil, fmt.Errorf("perf_event_open of %s: %w", c.name, err)
		}
		e.names, e.fds = append(e.names, c.name), append(e.fds, fd)
	}
	return e, nil
}

func (c counter) open() (int, error) {
	attr := unix.PerfEventAttr{
		Type: c.typ, Config: c.config,
		Bits: unix.PerfBitDisabled | unix.PerfBitInherit | unix.PerfBitEnableOnExec,
	}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil || c.filter == "" {
		return fd, err
	}
	filter, err := unix.BytePtrFromString(c.filter)
	if err != nil {
		return fd, err
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(filter))); errno != 0 {
		unix.Close(fd)
		return -1, errno
	}
	return fd, nil
}

func (e *events) close() {
	for _, fd := range e.fds {
		unix.Close(fd)
	}
}

// read returns the counts so far. They include live processes.
func (e *events) read() (map[string]float64, error) {
	counts := map[string]float64{}
	for i, fd := range e.fds {
		var buf [8]byte
		if _, err := unix.Read(fd, buf[:]); err != nil {
			return nil, err
		}
		counts[e.names[i]] += float64(binary.NativeEndian.Uint64(buf[:]))
	}
	counts["cpu"] /= 1e6 // nanoseconds
	return counts, nil
}

// withPoints adds the counters of tracepoints to those that every kernel has.
func withPoints(scratch string, points ...point) ([]counter, error) {
	dir := filepath.Join(scratch, "tracefs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// The mount is in this program's own mount namespace.
	if err := unix.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		return nil, fmt.Errorf("mount of tracefs: %w", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	all := slices.Clone(software)
	for _, p := range points {
		data, err := os.ReadFile(filepath.Join(dir, "events", p.event, "id"))
		if err != nil {
			return nil, err
		}
		id, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, counter{p.name, unix.PERF_TYPE_TRACEPOINT, id, p.filter})
	}
	return all, nil
}

// hold keeps the counters open until the caller calls the returned function. An open counter keeps its tracepoint enabled.
// Enabling or disabling a tracepoint patches the kernel's code, which takes long.
func (f *field) hold(all []counter) (release func(), err error) {
	var held []*events
	release = func() {
		for _, e := range held {
			e.close()
		}
	}
	for _, c := range f.competitors {
		var e *events
		if c.lane.do(func() { e, err = openEvents(all) }); err != nil {
			release()
			return nil, err
		}
		held = append(held, e)
	}
	return release, nil
}

// measureEvents counts system calls, page faults, context switches and processor time of whole verbs, on both sides. It is
// a separate pass, because a tracepoint makes each system call slower.
func (f *field) measureEvents(s settings) error {
	counters, err := withPoints(f.dir, allCalls...)
	if err != nil {
		f.note("no counts of system calls: %v", err)
		return nil
	}
	release, err := f.hold(counters)
	if err != nil {
		f.note("no counts of system calls: %v", err)
		return nil
	}
	defer release()
	for _, bundle := range s.bundles {
		able, err := f.stage(bundle, "/bin/true")
		if err != nil {
			return err
		}
		key := Key{Block: "events", Bundle: bundle}
		for range countings {
			for _, c := range able {
				record := func(name string, counts map[string]float64) {
					for metric, count := range counts {
						key.Name, key.Metric = name, metric
						f.result.add(key, c.name, count)
					}
				}
				if err := f.tolerate(c, f.counted(c, bundle, counters, record)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// counted counts a run, and the verbs of a life.
func (f *field) counted(c *competitor, bundle string, counters []counter, record func(string, map[string]float64)) error {
	count := func(name string, argv ...string) error {
		counts, err := c.count(counters, argv...)
		if err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, c.lastLine())
		}
		record(name, counts)
		return nil
	}
	if err := f.give(c, bundle, "/bin/true"); err != nil {
		return err
	}
	if err := count("run", c.runArgv()...); err != nil || c.floor {
		return err
	}
	if err := f.give(c, bundle, "/bin/sleep", "100000"); err != nil {
		return err
	}
	pidFile := filepath.Join(c.dir, "pid")
	for _, args := range [][]string{
		{"create", "--bundle", c.dir, "--pid-file", pidFile, c.id},
		{"start", c.id},
		{"state", c.id},
		{"exec", c.id, "/bin/true"},
		{"kill", c.id, "KILL"},
		{"delete", c.id},
	} {
		if args[0] == "delete" {
			if err := awaitPidFile(pidFile); err != nil {
				return err
			}
		}
		if err := count(args[0], c.argv(args...)...); err != nil {
			return err
		}
	}
	return nil
}

func awaitPidFile(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return err
	}
	_, _, err = process{pid: pid}.wait()
	return err
}

// count runs a command line with counters.
func (c *competitor) count(counters []counter, argv ...string) (map[string]float64, error) {
	var e *events
	var p process
	var err error
	c.lane.do(func() {
		if e, err = openEvents(counters); err == nil {
			p, err = spawn(c.log, false, argv)
		}
	})
	if e != nil {
		defer e.close()
	}
	if err != nil {
		return nil, err
	}
	_, status, err := p.wait()
	if err == nil {
		err = failure(status)
	}
	if err != nil {
		return nil, err
	}
	return e.read()
}

// peak runs a command line and returns the largest resident memory of its own process, without children.
//
// ru_maxrss is not usable: between fork and execve a process has its parent's memory, which ru_maxrss counts. VmHWM starts
// again at execve. It is read when the process stops on its way out.
func (c *competitor) peak(argv ...string) (kib float64, err error) {
	c.lane.do(func() { kib, err = c.tracedPeak(argv) })
	return kib, err
}

func (c *competitor) tracedPeak(argv []string) (float64, error) {
	p, err := spawn(c.log, true, argv)
	if err != nil {
		return 0, err
	}
	if _, err := nextStop(p.pid); err != nil { // after its execve
		return 0, err
	}
	if err := syscall.PtraceSetOptions(p.pid, syscall.PTRACE_O_TRACEEXEC|syscall.PTRACE_O_TRACEEXIT|unix.PTRACE_O_EXITKILL); err != nil {
		return 0, err
	}
	kib, signal := 0.0, 0
	for {
		if err := syscall.PtraceCont(p.pid, signal); err != nil {
			return 0, err
		}
		status, err := nextStop(p.pid)
		if err != nil {
			return 0, err
		}
		if !status.Stopped() {
			return kib, failure(status)
		}
		switch status.TrapCause() {
		case syscall.PTRACE_EVENT_EXIT:
			signal = 0
			if kib, err = statusKiB(p.pid, "VmHWM:"); err != nil {
				return 0, err
			}
		case syscall.PTRACE_EVENT_EXEC: // crun executes a copy of itself
			signal = 0
		default:
			signal = int(status.StopSignal())
		}
	}
}

func nextStop(pid int) (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			return status, err
		}
	}
}

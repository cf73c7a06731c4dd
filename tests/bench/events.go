package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
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

// openEvents opens the counters for the next child of the calling thread.
func openEvents(tracepoint uint64) (*events, error) {
	e := &events{}
	for _, event := range []struct {
		name   string
		typ    uint32
		config uint64
	}{
		{"calls", unix.PERF_TYPE_TRACEPOINT, tracepoint},
		{"cpu", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK},
		{"faults", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_PAGE_FAULTS},
		{"switches", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CONTEXT_SWITCHES},
	} {
		attr := unix.PerfEventAttr{
			Type: event.typ, Config: event.config,
			Bits: unix.PerfBitDisabled | unix.PerfBitInherit | unix.PerfBitEnableOnExec,
		}
		attr.Size = uint32(unsafe.Sizeof(attr))
		fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			e.close()
			return nil, fmt.Errorf("perf_event_open of %s: %w", event.name, err)
		}
		e.names, e.fds = append(e.names, event.name), append(e.fds, fd)
	}
	return e, nil
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
		counts[e.names[i]] = float64(binary.NativeEndian.Uint64(buf[:]))
	}
	counts["cpu"] /= 1e6 // nanoseconds
	return counts, nil
}

// sysEnter returns the number of the tracepoint that each system call passes.
func sysEnter(scratch string) (uint64, error) {
	dir := filepath.Join(scratch, "tracefs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	// The mount is in this program's own mount namespace.
	if err := unix.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		return 0, fmt.Errorf("mount of tracefs: %w", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	data, err := os.ReadFile(filepath.Join(dir, "events/raw_syscalls/sys_enter/id"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}

// measureEvents counts system calls, page faults, context switches and processor time of whole verbs, on both sides. It is
// a separate pass, because a tracepoint makes each system call slower.
func (f *field) measureEvents(s settings) error {
	tracepoint, err := sysEnter(f.dir)
	if err != nil {
		f.note("no counts of system calls: %v", err)
		return nil
	}
	// An open counter keeps the tracepoint patched in. Patching it in and out takes long.
	for _, c := range f.competitors {
		var held *events
		if c.lane.do(func() { held, err = openEvents(tracepoint) }); err != nil {
			f.note("no counts of system calls: %v", err)
			return nil
		}
		defer held.close()
	}
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
				if err := f.tolerate(c, f.counted(c, bundle, tracepoint, record)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// counted counts a run, and the verbs of a life.
func (f *field) counted(c *competitor, bundle string, tracepoint uint64, record func(string, map[string]float64)) error {
	count := func(name string, argv ...string) error {
		counts, err := c.count(tracepoint, argv...)
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
func (c *competitor) count(tracepoint uint64, argv ...string) (map[string]float64, error) {
	var e *events
	var p process
	var err error
	c.lane.do(func() {
		if e, err = openEvents(tracepoint); err == nil {
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

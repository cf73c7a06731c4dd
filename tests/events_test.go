package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// event is one line of `events`.
type event struct {
	Type string
	ID   string
	Data struct {
		Victim   *struct{ Pid, Command any }
		Limit    uint64
		Pid      int
		Status   *int
		Resource string
		Memory   struct{ Usage struct{ Limit, Usage uint64 } }
		CPU      struct{ Usage struct{ Total uint64 } }
		Pids     struct{ Current, Limit uint64 }
		Networks []struct{ Name string } `json:"network_interfaces"`
	}
}

func parseEvents(t testing.TB, out string) []event {
	t.Helper()
	var all []event
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, "\n") {
			break // the line is not complete yet
		}
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in the line %q", err, line)
		}
		all = append(all, e)
	}
	return all
}

// await waits for an event of a type. It returns the event and the time at which it appeared.
func (i *invocation) await(kind string) (e event, at time.Time) {
	i.t.Helper()
	eventually(i.t, "event "+kind, func() bool {
		for _, e = range parseEvents(i.t, contents(i.out)) {
			if e.Type == kind {
				at = time.Now()
				return true
			}
		}
		return false
	})
	return e, at
}

func memoryLimit(bytes int64) edit {
	return resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: &bytes, Swap: &bytes} })
}

// hog is a command that exhausts any memory limit: its string doubles.
var hog = []string{"sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"}

func TestStats(t *testing.T) {
	c := newContainer(t, resources(func(r *specs.LinuxResources) {
		if env.layout != "v2" {
			r.Pids = &specs.LinuxPids{Limit: ptr(int64(20))}
		}
	}))
	c.up()
	r := c.must("events", "--stats", c.id)
	all := parseEvents(t, r.out)
	if len(all) != 1 {
		t.Fatalf("%d lines; want one: %v", len(all), r)
	}
	e := all[0]
	want(t, "type", e.Type, "stats")
	want(t, "id", e.ID, c.id)
	if env.layout != "v2" && (e.Data.Pids.Current == 0 || e.Data.Pids.Limit != 20 || e.Data.Memory.Usage.Usage == 0 || e.Data.CPU.Usage.Total == 0) {
		t.Errorf("not all is counted: %v", r)
	}
	if env.kind == "onggi" && (len(e.Data.Networks) == 0 || e.Data.Networks[0].Name != "lo") {
		t.Errorf("network_interfaces = %v; want lo first", e.Data.Networks)
	}
}

func TestEventsAtIntervals(t *testing.T) {
	c := newContainer(t)
	c.up()
	i := c.begin("events", "--interval", "20ms", c.id)
	eventually(t, "three events", func() bool { return strings.Count(contents(i.out), `{"type":"stats"`) >= 3 })
	c.must("kill", c.id, "KILL")
	if r := i.end(); r.code != 0 || r.err != "" {
		t.Error(r)
	}
}

func TestEventsEndWithTheContainer(t *testing.T) {
	peerFails(t, "runc", "has no exit event")
	c := newContainer(t, sh("trap 'exit 7' TERM; while :; do sleep 0.01; done"))
	pid := c.up()
	i := c.begin("events", c.id)
	eventually(t, "events runs", func() bool { return polls(i.Process.Pid) })
	c.must("kill", c.id, "TERM")
	status := c.reap(pid)
	r := i.end()
	all := parseEvents(t, r.out)
	if r.code != 0 || len(all) != 1 || all[0].Type != "exit" || all[0].Data.Pid != pid {
		t.Fatalf("want one exit event: %v", r)
	}
	// The parent gets the status. Another process gets it only since Linux 6.15, or if it asks before the parent reaps
	// the child.
	if s := all[0].Data.Status; s != nil && *s != status || status != 7 {
		t.Errorf("status %v, reaped %d; want 7", s, status)
	}
	refused(t, c.verb("events", c.id), 1, "container not running")
	refused(t, c.verb("events", "--stats", c.id), 1, "container not running")
	refused(t, c.verb("events", "no-such"), 1, "does not exist")
}

// polls reports whether a process waits in poll(2).
func polls(pid int) bool { return waitsIn(pid, "poll") }

// waitsIn reports whether a thread of a process waits in a kernel function with name in its name.
func waitsIn(pid int, name string) bool {
	wchans, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", pid))
	for _, file := range wchans {
		if data, _ := os.ReadFile(file); strings.Contains(string(data), name) {
			return true
		}
	}
	return false
}

// kernelOOM returns a channel with the time at which the kernel announces an OOM kill in the container.
func kernelOOM(t *testing.T, c *container) <-chan time.Time {
	t.Helper()
	dir := c.cgroupDir("memory")
	file, poll := "memory.events", unix.PollFd{Events: unix.POLLPRI}
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		file = "memory.oom_control"
	}
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	poll.Fd = int32(f.Fd())
	event := -1
	if file == "memory.oom_control" {
		if event, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.event_control"), fmt.Appendf(nil, "%d %d", event, f.Fd()), 0); err != nil {
			t.Fatal(err)
		}
		poll = unix.PollFd{Fd: int32(event), Events: unix.POLLIN}
	} else if _, err := f.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	at := make(chan time.Time, 1)
	go func() {
		defer f.Close()
		if event >= 0 {
			defer unix.Close(event)
		}
		for {
			if _, err := unix.Poll([]unix.PollFd{poll}, int(patience/time.Millisecond)); err != unix.EINTR {
				at <- time.Now()
				return
			}
		}
	}()
	return at
}

func TestOOMIsReportedAtOnce(t *testing.T) {
	needController(t, "memory")
	c := newContainer(t, memoryLimit(32<<20))
	c.up()
	i := c.begin(append([]string{"events"}, append(oomDetails(), "--interval", "1h", c.id)...)...)
	eventually(t, "events runs", func() bool { return polls(i.Process.Pid) })
	kernel := kernelOOM(t, c)
	pid := c.execDetached(nil, hog...)
	e, at := i.await("oom")
	want(t, "id", e.ID, c.id)
	late := at.Sub(<-kernel)
	t.Logf("the event came %v after the kernel's", late.Round(10*time.Microsecond))
	// A notification takes milliseconds; polling would take the interval, an hour. So any bound in between works.
	if late > patience/2 {
		t.Error("that is not at once")
	}
	if env.kind == "onggi" {
		if e.Data.Limit != 32<<20 {
			t.Errorf("limit %d; want 32 MiB", e.Data.Limit)
		}
		if _, err := os.Stat("/dev/kmsg"); err == nil && (e.Data.Victim == nil || fmt.Sprint(e.Data.Victim.Pid) != fmt.Sprint(float64(pid)) || e.Data.Victim.Command != "sh") {
			t.Errorf("victim %+v; want process %d, sh", e.Data.Victim, pid)
		}
	}
	want(t, "status", c.status(), "running")
	c.must("kill", c.id, "KILL")
	if r := i.end(); r.code != 0 {
		t.Error(r)
	}
}

// The oom event must come before the exit event.
func TestOOMOfTheFirstProcess(t *testing.T) {
	needController(t, "memory")
	peerFails(t, "runc", "has no exit event")
	tries := 1
	if env.driver == "systemd" {
		tries = 3 // systemd removes an empty cgroup at once: events may be too late to read memory.events
	}
	for {
		r, ok := oomOfTheFirstProcess(t)
		if tries--; ok {
			return
		}
		if tries == 0 {
			t.Fatalf("want oom, then exit: %v", r)
		}
	}
}

// oomDetails returns the flag that only onggi has.
func oomDetails() []string {
	if env.kind == "onggi" {
		return []string{"--details"}
	}
	return nil
}

// Without --details an oom event is identical to runc's.
func TestOOMEventIsRuncs(t *testing.T) {
	needController(t, "memory")
	c := newContainer(t, memoryLimit(32<<20))
	c.up()
	i := c.begin("events", "--interval", "1h", c.id)
	eventually(t, "events runs", func() bool { return polls(i.Process.Pid) })
	c.execDetached(nil, hog...)
	line := `{"type":"oom","id":"` + c.id + `"}` + "\n"
	eventually(t, "the line", func() bool { return strings.Contains(contents(i.out), line) })
	c.must("kill", c.id, "KILL")
	c.stopped()
	i.Process.Kill()
	i.end()
}

func oomOfTheFirstProcess(t *testing.T) (r result, ok bool) {
	t.Helper()
	c := newContainer(t, memoryLimit(32<<20), sh("while [ ! -e /tmp/go ]; do sleep 0.01; done; "+hog[2]))
	c.up()
	i := c.begin(append(append([]string{"events"}, oomDetails()...), c.id)...)
	eventually(t, "events runs", func() bool { return polls(i.Process.Pid) })
	c.write("rootfs/tmp/go", "")
	r = i.end()
	all := parseEvents(t, r.out)
	return r, r.code == 0 && len(all) >= 2 && all[0].Type == "oom" && all[len(all)-1].Type == "exit"
}

func TestPressureIsReported(t *testing.T) {
	peerFails(t, "runc", "does not watch pressure")
	c := newContainer(t)
	c.up()
	i := slices.IndexFunc(hierarchies(), func(h hierarchy) bool { return h.unified })
	if i < 0 {
		t.Skip("no cgroup2 hierarchy")
	}
	if _, err := os.Stat(filepath.Join(hierarchies()[i].mountpoint, c.cgroup, "cpu.pressure")); err != nil {
		t.Skip("this kernel does not account pressure")
	}
	run := c.begin("events", "--pressure", "cpu:some:50ms/2s", c.id)
	eventually(t, "events runs", func() bool { return polls(run.Process.Pid) })
	// Loops on fewer processors wait for each other.
	c.execDetached(nil, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait")
	e, _ := run.await("pressure")
	want(t, "resource", e.Data.Resource, "cpu")
	refused(t, c.verb("events", "--pressure", "cpu:some:2s/1s", c.id), 1, "invalid argument")
	c.must("kill", c.id, "KILL")
	if r := run.end(); r.code != 0 {
		t.Error(r)
	}
}

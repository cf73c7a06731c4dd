package libcontainer

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// Event is one event of a running container. Its JSON is that of runc, with further
// types, and with data in "oom" events, where runc has none.
type Event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"` // *Stats, *OOM, *PressureReport, *CheckpointProgress or *Exit
}

// Event types.
const (
	EventStats      = "stats"      // at every interval
	EventOOM        = "oom"        // the OOM killer has killed a process
	EventPressure   = "pressure"   // a threshold was reached
	EventCheckpoint = "checkpoint" // progress of a checkpoint
	EventExit       = "exit"       // the first process has ended: the last event
)

// OOM is a process of the container that the OOM killer has killed.
type OOM struct {
	Victim *Victim `json:"victim,omitempty"` // nil if the kernel's log does not name it
	Group  bool    `json:"group,omitempty"`  // the kernel killed its whole cgroup (memory.oom.group)
	Limit  uint64  `json:"limit,omitempty"`  // memory limit of the container in bytes; 0 for none
}

// Victim is a killed process: the host's pid, and the name that the process had set.
type Victim struct {
	Pid     int    `json:"pid"`
	Command string `json:"command"`
}

// Threshold is a pressure to be reported: Stall or more of waiting within a Window, by
// some of the tasks or, with Full, by all at the same time.
type Threshold = cgroup.Threshold

// PressureReport is a threshold that was reached, with the pressure at that time.
type PressureReport struct {
	Resource string     `json:"resource"`
	Kind     string     `json:"kind"`   // "some" or "full"
	Stall    int64      `json:"stall"`  // of the threshold, in microseconds like the totals
	Window   int64      `json:"window"` // microseconds
	Pressure *Pressures `json:"psi,omitempty"`
}

// Exit is the end of the first process.
type Exit struct {
	Pid    int  `json:"pid"`
	Status *int `json:"status,omitempty"` // exit status, 128+n after signal n; nil if only the parent of the process knows it
}

// Events sends the events of a running container as the kernel announces them. It also
// sends statistics at every interval, unless interval is 0. The channel is closed after
// the exit event, or when ctx ends. The channel has no buffer: an event waits until the
// one before it was received. A caller that stops receiving has to end ctx. Otherwise a
// goroutine and some descriptors stay, even after the end of the container.
//
// The error is ErrNotRunning if the first process does not live. A threshold needs cgroup2 and a
// kernel with pressure stall information (psi.rst).
func (c *Container) Events(ctx context.Context, interval time.Duration, at ...Threshold) (_ <-chan Event, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	w, err := c.watch(interval, at)
	if err != nil {
		c.release()
		return nil, err
	}
	go func() {
		defer c.release()
		defer close(w.events)
		defer w.close()
		if err := w.run(ctx); err != nil {
			c.runtime.warn(err.Error())
		}
	}()
	return w.events, nil
}

func (c *Container) watch(interval time.Duration, at []Threshold) (*watch, error) {
	pidfd, err := c.open()
	if err != nil {
		return nil, err
	}
	w := &watch{container: c, pidfd: pidfd, interval: interval, events: make(chan Event), dump: c.watchDump()}
	if err = c.checkOwn(); err == nil {
		err = w.open(at)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// watch is one call of Events.
type watch struct {
	container *Container
	pidfd     *os.File
	oom       *cgroup.OOMWatch // nil if memory is not accounted
	victims   *cgroup.Victims  // nil if the kernel's log cannot be read
	pressures []*cgroup.PressureWatch
	dump      *dumpWatch
	limit     uint64 // last known memory limit in bytes; 0 for none
	interval  time.Duration
	next      time.Time // time of the next statistics
	events    chan Event
}

func (w *watch) open(at []Threshold) (err error) {
	paths := w.container.cgroups()
	switch w.oom, err = paths.WatchOOM(); {
	case errors.Is(err, cgroup.ErrNoController): // without the controller there is no limit
	case err != nil:
		return err
	default:
		// Kills are reported even if the log cannot be read.
		w.victims, _ = paths.OpenVictims()
		w.readLimit()
	}
	for _, t := range at {
		p, err := paths.WatchPressure(t)
		if err != nil {
			return err
		}
		w.pressures = append(w.pressures, p)
	}
	w.next = time.Now().Add(w.interval)
	return nil
}

func (w *watch) close() {
	w.pidfd.Close()
	if w.oom != nil {
		w.oom.Close()
	}
	if w.victims != nil {
		w.victims.Close()
	}
	for _, p := range w.pressures {
		p.Close()
	}
	w.dump.close()
}

// run sends events until the container or ctx ends. Its error is a bug.
func (w *watch) run(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	for {
		fds := w.pollFds()
		if !w.wait(ctx, fds) {
			return nil
		}
		for _, e := range w.announced(ctx, fds) {
			e.ID = w.container.ID()
			select {
			case w.events <- e:
			case <-ctx.Done():
				return nil
			}
			if e.Type == EventExit {
				return nil
			}
		}
	}
}

// Indexes of the polled descriptors. The pressures begin at fdPressures.
const (
	fdProcess = iota
	fdOOM
	fdDump
	fdPressures
)

func (w *watch) pollFds() []unix.PollFd {
	fds := []unix.PollFd{
		fdProcess: {Fd: int32(w.pidfd.Fd()), Events: unix.POLLIN}, fdOOM: {Fd: -1}, // poll(2) ignores -1
		fdDump: w.dump.pollFd(),
	}
	if w.oom != nil {
		fds[fdOOM] = w.oom.PollFd()
	}
	for _, p := range w.pressures {
		fds = append(fds, p.PollFd())
	}
	return fds
}

// wait returns when there may be something to report. It returns false if ctx has ended.
func (w *watch) wait(ctx context.Context, fds []unix.PollFd) bool {
	timed := ctx
	if w.interval > 0 {
		var stop context.CancelFunc
		timed, stop = context.WithDeadline(ctx, w.next)
		defer stop()
	}
	err := proc.Poll(timed, fds)
	return err == nil || ctx.Err() == nil && timed.Err() != nil
}

// announced returns the events to report, the exit event last. After the end of the first
// process it reads the OOM kills in any case: the kernel has counted a kill before the
// end, but may signal memory.events late.
func (w *watch) announced(ctx context.Context, fds []unix.PollFd) []Event {
	var events []Event
	ended := fds[fdProcess].Revents != 0
	if w.oom != nil && (fds[fdOOM].Revents != 0 || ended) {
		events = w.kills(ctx)
	}
	events = append(events, w.reached(fds[fdPressures:])...)
	if fds[fdDump].Revents != 0 {
		events = append(events, w.dump.progress()...)
	}
	if ended {
		return append(events, Event{Type: EventExit, Data: w.exit()})
	}
	if w.interval > 0 && !time.Now().Before(w.next) {
		w.next = time.Now().Add(w.interval)
		if s, err := w.container.stats(); err == nil {
			events = append(events, Event{Type: EventStats, Data: s})
		}
	}
	return events
}

// victimTime bounds the wait for the kernel's log line about a victim. The line comes
// with the kill, unless a slow console delays it.
const victimTime = 20 * time.Millisecond

// kills returns the OOM kills since the last call.
func (w *watch) kills(ctx context.Context) []Event {
	oom, err := w.oom.Read()
	if err != nil { // the cgroup is gone
		w.oom.Close()
		w.oom = nil
		return nil
	}
	if oom.Count == 0 {
		return nil
	}
	w.readLimit()
	var events []Event
	victims := w.newVictims(ctx)
	for i := range max(int(oom.Count), len(victims)) {
		o := &OOM{Group: oom.Group > 0, Limit: w.limit}
		if i < len(victims) {
			o.Victim = &victims[i]
		}
		events = append(events, Event{Type: EventOOM, Data: o})
	}
	return events
}

// newVictims waits for one victim, and takes the others that the log has by then.
func (w *watch) newVictims(ctx context.Context) []Victim {
	if w.victims == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, victimTime)
	defer stop()
	var all []Victim
	for {
		v, ok := w.victims.Next(ctx)
		if !ok {
			return all
		}
		all = append(all, Victim(v))
		stop()
	}
}

// readLimit reads the memory limit. The cgroup may be gone with the container; then the
// last value stays.
func (w *watch) readLimit() {
	const none = 1 << 62 // without a limit, v1 shows the largest number of pages
	s, err := w.container.cgroups().Stats()
	switch {
	case err != nil:
	case s.Memory.Usage.Limit >= none:
		w.limit = 0
	default:
		w.limit = s.Memory.Usage.Limit
	}
}

// reached returns the thresholds that were reached. It drops the watches of a cgroup that
// is gone.
func (w *watch) reached(fds []unix.PollFd) []Event {
	var events []Event
	var left []*cgroup.PressureWatch
	for i, p := range w.pressures {
		if fds[i].Revents&unix.POLLERR != 0 {
			p.Close()
			continue
		}
		left = append(left, p)
		if fds[i].Revents != 0 {
			events = append(events, Event{Type: EventPressure, Data: report(p)})
		}
	}
	w.pressures = left
	return events
}

func report(p *cgroup.PressureWatch) *PressureReport {
	r := &PressureReport{Resource: p.Resource, Kind: "some", Stall: p.Stall.Microseconds(), Window: p.Window.Microseconds()}
	if p.Full {
		r.Kind = "full"
	}
	r.Pressure, _ = p.Read() // nil if the cgroup is gone by now
	return r
}

func (w *watch) exit() *Exit {
	e := &Exit{Pid: w.container.Pid()}
	if status, ok := proc.ExitStatus(e.Pid, w.pidfd); ok {
		e.Status = &status
	}
	return e
}

package cgroup

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Event is the memory controller's counters after one of them has grown, for the
// cgroup and what is below it.
type Event struct {
	// OOM is how often the limit was reached and reclaim did not help. On v1 it
	// counts from the start of the watch, and is announced before the victim is chosen.
	OOM       uint64
	OOMKill   uint64 // processes that the OOM killer has killed
	GroupKill uint64 // times it has killed all of a cgroup (v2, memory.oom.group)
}

// WatchOOM reports OOM events as the kernel announces them, until ctx ends, the
// cgroup is gone or, on v2, its last process: then the channel is closed. An event that comes before the
// last one was received is joined with it: the counters say it all.
func (p Paths) WatchOOM(ctx context.Context) (<-chan Event, error) {
	d, ok := p.find("memory")
	if !ok {
		return nil, fmt.Errorf("the memory controller is not mounted on this host")
	}
	g, err := openGroup(d.Abs())
	if err != nil {
		return nil, err
	}
	var w oomWatch
	if d.Controllers == nil {
		w, err = g.watchOOMV2()
	} else {
		w, err = g.watchOOMV1()
	}
	if err != nil {
		g.close()
		return nil, err
	}
	events := make(chan Event)
	go func() {
		defer g.close()
		defer w.close()
		defer close(events)
		watch(ctx, w, events)
	}()
	return events, nil
}

// oomWatch is the source of events of one layout.
type oomWatch interface {
	// counters are the present ones; false when none will come after them.
	counters() (Event, bool)
	// wait returns when the counters may have changed.
	wait(ctx context.Context) error
	close()
}

// watch sends the counters each time they have grown.
func watch(ctx context.Context, w oomWatch, events chan<- Event) {
	last, more := w.counters()
	for more && w.wait(ctx) == nil {
		var now Event
		if now, more = w.counters(); now == last {
			continue
		}
		last = now
		select {
		case events <- now:
		case <-ctx.Done():
			return
		}
	}
}

// oomWatchV2 polls memory.events; and cgroup.events, which announces the end of
// the last process, as nothing announces the end of the cgroup.
type oomWatchV2 struct {
	memory, group notify
	populated     bool // there was a process
	last          Event
}

func (g group) watchOOMV2() (oomWatch, error) {
	memory, err := g.notify("memory.events")
	if err != nil {
		return nil, err
	}
	events, err := g.notify("cgroup.events")
	if err != nil {
		memory.close()
		return nil, err
	}
	return &oomWatchV2{memory: memory, group: events}, nil
}

// counters reads whether there are processes first: what killed the last one is
// in the counters then.
func (w *oomWatchV2) counters() (Event, bool) {
	group, err := w.group.read()
	if err != nil {
		return w.last, false
	}
	populated := flatKeyed(group)["populated"] == 1
	more := populated || !w.populated
	w.populated = populated
	memory, err := w.memory.read()
	if err != nil {
		return w.last, false
	}
	k := flatKeyed(memory)
	w.last = Event{OOM: k["oom"], OOMKill: k["oom_kill"], GroupKill: k["oom_group_kill"]}
	return w.last, more
}

func (w *oomWatchV2) wait(ctx context.Context) error {
	return poll(ctx, w.memory.pollFd(), w.group.pollFd())
}

func (w *oomWatchV2) close() {
	w.memory.close()
	w.group.close()
}

// oomWatchV1 is an eventfd that the kernel adds to at each OOM, and when the
// cgroup is removed.
type oomWatchV1 struct {
	control notify // memory.oom_control
	event   int
	last    Event
}

func (g group) watchOOMV1() (oomWatch, error) {
	control, err := g.notify("memory.oom_control")
	if err != nil {
		return nil, err
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		control.close()
		return nil, &FileError{Op: "eventfd", Path: "for " + control.path, Err: err}
	}
	w := &oomWatchV1{control: control, event: event}
	if err := g.write("cgroup.event_control", fmt.Sprintf("%d %d", event, control.fd)); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// counters takes kills from memory.oom_control (since Linux 4.13); OOMs it does
// not count, so wait does.
func (w *oomWatchV1) counters() (Event, bool) {
	text, err := w.control.read()
	if err != nil {
		return w.last, false
	}
	w.last.OOMKill = flatKeyed(text)["oom_kill"]
	return w.last, true
}

func (w *oomWatchV1) wait(ctx context.Context) error {
	if err := poll(ctx, unix.PollFd{Fd: int32(w.event), Events: unix.POLLIN}); err != nil {
		return err
	}
	var n [8]byte
	if _, err := unix.Read(w.event, n[:]); err != nil {
		return &FileError{Op: "read", Path: "the eventfd of " + w.control.path, Err: err}
	}
	// The removal of the cgroup adds to it too; then there are no counters any more.
	if unix.Access(w.control.path, unix.F_OK) == nil {
		w.last.OOM += binary.NativeEndian.Uint64(n[:])
	}
	return nil
}

func (w *oomWatchV1) close() {
	unix.Close(w.event)
	w.control.close()
}

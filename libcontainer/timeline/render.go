package timeline

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Trace renders the recording. Spans under way end now.
func (r *Recorder) Trace() *Trace {
	end := r.clock.pair()
	r.mu.Lock()
	defer r.mu.Unlock()
	d := draft{scale: r.clock.scale(r.begin, end), end: end.ticks}
	d.name(RuntimeSide, "runtime side: "+r.name)
	d.name(ContainerSide, "container side")
	for _, e := range r.earlier {
		d.earlier(e)
	}
	for i := range r.spans {
		d.span(&r.spans[i])
	}
	for _, b := range r.batches {
		d.batch(b)
	}
	return d.finish()
}

// draft is a trace under construction. Its events have no threads yet: Thread
// holds the pid of the event's owner.
type draft struct {
	scale scale
	end   int64 // ticks
	trace Trace
}

// group names the events that form one thread if they nest.
type group struct{ process, of int }

func (d *draft) name(process int, name string) {
	d.trace.Names = append(d.trace.Names, Name{process, 0, name})
}

func (d *draft) earlier(e earlier) {
	d.trace.Events = append(d.trace.Events, Event{
		Name: e.name, Category: Work, Process: RuntimeSide, Begin: -int64(e.ago), Length: int64(e.length),
	})
}

func (d *draft) span(s *span) {
	e := Event{Name: s.name, Category: s.category, Process: RuntimeSide, Args: map[string]string{}}
	if s.text != nil {
		e.Name = s.text.String()
	}
	if s.field != "" {
		e.Args["field"] = s.field
	}
	if s.err != nil {
		e.Args["error"] = s.err.Error()
	}
	end := s.end
	if end == 0 {
		end, e.Args["unfinished"] = d.end, "when the trace was written"
	}
	d.add(e, s.begin, end)
}

func (d *draft) add(e Event, begin, end int64) {
	e.Begin = d.scale.nanoseconds(begin)
	e.Length = max(0, d.scale.nanoseconds(end)-e.Begin)
	d.trace.Events = append(d.trace.Events, e)
}

// batch draws the message and, inside it, the steps with their calls. The
// container side's times are not trusted: a call is drawn between the previous
// call and the answer, whatever its stamp says.
func (d *draft) batch(b *Batch) {
	received := b.Received
	if received == 0 {
		received = d.end
	}
	e := Event{Category: Exchange, Process: ContainerSide, Thread: b.Process, Args: map[string]string{}}
	if b.Err != nil {
		e.Args["error"] = b.Err.Error()
	}
	began, calls := b.Read()
	if began == 0 {
		e.Name = fmt.Sprintf("%d calls, not timed", len(calls))
		e.Args["calls"] = texts(calls)
		d.add(e, b.Sent, received)
		return
	}
	e.Name = fmt.Sprintf("batch of %d calls", len(calls))
	d.add(e, b.Sent, received)
	at := min(max(began, b.Sent), received)
	for len(calls) > 0 {
		n := 1
		for n < len(calls) && calls[n].Task == calls[0].Task {
			n++
		}
		at = d.task(b.Process, calls[:n], at, received)
		calls = calls[n:]
	}
}

func texts(calls []Call) string {
	var out []string
	for _, c := range calls {
		out = append(out, c.Text)
	}
	return strings.Join(out, "; ")
}

// task draws the calls of a step that begins at at. It returns the end of the
// last call.
func (d *draft) task(process int, calls []Call, at, limit int64) int64 {
	begin := at
	var events []Event
	var ends []int64
	for _, c := range calls {
		at = min(max(c.Ended, at), limit)
		events = append(events, c.event(process))
		ends = append(ends, at)
	}
	if t := calls[0].Task; t != nil {
		e := Event{Name: t.Step.String(), Category: Step, Process: ContainerSide, Thread: process, Args: map[string]string{}}
		if t.Field != "" {
			e.Args["field"] = t.Field
		}
		d.add(e, begin, at)
	}
	for i, e := range events {
		d.add(e, begin, ends[i])
		begin = ends[i]
	}
	return at
}

func (c *Call) event(process int) Event {
	return Event{
		Name: c.Text, Category: SystemCall, Process: ContainerSide, Thread: process,
		Args: map[string]string{"result": result(c.Result)},
	}
}

// result prints the result of a system call as strace does.
func result(v int64) string {
	if v >= 0 || v < -4095 {
		return strconv.FormatInt(v, 10)
	}
	return "-1 " + unix.ErrnoName(unix.Errno(-v)) + " (" + unix.Errno(-v).Error() + ")"
}

// finish sorts the events, moves the first one to time 0, and assigns threads.
func (d *draft) finish() *Trace {
	events := d.trace.Events
	slices.SortStableFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(b.Length, a.Length))
	})
	if len(events) > 0 {
		zero := events[0].Begin
		for i := range events {
			events[i].Begin -= zero
		}
	}
	d.assign(events)
	return &d.trace
}

// assign gives events to threads on which they nest, as the format requires.
// A group is one thread unless its events overlap, as those of goroutines may.
func (d *draft) assign(events []Event) {
	type thread struct {
		id    int
		stack []int64 // ends of the events that are open
	}
	groups := map[group][]*thread{}
	next := map[int]int{}
	for i := range events {
		e := &events[i]
		g := group{e.Process, e.Thread}
		var home *thread
		for _, t := range groups[g] {
			for len(t.stack) > 0 && t.stack[len(t.stack)-1] <= e.Begin && e.Length > 0 {
				t.stack = t.stack[:len(t.stack)-1]
			}
			if len(t.stack) == 0 || e.Begin+e.Length <= t.stack[len(t.stack)-1] {
				home = t
				break
			}
		}
		if home == nil {
			next[e.Process]++
			home = &thread{id: next[e.Process]}
			d.trace.Names = append(d.trace.Names, Name{e.Process, home.id, threadName(g, len(groups[g]))})
			groups[g] = append(groups[g], home)
		}
		home.stack = append(home.stack, e.Begin+e.Length)
		e.Thread = home.id
	}
}

func threadName(g group, others int) string {
	name := "stub, pid " + strconv.Itoa(g.of)
	if g.process == RuntimeSide {
		name = "pid " + strconv.Itoa(os.Getpid())
	}
	if others > 0 {
		name += ", at the same time"
	}
	return name
}

package timeline

import (
	"cmp"
	"slices"
)

// lane is one thread of the picture. Its events stand in rows, each child in
// the row below its parent.
type lane struct {
	process, thread int
	bars            []bar
}

type bar struct {
	*Event
	row  int
	self int64 // its time without its children
	rank int   // position among the longest, from 1; 0 if it is not one of them
}

func (e *Event) end() int64 { return e.Begin + e.Length }

// has reports whether other, of the same lane, lies inside b.
func (b *bar) has(other *bar) bool {
	return b.Process == other.Process && b.Thread == other.Thread && other.row > b.row && other.Begin >= b.Begin && other.end() <= b.end()
}

// within returns the bars inside bar i.
func (l *lane) within(i int) []bar {
	n := i + 1
	for n < len(l.bars) && l.bars[n].row > l.bars[i].row {
		n++
	}
	return l.bars[i+1 : n]
}

// maxRows bounds the depth of a foreign trace.
const maxRows = 16

// lanes assigns events to lanes, one for each process and thread.
func (t *Trace) lanes() []lane {
	events := make([]*Event, len(t.Events))
	for i := range t.Events {
		events[i] = &t.Events[i]
	}
	slices.SortStableFunc(events, func(a, b *Event) int {
		return cmp.Or(cmp.Compare(a.Process, b.Process), cmp.Compare(a.Thread, b.Thread), cmp.Compare(a.Begin, b.Begin), cmp.Compare(b.Length, a.Length))
	})
	var out []lane
	for len(events) > 0 {
		first, n := events[0], 1
		for n < len(events) && events[n].Process == first.Process && events[n].Thread == first.Thread {
			n++
		}
		out = append(out, newLane(events[:n]))
		events = events[n:]
	}
	return out
}

func newLane(events []*Event) lane {
	l := lane{process: events[0].Process, thread: events[0].Thread}
	var open []int // bars, the innermost last
	for _, e := range events {
		for len(open) > 0 && l.bars[open[len(open)-1]].end() <= e.Begin {
			open = open[:len(open)-1]
		}
		if len(open) == maxRows {
			continue
		}
		if len(open) > 0 {
			l.bars[open[len(open)-1]].self -= e.Length
		}
		l.bars = append(l.bars, bar{Event: e, row: len(open), self: e.Length})
		open = append(open, len(l.bars)-1)
	}
	return l
}

// longest returns the n bars of a process with the most time of their own, in
// order, and numbers them.
func longest(lanes []lane, process, n int, counts func(*bar) bool) []*bar {
	var all []*bar
	for _, l := range lanes {
		for i := range l.bars {
			if b := &l.bars[i]; l.process == process && counts(b) {
				all = append(all, b)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *bar) int { return cmp.Compare(b.self, a.self) })
	all = all[:min(n, len(all))]
	for i, b := range all {
		b.rank = i + 1
	}
	return all
}

// axis maps time to a horizontal position. A pause in which neither side works,
// such as the run of the container, has the width cutWidth.
type axis struct {
	left, right float64
	begin, end  int64
	perNs       float64 // pixels
	pauses      []pause
}

type pause struct{ begin, end int64 }

const (
	longPause = 10e6 // nanoseconds
	cutWidth  = 36.0
)

func newAxis(t *Trace, left, right float64) axis {
	a := axis{left: left, right: right, begin: t.Events[0].Begin, end: t.Events[0].end()}
	for i := range t.Events {
		a.begin, a.end = min(a.begin, t.Events[i].Begin), max(a.end, t.Events[i].end())
	}
	a.pauses = t.pauses(a.begin, a.end)
	// The pauses together get at most half of the width.
	if most := int((right - left) / 2 / cutWidth); len(a.pauses) > most {
		slices.SortFunc(a.pauses, func(x, y pause) int { return cmp.Compare(y.end-y.begin, x.end-x.begin) })
		a.pauses = a.pauses[:most]
		slices.SortFunc(a.pauses, func(x, y pause) int { return cmp.Compare(x.begin, y.begin) })
	}
	drawn := a.end - a.begin
	for _, p := range a.pauses {
		drawn -= p.end - p.begin
	}
	a.perNs = (right - left - cutWidth*float64(len(a.pauses))) / float64(max(1, drawn))
	return a
}

// pauses returns the intervals above longPause in which both sides only wait.
func (t *Trace) pauses(begin, end int64) []pause {
	var busy []pause
	for i := range t.Events {
		if e := &t.Events[i]; e.Category != Verb && e.Category != Wait && e.Category != Exchange {
			busy = append(busy, pause{e.Begin, e.end()})
		}
	}
	slices.SortFunc(busy, func(x, y pause) int { return cmp.Compare(x.begin, y.begin) })
	var out []pause
	at := begin
	for _, b := range append(busy, pause{end, end}) {
		if b.begin-at > longPause {
			out = append(out, pause{at, b.begin})
		}
		at = max(at, b.end)
	}
	return out
}

// x returns the position of a time.
func (a *axis) x(t int64) float64 {
	x := a.left
	at := a.begin
	for _, p := range a.pauses {
		if t <= p.begin {
			break
		}
		x += float64(p.begin-at)*a.perNs + cutWidth*float64(min(t, p.end)-p.begin)/float64(p.end-p.begin)
		at = p.end
	}
	return min(x+float64(max(0, t-at))*a.perNs, a.right)
}

// ticks returns the labelled times, about ten, at round numbers.
func (a *axis) ticks() []int64 {
	step := roundStep((a.right - a.left) / a.perNs / 14)
	var out []int64
	next := func(t int64) int64 { return t + step - ((t%step)+step)%step }
	for t := next(a.begin - 1); t <= a.end; t = next(t) {
		if p := a.pauseAt(t); p != nil {
			t = p.end
			continue
		}
		out = append(out, t)
	}
	return out
}

// roundStep returns the smallest 1, 2 or 5 times a power of ten that is at least ns.
func roundStep(ns float64) int64 {
	for base := int64(1); ; base *= 10 {
		for _, f := range []int64{1, 2, 5} {
			if float64(f*base) >= ns {
				return f * base
			}
		}
	}
}

func (a *axis) pauseAt(t int64) *pause {
	for i := range a.pauses {
		if p := &a.pauses[i]; t > p.begin && t < p.end {
			return p
		}
	}
	return nil
}

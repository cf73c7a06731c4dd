package timeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// words is a step with a fixed text.
type words string

func (w words) String() string { return string(w) }

func TestNilRecordsNothing(t *testing.T) {
	var r *Recorder
	n := testing.AllocsPerRun(10, func() {
		r.Begin(Work, "something").EndWith(nil)
		r.BeginStep(nil, "/process").End()
		r.Earlier("something", 1, 1)
		r.EndBatches(1)
		if r.Now() != 0 {
			t.Error("it tells the time")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations; want none", n)
	}
}

// both runs f with each clock.
func both(t *testing.T, f func(t *testing.T, r *Recorder)) {
	for name, c := range map[string]clock{"counter": {true}, "CLOCK_REALTIME": {false}} {
		t.Run(name, func(t *testing.T) { f(t, newRecorder("onggi test", c)) })
	}
}

func TestSpansKeepTheirTime(t *testing.T) {
	both(t, func(t *testing.T, r *Recorder) {
		before := time.Now()
		outer := r.Begin(Verb, "outer")
		begin := time.Now()
		for time.Since(begin) < 3*time.Millisecond {
		}
		r.BeginStep(words("mount proc on /proc"), "/mounts/0").EndWith(errors.New("no"))
		outer.End()
		took := time.Since(before)
		tr := r.Trace()
		out, in := find(t, tr, "outer"), find(t, tr, "mount proc on /proc")
		if d := time.Duration(out.Length); d < 3*time.Millisecond || d > took+took/10 {
			t.Errorf("the span lasts %v; want 3ms to %v", d, took)
		}
		if in.Args["field"] != "/mounts/0" || in.Args["error"] != "no" || in.Category != Step {
			t.Errorf("step = %+v", in)
		}
		wellFormed(t, tr)
	})
}

func TestUnfinishedSpansEndWithTheTrace(t *testing.T) {
	r := New("onggi test")
	r.Begin(Verb, "outer")
	r.Begin(Work, "inner")
	tr := r.Trace()
	wellFormed(t, tr)
	if e := find(t, tr, "inner"); e.Args["unfinished"] == "" {
		t.Errorf("inner = %+v; want it unfinished", e)
	}
}

func TestEarlierIsBefore(t *testing.T) {
	r := New("onggi test")
	r.Earlier("start", 2*time.Millisecond, time.Millisecond)
	r.Begin(Verb, "verb").End()
	tr := r.Trace()
	wellFormed(t, tr)
	start, verb := find(t, tr, "start"), find(t, tr, "verb")
	if start.Begin != 0 || start.Length != 1e6 || verb.Begin < 2e6 {
		t.Errorf("start %+v, verb %+v", start, verb)
	}
}

// The format wants the events of one thread to nest, so overlapping spans get
// threads of their own.
func TestWhatOverlapsIsApart(t *testing.T) {
	r := New("onggi test")
	a := r.Begin(Work, "a")
	b := r.Begin(Work, "b")
	a.End()
	c := r.Begin(Work, "c")
	b.End()
	c.End()
	tr := r.Trace()
	wellFormed(t, tr)
	if len(tr.Events) != 3 {
		t.Errorf("%d events; want 3", len(tr.Events))
	}
}

// sent records a batch whose calls have the given stamps. The first stamp is
// the begin of the batch. A call without a stamp was not executed.
func sent(r *Recorder, process int, begin int64, received int64, stamps ...int64) {
	mounts := &Task{words("mount proc on /proc"), "/mounts/0"}
	r.AddBatch(&Batch{Process: process, Sent: begin, Received: received, Read: func() (int64, []Call) {
		var calls []Call
		for i, s := range stamps[1:] {
			calls = append(calls, Call{Text: fmt.Sprintf("call%d()", i), Result: -2, Ended: s, Task: mounts})
		}
		return stamps[0], calls
	}})
}

func TestCallsLieInTheirBatch(t *testing.T) {
	both(t, func(t *testing.T, r *Recorder) {
		at := r.Now()
		sent(r, 17, at, at+10000, at+1000, at+3000, at+4000)
		tr := r.Trace()
		wellFormed(t, tr)
		batch, step := find(t, tr, "batch of 2 calls"), find(t, tr, "mount proc on /proc")
		first, second := find(t, tr, "call0()"), find(t, tr, "call1()")
		if first.Begin <= batch.Begin || step.Begin != first.Begin || second.Begin != first.Begin+first.Length {
			t.Errorf("batch %+v, step %+v, calls %+v, %+v", batch, step, first, second)
		}
		if step.Args["field"] != "/mounts/0" || first.Args["result"] != "-1 ENOENT (no such file or directory)" {
			t.Errorf("step %+v, call %+v", step, first)
		}
	})
}

// The container side may send false stamps.
func TestLyingStampsStayInTheirBatch(t *testing.T) {
	for name, lies := range map[string][]int64{
		"before":    {-5000, -4000, -3000},
		"behind":    {20000, 30000, 1 << 62},
		"backwards": {5000, 4000, 3000},
		"wild":      {1, -1 << 62, 1<<63 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := New("onggi test")
			at := r.Now()
			sent(r, 17, at, at+10000, at+lies[0], at+lies[1], lies[2])
			tr := r.Trace()
			wellFormed(t, tr)
			batch := find(t, tr, "batch of 2 calls")
			for _, e := range tr.Events {
				if e.Begin < batch.Begin || e.Begin+e.Length > batch.Begin+batch.Length {
					t.Errorf("%+v is not in %+v", e, batch)
				}
			}
		})
	}
}

func TestBatchesWithoutAnAnswer(t *testing.T) {
	r := New("onggi test")
	at := r.Now()
	none := func(err error) *Batch {
		return &Batch{Process: 17, Sent: at, Err: err, Read: func() (int64, []Call) {
			return 0, []Call{{Text: `read(<start>, &, 1)`}, {Text: `execve("/bin/true", &{…}, &{…})`}}
		}}
	}
	r.AddBatch(none(nil))
	r.EndBatches(17)
	dead := none(errors.New("killed"))
	dead.Process = 18
	r.AddBatch(dead)
	tr := r.Trace()
	wellFormed(t, tr)
	var errs string
	for _, e := range tr.Events {
		errs += e.Args["error"]
		if e.Name != "2 calls, not timed" || !strings.HasPrefix(e.Args["calls"], "read(<start>, &, 1); execve(") {
			t.Errorf("%+v", e)
		}
	}
	if errs != "killed" {
		t.Errorf("errors %q; want killed, of one of them", errs)
	}
}

func find(t *testing.T, tr *Trace, name string) Event {
	t.Helper()
	for _, e := range tr.Events {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no event %q in %+v", name, tr.Events)
	return Event{}
}

// wellFormed checks that the file is JSON, that every thread has a name, and
// that events begin at 0 or later, end at or after their begin, and nest on
// their thread.
func wellFormed(t *testing.T, tr *Trace) {
	t.Helper()
	var file bytes.Buffer
	n, err := tr.WriteTo(&file)
	if err != nil || n != int64(file.Len()) || !json.Valid(file.Bytes()) {
		t.Errorf("WriteTo = %d, %v, of %d bytes: %s", n, err, file.Len(), file.Bytes())
	}
	named := map[[2]int]bool{}
	for _, n := range tr.Names {
		named[[2]int{n.Process, n.Thread}] = true
	}
	open := map[[2]int][]Event{}
	for _, e := range tr.Events {
		thread := [2]int{e.Process, e.Thread}
		if !named[thread] || e.Thread == 0 {
			t.Errorf("%+v is on a thread without a name", e)
		}
		if e.Begin < 0 || e.Length < 0 {
			t.Errorf("%+v is out of time", e)
		}
		stack := open[thread]
		for len(stack) > 0 && stack[len(stack)-1].Begin+stack[len(stack)-1].Length <= e.Begin {
			stack = stack[:len(stack)-1]
		}
		if len(stack) > 0 && e.Begin+e.Length > stack[len(stack)-1].Begin+stack[len(stack)-1].Length {
			t.Errorf("%+v overlaps %+v", e, stack[len(stack)-1])
		}
		open[thread] = append(stack, e)
	}
}

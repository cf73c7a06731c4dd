package remote

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// tagged is the timeline step for a tag.
type tagged int

func (n tagged) String() string { return "step " + strconv.Itoa(int(n)) }

// eachClock runs a test with a traced stub, once for each clock.
func eachClock(t *testing.T, f func(t *testing.T, r *timeline.Recorder, s *Stub)) {
	for name, r := range map[string]*timeline.Recorder{"counter": timeline.New("test"), "clock": timeline.NewWithoutCounter("test")} {
		t.Run(name, func(t *testing.T) {
			keepsDescriptors(t)
			trace := Trace{Recorder: r, Task: func(tag int) timeline.Task { return timeline.Task{Step: tagged(tag), Field: "/f"} }}
			s, err := Start(context.Background(), Spawn{Control: 8, Timeout: 10 * time.Second, Argv0: "stub", Trace: trace})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Kill()
			f(t, r, s)
		})
	}
}

// of returns the container side's events of a category, in order.
func of(r *timeline.Recorder, c timeline.Category) []timeline.Event {
	var out []timeline.Event
	for _, e := range r.Trace().Events {
		if e.Category == c && e.Process == timeline.ContainerSide {
			out = append(out, e)
		}
	}
	return out
}

// TestTraceTimesEachCall: the nanosleep is the longest call and takes at least its time.
func TestTraceTimesEachCall(t *testing.T) {
	eachClock(t, func(t *testing.T, r *timeline.Recorder, s *Stub) {
		var b Batch
		b.Tag(3)
		b.Umask(0o22)
		b.Tag(4)
		nap := b.words(0, uint64(5*time.Millisecond))
		b.call("nanosleep", unix.SYS_NANOSLEEP, nap, Hex(0))
		b.Close(Inherited(99, "nothing")).TolerateAll()
		do(t, s, &b)

		calls, steps, batches := of(r, timeline.SystemCall), of(r, timeline.Step), of(r, timeline.Exchange)
		if len(calls) != 3 || len(steps) != 2 || len(batches) != 1 {
			t.Fatalf("%d calls, %d steps, %d batches; want 3, 2, 1", len(calls), len(steps), len(batches))
		}
		if calls[0].Name != "umask(022)" || steps[0].Name != "step 3" || steps[1].Name != "step 4" || steps[1].Args["field"] != "/f" {
			t.Errorf("the first call is %+v, the steps are %+v", calls[0], steps)
		}
		slept := time.Duration(calls[1].Length)
		if slept < 4900*time.Microsecond || calls[1].Length > batches[0].Length {
			t.Errorf("a sleep of 5 ms took %v, in a batch of %v", slept, time.Duration(batches[0].Length))
		}
		if got := calls[2].Args["result"]; got != "-1 EBADF (bad file descriptor)" {
			t.Errorf("result of close = %s", got)
		}
	})
}

// TestTraceChangesNoResult: results with stamps equal those without.
func TestTraceChangesNoResult(t *testing.T) {
	eachClock(t, func(t *testing.T, _ *timeline.Recorder, s *Stub) {
		var b Batch
		_, buf := b.Readlinkat(Cwd(), "/proc/self")
		fd := b.Open("/", unix.O_PATH)
		b.SendFile(s.Control(), fd)
		b.Fchdir(fd)
		do(t, s, &b)
		if got := string(buf.First(int64(len(itoa(s.Pid))))); got != itoa(s.Pid) || fd.Number() < 0 || len(b.Files()) != 1 {
			t.Errorf("/proc/self = %s, the descriptor is %d, %d files; want %d, one that is open, 1", got, fd.Number(), len(b.Files()), s.Pid)
		}
		for _, f := range b.Files() {
			f.Close()
		}
	})
}

func TestTraceOfAFailedBatch(t *testing.T) {
	eachClock(t, func(t *testing.T, r *timeline.Recorder, s *Stub) {
		var b Batch
		b.Umask(0)
		b.Chdir("/nonexistent")
		b.Umask(0)
		if err := s.Do(&b); !errors.Is(err, unix.ENOENT) {
			t.Fatalf("Do = %v; want ENOENT", err)
		}
		calls := of(r, timeline.SystemCall)
		if len(calls) != 2 || calls[1].Name != `chdir("/nonexistent")` || calls[1].Args["result"] != "-1 ENOENT (no such file or directory)" {
			t.Errorf("calls = %+v; want the two that were executed", calls)
		}
	})
}

// TestTraceOfAFork: the child has its own thread in the trace. It starts with the fork.
func TestTraceOfAFork(t *testing.T) {
	eachClock(t, func(t *testing.T, r *timeline.Recorder, s *Stub) {
		var b Batch
		b.Umask(0)
		child, err := s.Fork(&b, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer child.Kill()
		var c Batch
		c.Umask(0)
		do(t, child, &c)
		byThread := map[int][]string{}
		for _, e := range of(r, timeline.SystemCall) {
			byThread[e.Thread] = append(byThread[e.Thread], e.Name)
		}
		parent, born := byThread[1], byThread[2]
		if len(byThread) != 2 || parent[0] != "umask(0)" || born[len(born)-1] != "umask(0)" || len(born) != 3 {
			t.Errorf("calls by thread: %v; want the parent's, the child's own", byThread)
		}
	})
}

func TestTraceOfBatchesWithoutAnAnswer(t *testing.T) {
	eachClock(t, func(t *testing.T, r *timeline.Recorder, s *Stub) {
		var last Batch
		last.Exit(7)
		if err := s.SendLast(&last); err != nil {
			t.Fatal(err)
		}
		var next Batch
		next.Umask(0)
		if err := s.Do(&next); err == nil {
			t.Fatal("a stub that is gone answers")
		}
		r.EndBatches(s.Pid)
		batches := of(r, timeline.Exchange)
		if len(batches) != 2 || len(of(r, timeline.SystemCall)) != 0 {
			t.Fatalf("batches = %+v; want two without calls", batches)
		}
		if got := batches[0].Args; got["calls"] != "exit_group(7)" || got["error"] != "" {
			t.Errorf("the last batch: %q", got)
		}
		if got := batches[1].Args; got["calls"] != "umask(0)" || got["error"] == "" {
			t.Errorf("the one behind it: %q", got)
		}
	})
}

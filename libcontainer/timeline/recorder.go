package timeline

import (
	"fmt"
	"sync"
	"time"
)

// Recorder takes down what is done, and when. Nil is one that does not. It may
// be used by several goroutines, and for several operations; it forgets nothing,
// so a program that runs on takes another one now and then.
type Recorder struct {
	name  string
	clock clock
	begin pair

	mu      sync.Mutex
	earlier []earlier
	spans   []span
	batches []*Batch
}

// New gives a recorder. The name is what the runtime side is called in the
// file, "onggi run" say.
func New(name string) *Recorder { return newRecorder(name, findClock()) }

// NewWithoutCounter is New for a machine whose counter is not to be trusted,
// whatever the kernel thinks of it.
func NewWithoutCounter(name string) *Recorder { return newRecorder(name, clock{}) }

func newRecorder(name string, c clock) *Recorder {
	return &Recorder{name: name, clock: c, begin: c.pair()}
}

// Category says what kind of time a span is.
type Category string

// The categories. Verb to Wait are spans of the runtime side, Batch to Call of
// the container side; a step can be on either.
const (
	Verb       Category = "verb"  // all of an operation
	Work       Category = "work"  // a part of it that is no step of a plan
	Step       Category = "step"  // a step of a plan
	Wait       Category = "wait"  // for the container side, a hook, or the container
	Exchange   Category = "batch" // from a message to the container side to its answer
	SystemCall Category = "call"
)

// span is something that the runtime side did.
type span struct {
	category   Category
	name       string
	text       fmt.Stringer // in place of name
	field      string
	begin, end int64 // end is 0 while it lasts
	err        error
}

// earlier is what happened before there was a recorder.
type earlier struct {
	name        string
	ago, length time.Duration
}

// Span is something being recorded. The zero value is nothing.
type Span struct {
	r *Recorder
	i int
}

// Begin begins a span of the runtime side.
func (r *Recorder) Begin(c Category, name string) Span {
	if r == nil {
		return Span{}
	}
	return r.add(span{category: c, name: name, begin: r.clock.now()})
}

// BeginStep begins a step of a plan; field is the JSON pointer that asks for
// it.
func (r *Recorder) BeginStep(step fmt.Stringer, field string) Span {
	if r == nil {
		return Span{}
	}
	return r.add(span{category: Step, text: step, field: field, begin: r.clock.now()})
}

func (r *Recorder) add(s span) Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, s)
	return Span{r, len(r.spans) - 1}
}

// End ends the span.
func (s Span) End() { s.EndWith(nil) }

// EndWith ends the span and says what has failed in it, if something has.
func (s Span) EndWith(err error) {
	if s.r == nil {
		return
	}
	now := s.r.clock.now()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	it := &s.r.spans[s.i]
	it.end, it.err = now, err
}

// Earlier is for a span that began before the recorder, and lasted for length.
func (r *Recorder) Earlier(name string, ago, length time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.earlier = append(r.earlier, earlier{name, ago, length})
}

// Batch is a batch of system calls of the container side. The times are those
// of Now.
type Batch struct {
	Process  int   // that was sent it
	Sent     int64 // before sending
	Received int64 // when the answer was there; 0 for none yet
	Err      error // why there is no answer
	// Read gives what the process says: when it began, 0 for nothing, and the
	// calls that it has executed. Without an answer those are all. It is called
	// when the trace is written.
	Read func() (began int64, calls []Call)
}

// Call is a system call of a batch.
type Call struct {
	Text   string // with its arguments
	Result int64
	Ended  int64 // what the process says when it returned
	Task   *Task // what it is for, nil for nothing; neighbours share it
}

// Task is what calls are for: a step of a plan, and the JSON pointer that asks
// for it.
type Task struct {
	Step  fmt.Stringer
	Field string
}

// Now is the time, for Batch.
func (r *Recorder) Now() int64 {
	if r == nil {
		return 0
	}
	return r.clock.now()
}

// Counter tells which of the clocks the container side has to read: the
// machine's counter, or CLOCK_REALTIME.
func (r *Recorder) Counter() bool { return r.clock.counter }

// AddBatch records a batch, which is the recorder's from here on.
func (r *Recorder) AddBatch(b *Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, b)
}

// EndBatches ends those that a process has not answered: it has become its
// program, or is gone.
func (r *Recorder) EndBatches(process int) {
	if r == nil {
		return
	}
	now := r.clock.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.batches {
		if b.Process == process && b.Received == 0 {
			b.Received = now
		}
	}
}

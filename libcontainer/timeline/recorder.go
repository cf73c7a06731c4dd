package timeline

import (
	"fmt"
	"sync"
	"time"
)

// Recorder records operations and their times. A nil Recorder records nothing.
// Several goroutines and several operations may share one. A Recorder never
// drops an entry, so a long-running program replaces it from time to time.
type Recorder struct {
	name  string
	clock clock
	begin pair

	mu      sync.Mutex
	earlier []earlier
	spans   []span
	batches []*Batch
}

// New returns a recorder. The name labels the runtime side in the file, for
// example "onggi run".
func New(name string) *Recorder { return newRecorder(name, findClock()) }

// NewWithoutCounter is New for a machine whose counter is unreliable although
// the kernel offers it.
func NewWithoutCounter(name string) *Recorder { return newRecorder(name, clock{}) }

func newRecorder(name string, c clock) *Recorder {
	return &Recorder{name: name, clock: c, begin: c.pair()}
}

// Category is the kind of a span.
type Category string

// The categories. Verb, Work, Step and Wait are spans of the runtime side. Batch
// and Call are spans of the container side. A step can be on either side.
const (
	Verb       Category = "verb"  // all of an operation
	Work       Category = "work"  // a part of it that is no step of a plan
	Step       Category = "step"  // a step of a plan
	Wait       Category = "wait"  // for the container side, a hook, or the container
	Exchange   Category = "batch" // from a message to the container side to its answer
	SystemCall Category = "call"
)

// span is one piece of work of the runtime side.
type span struct {
	category   Category
	name       string
	text       fmt.Stringer // in place of name
	field      string
	begin, end int64 // end is 0 while it lasts
	err        error
}

// earlier is a span from before the recorder existed.
type earlier struct {
	name        string
	ago, length time.Duration
}

// Span is a span under way. The zero value records nothing.
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

// BeginStep begins a step of a plan. The field is the JSON pointer that asks
// for the step.
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

// EndWith ends the span and records its error, if there is one.
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

// Earlier adds a span that began ago before the recorder, and lasted for length.
func (r *Recorder) Earlier(name string, ago, length time.Duration) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.earlier = append(r.earlier, earlier{name, ago, length})
}

// Batch is a batch of system calls of the container side. Its times are values
// of Now.
type Batch struct {
	Process  int   // the receiver
	Sent     int64 // the time before the send
	Received int64 // the time of the answer; 0 before it
	Err      error // the reason for a missing answer
	// Read returns the container side's report: the time of the begin, 0 if
	// unknown, and the executed calls. Without an answer it returns all calls
	// of the batch. WriteTo calls it.
	Read func() (began int64, calls []Call)
}

// Call is a system call of a batch.
type Call struct {
	Text   string // with its arguments
	Result int64
	Ended  int64 // the time of the return, as the process reports it
	Task   *Task // the purpose, may be nil; neighbours share one
}

// Task is the purpose of calls: a step of a plan, and the JSON pointer that
// asks for it.
type Task struct {
	Step  fmt.Stringer
	Field string
}

// Now returns the time, for Batch.
func (r *Recorder) Now() int64 {
	if r == nil {
		return 0
	}
	return r.clock.now()
}

// Counter reports the clock that the container side has to read: true for the
// machine's counter, false for CLOCK_REALTIME.
func (r *Recorder) Counter() bool { return r.clock.counter }

// AddBatch records a batch. The recorder owns it from then on.
func (r *Recorder) AddBatch(b *Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, b)
}

// EndBatches ends the unanswered batches of a process that has executed its
// program or has died.
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

package remote

import (
	"errors"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// Trace is where a stub's batches are recorded.
type Trace struct {
	Recorder *timeline.Recorder
	// Task says what calls with a tag are for; of those without one it says
	// what is being done.
	Task func(tag int) timeline.Task
}

// batchTrace is what a batch to a traced stub has beyond others.
type batchTrace struct {
	sent   int64
	stamps int // where in the reply they are, 0 for none
	first  int // the first call that counts: of a forked child, behind the fork
}

// timing is the kind of stub that a trace takes.
func (t *Trace) timing() stub.Timing {
	switch {
	case t.Recorder == nil:
		return stub.Untimed
	case t.Recorder.Counter():
		return stub.Counter
	}
	return stub.Clock
}

// replyLen is the length of the batch's reply.
func (b *content) replyLen() int {
	if b.trace.stamps == 0 {
		return b.base + b.reply
	}
	return b.trace.stamps + stub.StampSize*(len(b.calls)+1)
}

// answered records a batch and its answer, or why there is none.
func (s *Stub) answered(b *Batch, err error) {
	if s.trace == nil {
		return
	}
	if ce := (*CallError)(nil); err != nil && !errors.As(err, &ce) || b.trace.stamps == 0 {
		s.unanswered(b, err)
		return
	}
	back, t, now := b.back, b.trace, s.task(0)
	received := s.trace.Now()
	stamp := func(i int) int64 { return s.timing.Stamp(back[t.stamps+stub.StampSize*i:]) }
	sent := max(t.sent, s.free) // until then it has waited in the socket
	if t.first > 0 {            // a child's: before, there was nobody to be sent it, and after, it may have another
		sent = min(max(sent, stamp(t.first)), received)
		received = min(max(sent, stamp(len(b.calls))), received)
	}
	s.free = received
	s.trace.AddBatch(&timeline.Batch{
		Process: s.Pid, Sent: sent, Received: received,
		Read: func() (int64, []timeline.Call) {
			calls := b.describe(t.first, s.task, now, func(i int, c *timeline.Call) bool {
				c.Result, c.Ended = b.valueIn(back, i), stamp(1+i)
				return c.Result != stub.NotRun
			})
			return stamp(t.first), calls
		},
	})
}

// unanswered records a batch that nothing is known of but that it was sent.
func (s *Stub) unanswered(b *Batch, err error) {
	if s.trace == nil {
		return
	}
	now := s.task(0)
	record := &timeline.Batch{Process: s.Pid, Sent: b.trace.sent, Err: err}
	if err != nil {
		record.Received = s.trace.Now()
	}
	record.Read = func() (int64, []timeline.Call) {
		return 0, b.describe(0, s.task, now, func(int, *timeline.Call) bool { return true })
	}
	s.trace.AddBatch(record)
}

// describe puts calls from first on into words: those that fill completes.
func (b *content) describe(first int, task func(tag int) timeline.Task, now timeline.Task, fill func(int, *timeline.Call) bool) []timeline.Call {
	var out []timeline.Call
	var current *timeline.Task
	tag := int32(-1)
	for i := first; i < len(b.calls); i++ {
		if b.calls[i].tag != tag {
			tag = b.calls[i].tag
			t := now
			if tag != 0 {
				t = task(int(tag))
			}
			current = &t
		}
		c := timeline.Call{Text: b.format(i), Task: current}
		if fill(i, &c) {
			out = append(out, c)
		}
	}
	return out
}

package remote

import (
	"errors"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// Trace records a stub's batches.
type Trace struct {
	Recorder *timeline.Recorder
	// Task returns the purpose of calls with a tag. For tag 0 it returns the present
	// activity.
	Task func(tag int) timeline.Task
}

// batchTrace is the additional state of a batch for a traced stub.
type batchTrace struct {
	sent   int64
	stamps int // offset of the stamps in the reply, 0: none
	kept   bool
	first  int // index of the first call to record; for a forked child, the one after the fork
}

// timing returns the kind of stub that the trace needs.
func (t *Trace) timing() stub.Timing {
	switch {
	case t.Recorder == nil:
		return stub.Untimed
	case t.Recorder.Counter():
		return stub.Counter
	}
	return stub.Clock
}

// replyLen returns the length of the batch's reply.
func (b *content) replyLen() int {
	if b.trace.stamps == 0 {
		return b.base + b.reply
	}
	return b.trace.stamps + stub.StampSize*(len(b.calls)+1)
}

// answered records a batch with its reply. Without a reply it records the error.
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
	sent := max(t.sent, s.free) // before that it waited in the socket
	if t.first > 0 {            // a child: it did not exist before its first stamp, and may execute its next batch after the last
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

// unanswered records a batch that was sent and has no results.
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

// describe returns the calls from index first on for a trace. It omits those for which
// fill returns false.
func (b *content) describe(first int, task func(tag int) timeline.Task, now timeline.Task, fill func(int, *timeline.Call) bool) []timeline.Call {
	var out []timeline.Call
	var current *timeline.Task
	tag := int32(0)
	for i := first; i < len(b.calls); i++ {
		if current == nil || b.calls[i].tag != tag {
			tag = b.calls[i].tag
			t := now
			if tag > 0 {
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

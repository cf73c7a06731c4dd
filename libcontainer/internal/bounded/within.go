package bounded

import (
	"context"
	"sync"
	"time"
)

// Within is context.WithTimeout whose timer does not run before somebody waits
// for it. The first timer of a program starts Go's poller and a thread, and what
// has a deadline is mostly done without waiting for anything.
func Within(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	w := &within{Context: parent, deadline: time.Now().Add(d)}
	return w, w.stop
}

type within struct {
	context.Context // the parent, and once somebody waits, what has the timer
	deadline        time.Time

	mu     sync.Mutex
	cancel context.CancelFunc // nil: nobody waits
}

// timed starts the timer.
func (w *within) timed() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel == nil {
		w.Context, w.cancel = context.WithDeadline(w.Context, w.deadline)
	}
	return w.Context
}

// current is the context as far as it is.
func (w *within) current() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Context
}

// Done is for who waits.
func (w *within) Done() <-chan struct{} { return w.timed().Done() }

// Err knows the time without a timer.
func (w *within) Err() error {
	if err := w.current().Err(); err != nil || time.Now().Before(w.deadline) {
		return err
	}
	return context.DeadlineExceeded
}

// Deadline is the parent's if that is earlier.
func (w *within) Deadline() (time.Time, bool) {
	if at, ok := w.current().Deadline(); ok && at.Before(w.deadline) {
		return at, true
	}
	return w.deadline, true
}

// Value has to find the context that knows why it ended (context.Cause).
func (w *within) Value(key any) any { return w.current().Value(key) }

// stop ends the timer, or sees to it that there will be none.
func (w *within) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel == nil {
		w.Context, w.cancel = context.WithCancel(w.Context)
	}
	w.cancel()
}

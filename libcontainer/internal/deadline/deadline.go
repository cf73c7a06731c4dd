package deadline

import (
	"context"
	"sync"
	"time"
)

// Within is context.WithTimeout with a timer that starts at the first wait. The
// first timer of a program starts Go's poller and a thread, and most work with a
// deadline finishes without a wait.
func Within(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	w := &within{Context: parent, deadline: time.Now().Add(d)}
	return w, w.stop
}

type within struct {
	context.Context // the parent; from the first wait on, the context with the timer
	deadline        time.Time

	mu     sync.Mutex
	cancel context.CancelFunc // nil before the first wait
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

// current returns the context with the timer if it has started, else the parent.
func (w *within) current() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Context
}

// Done starts the timer: its caller is about to wait.
func (w *within) Done() <-chan struct{} { return w.timed().Done() }

// Err compares the time, and needs no timer.
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

// Value has to reach the context that knows the cause of its end (context.Cause).
func (w *within) Value(key any) any { return w.current().Value(key) }

// stop ends the timer, or prevents its start.
func (w *within) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel == nil {
		w.Context, w.cancel = context.WithCancel(w.Context)
	}
	w.cancel()
}

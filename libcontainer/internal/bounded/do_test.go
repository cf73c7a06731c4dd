package bounded

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDoReturnsWhatTheFunctionReturns(t *testing.T) {
	failure := errors.New("failure")
	for _, want := range []error{nil, failure} {
		got, err := Do(t.Context(), func() (int, error) { return 7, want }, func(int) { t.Error("undone") })
		if got != 7 || err != want {
			t.Errorf("Do = %d, %v; want 7, %v", got, err, want)
		}
	}
}

func TestDoGivesUp(t *testing.T) {
	release, undone := make(chan struct{}), make(chan int)
	over := errors.New("over")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, over)
	defer cancel()
	got, err := Do(ctx, func() (int, error) { <-release; return 7, nil }, func(n int) { undone <- n })
	if got != 0 || err != over {
		t.Errorf("Do = %d, %v; want 0, %v", got, err, over)
	}
	close(release)
	if n := <-undone; n != 7 {
		t.Errorf("undone: %d; want 7", n)
	}
}

// The signal mask must be restored: the thread goes on to run other goroutines.
func TestDoLeavesTheThreadAsItWas(t *testing.T) {
	mask := func() unix.Sigset_t {
		var set unix.Sigset_t
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &set); err != nil {
			t.Error(err)
		}
		return set
	}
	before := mask()
	for range 100 {
		during, err := Do(t.Context(), func() (unix.Sigset_t, error) { return mask(), nil }, nil)
		if err != nil || during.Val[0]&(1<<(unix.SIGTERM-1)) == 0 {
			t.Fatalf("mask during = %x, %v; want SIGTERM in it", during.Val[0], err)
		}
		if after := mask(); after != before {
			t.Fatalf("mask = %x; want %x", after.Val[0], before.Val[0])
		}
	}
}

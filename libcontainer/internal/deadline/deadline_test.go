package deadline

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWithinWaits(t *testing.T) {
	ctx, stop := Within(t.Context(), time.Millisecond)
	defer stop()
	<-ctx.Done()
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		t.Errorf("Err() = %v, Cause %v", err, context.Cause(ctx))
	}
}

// TestWithinKnowsTheTime checks that the context ends although nobody waits for it.
func TestWithinKnowsTheTime(t *testing.T) {
	ctx, stop := Within(t.Context(), 0)
	defer stop()
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		t.Errorf("Err() = %v, Cause %v", err, context.Cause(ctx))
	}
	later, stop := Within(t.Context(), time.Hour)
	defer stop()
	if err := later.Err(); err != nil || context.Cause(later) != nil {
		t.Errorf("Err() an hour before = %v, Cause %v", err, context.Cause(later))
	}
}

func TestWithinItsParent(t *testing.T) {
	reason := errors.New("reason")
	for name, wait := range map[string]bool{"somebody waits": true, "nobody does": false} {
		parent, end := context.WithCancelCause(t.Context())
		ctx, stop := Within(parent, time.Hour)
		defer stop()
		if wait {
			ctx.Done()
		}
		end(reason)
		if err := ctx.Err(); !errors.Is(err, context.Canceled) || !errors.Is(context.Cause(ctx), reason) {
			t.Errorf("%s: Err() = %v, Cause %v", name, err, context.Cause(ctx))
		}
		<-ctx.Done()
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx, stop := Within(soon, time.Hour)
	defer stop()
	want, _ := soon.Deadline()
	if got, ok := ctx.Deadline(); !ok || !got.Equal(want) {
		t.Errorf("Deadline() = %v, %v; want the parent's, %v", got, ok, want)
	}
}

func TestWithinIsStopped(t *testing.T) {
	for name, wait := range map[string]bool{"somebody waits": true, "nobody does": false} {
		ctx, stop := Within(t.Context(), time.Hour)
		child, end := context.WithCancel(ctx)
		if !wait {
			end()
			ctx, stop = Within(t.Context(), time.Hour)
			child = ctx
		}
		stop()
		stop()
		<-child.Done()
		if err := ctx.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Err() = %v", name, err)
		}
		end()
	}
}

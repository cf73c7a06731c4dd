package engine

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestOutlasting(t *testing.T) {
	asked := errors.New("asked to end")
	ctx, cancel := context.WithCancelCause(t.Context())
	long, stop := outlasting(ctx, time.Hour)
	short, stopShort := outlasting(ctx, time.Millisecond)
	defer stopShort()
	cancel(asked)
	<-short.Done()
	if err := context.Cause(short); err != asked {
		t.Errorf("the cause is %v; want %v", err, asked)
	}
	if err := long.Err(); err != nil {
		t.Errorf("an hour later is now: %v", err)
	}
	stop()
	if long.Err() == nil {
		t.Error("it is not over when it is stopped")
	}
}

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

func TestInPeerGroup(t *testing.T) {
	const mountinfo = "22 1 8:1 / / rw,relatime shared:12 master:3 - ext4 /dev/sda1 rw\n" +
		"23 22 0:5 / /shared:9 rw - proc shared:8 rw\n" + "short line\n"
	for group, want := range map[uint64]bool{12: true, 1: false, 3: false, 8: false, 9: false} {
		if got := inPeerGroup(mountinfo, group); got != want {
			t.Errorf("inPeerGroup(%d) = %t; want %t", group, got, want)
		}
	}
}

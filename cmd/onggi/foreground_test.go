package main

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

var errGone = errors.New("gone")

// recorder is a process that records the signals it gets.
type recorder struct{ got []unix.Signal }

func (r *recorder) Signal(sig unix.Signal) error {
	r.got = append(r.got, sig)
	return errGone
}

func (r *recorder) Wait(context.Context) (int, error) { return 7, nil }

func TestSignalsWaitForTheProcess(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	f, p := &foreground{cancel: cancel}, &recorder{}
	f.signal(unix.SIGUSR1)
	if ctx.Err() != nil {
		t.Error("SIGUSR1 ended the creation of the process")
	}
	f.signal(unix.SIGTERM)
	if err := context.Cause(ctx); err == nil || err.Error() != "interrupted by SIGTERM" {
		t.Errorf("SIGTERM ended the creation of the process with %v", err)
	}
	if status, err := f.wait(context.Background(), p); status != 7 || err != nil {
		t.Errorf("wait = %d, %v; want 7, nil", status, err)
	}
	f.signal(unix.SIGINT)
	if want := []unix.Signal{unix.SIGUSR1, unix.SIGTERM, unix.SIGINT}; !slices.Equal(p.got, want) {
		t.Errorf("the process got %v; want %v", p.got, want)
	}
}

func TestBecause(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	if got := because(ctx, errGone); got.Error() != "gone" {
		t.Errorf("because = %v; want gone", got)
	}
	cancel(interrupted(unix.SIGTERM))
	if got := because(ctx, nil); got != nil {
		t.Errorf("because = %v; want nil", got)
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{context.Canceled, "interrupted by SIGTERM: context canceled"},
		{context.Cause(ctx), "interrupted by SIGTERM"},
	} {
		if got := because(ctx, tt.err); got.Error() != tt.want {
			t.Errorf("because(%v) = %v; want %s", tt.err, got, tt.want)
		}
	}
}

func TestEndedChild(t *testing.T) {
	if pid := endedChild(); pid != 0 {
		t.Fatalf("endedChild() = %d before there is one", pid)
	}
	child := exec.Command("true")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, child.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 { // endedChild does not reap the child
		if pid := endedChild(); pid != child.Process.Pid {
			t.Errorf("endedChild() = %d; want %d", pid, child.Process.Pid)
		}
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}

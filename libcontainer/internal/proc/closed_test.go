package proc

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A call on a closed pidfd fails. It does not wait for ever.
func TestClosedPidfd(t *testing.T) {
	_, pidfd := child(t, "exec sleep 1000")
	again, err := unix.Dup(int(pidfd.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	closed := os.NewFile(uintptr(again), "pidfd")
	closed.Close()
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	_, reapErr := Reap(ctx, closed)
	_, endedErr := Ended(closed)
	for name, err := range map[string]error{"Wait": Wait(ctx, closed), "Reap": reapErr, "Ended": endedErr, "Signal": Signal(closed, 0)} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s of a closed pidfd = %v; want %v", name, err, os.ErrClosed)
		}
	}
}

// A descriptor that is closed during a wait still belongs to its process.
func TestCloseWhileWaiting(t *testing.T) {
	pid, pidfd := child(t, "exec sleep 1000")
	got := make(chan error, 1)
	status := 0
	go func() {
		var err error
		status, err = Reap(t.Context(), pidfd)
		got <- err
	}()
	time.Sleep(20 * time.Millisecond) // so that it waits; else there is nothing to see
	pidfd.Close()
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-got; (err != nil || status != 128+15) && !errors.Is(err, os.ErrClosed) {
		t.Errorf("Reap = %d, %v; want %d", status, err, 128+15)
	}
}

// Another waiter for all children may reap the process first.
func TestReapedByAnother(t *testing.T) {
	for script, want := range map[string]int{"exit 7": 7, "kill -TERM $$": 128 + 15} {
		pid, pidfd := child(t, script)
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			t.Fatal(err)
		}
		got, err := Reap(t.Context(), pidfd)
		if _, kept := ExitStatus(pid, pidfd); !kept { // before Linux 6.15
			if !errors.Is(err, ErrNoStatus) || !errors.Is(err, unix.ECHILD) {
				t.Errorf("Reap(%q) = %d, %v; want %v", script, got, err, ErrNoStatus)
			}
			continue
		}
		if got != want || err != nil {
			t.Errorf("Reap(%q) = %d, %v; want %d", script, got, err, want)
		}
	}
}

package remote

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestADeadlineAmongSignals: the deadline of a batch also holds for a thread that constantly gets signals.
func TestADeadlineAmongSignals(t *testing.T) {
	keepsDescriptors(t)
	s, err := Start(t.Context(), Spawn{Control: 3, Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	isUp(t, s)
	if err := unix.Kill(s.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	over, done := make(chan struct{}), make(chan struct{})
	go func(thread int) {
		defer close(done)
		for range 100 { // 5 seconds
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
				_ = unix.Tgkill(os.Getpid(), thread, unix.SIGURG)
			}
		}
	}(unix.Gettid())
	began := time.Now()
	var b Batch
	b.Umask(0)
	err = s.Do(&b)
	close(over)
	<-done
	if took := time.Since(began); err != ErrTimeout || took > 3*time.Second {
		t.Errorf("Do = %v after %v; want %v", err, took, ErrTimeout)
	}
}

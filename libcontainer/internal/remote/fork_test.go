package remote

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// dyingFork requests a fork whose parent exits between the clone and its reply.
func dyingFork(t *testing.T, s *Stub) *Forking {
	t.Helper()
	ours, theirs, err := controlPair(s.timeout)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	f := &Forking{Child: &Stub{sock: ours, pidfd: -1, control: s.control, timeout: s.timeout, ctx: s.ctx, unwatch: func() {}}, parent: s, b: &Batch{}}
	f.lay(nil)
	f.b.call("getppid", unix.SYS_GETPPID) // only the child continues here; it skips the next call
	f.b.Exit(stub.ExitLost)
	(Result{f.b.content, f.b.Len() - 2}).OnPositiveSkip()
	f.pid.OnPositiveSkipTo(f.b.Len() - 1)
	if err := s.Send(f.b); err != nil {
		t.Fatal(err)
	}
	if err := s.SendFiles(f.b, []int{int(theirs.Fd())}); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestForkWhoseParentDies: the runtime side finds, kills and reaps the child although its parent has not reported it.
func TestForkWhoseParentDies(t *testing.T) {
	for name, busy := range map[string]bool{"it waits": false, "it has more to do": true} {
		t.Run(name, func(t *testing.T) {
			keepsDescriptors(t)
			s := start(t.Context(), t)
			isUp(t, s)
			f := dyingFork(t, s)
			if busy {
				var b Batch
				b.Umask(0o22)
				if err := f.Child.Send(&b); err != nil {
					t.Fatal(err)
				}
			}
			var d *DeathError
			if err := f.Finish(); !errors.As(err, &d) {
				t.Errorf("Finish = %v; want a death", err)
			}
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("a child is left: wait4 = %d, %v", pid, err)
			}
		})
	}
}

package remote

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// Fork has the stub execute b, which may be empty, and then fork: the child is
// a stub of its own, with copies of all descriptors and a control socket of
// its own, and a child of this process. It is for pid namespaces, which only
// children enter, and for cgroups: with a cgroup2 directory the child is born
// there (CLONE_INTO_CGROUP). A stub of which a call of b has failed is of no
// use any more: the child's socket waits for it in the place of a batch.
func (s *Stub) Fork(b *Batch, cgroup *FD) (*Stub, error) {
	ours, theirs, err := controlPair(s.timeout)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	child := &Stub{sock: ours, pidfd: -1, control: s.control, timeout: s.timeout, trace: s.trace, timing: s.timing, task: s.task}
	child.watch(s.ctx)
	if err := s.fork(b, child, theirs, cgroup); err != nil {
		if child.pidfd >= 0 {
			child.Kill()
		}
		child.Close()
		return nil, err
	}
	return child, nil
}

func (s *Stub) fork(b *Batch, child *Stub, theirs *os.File, cgroup *FD) error {
	end := b.ReceiveFiles(s.Control(), []string{"the child's control socket"})[0]
	b.call("fcntl", unix.SYS_FCNTL, fdArg(end), named("F_GETFD", unix.F_GETFD)) // a child without a socket would be nobody's
	pid := b.CloneInto(unix.CLONE_PARENT, cgroup)
	moved := b.Dup3(end, s.control, true).TolerateAll() // the child's own: these two
	b.Exit(stub.ExitLost)                               // it would speak to its parent's socket
	moved.OnZeroSkip()
	moved.OnPositiveSkip()
	pid.OnPositiveSkip()
	b.Close(end)
	if err := s.Send(b); err != nil {
		return err
	}
	if err := s.SendFiles(b, []*os.File{theirs}); err != nil {
		return err
	}
	if err := s.Receive(b); err != nil {
		return err
	}
	theirs.Close() // the child's is the last: its end can be heard
	child.Pid = int(pid.Value())
	fd, err := unix.PidfdOpen(child.Pid, 0) // ours until it is reaped, so the pid is still its own
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	child.pidfd = fd
	b.trace.first = pid.i + 1
	return child.Receive(b) // the child's own reply to the same batch
}

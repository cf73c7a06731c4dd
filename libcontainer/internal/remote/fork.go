package remote

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// Fork has the stub execute b, which may be empty, and then fork: the child is
// a stub of its own, with copies of all descriptors and a control socket of
// its own, and a child of this process. It is for pid namespaces, which only
// children enter. A stub of which a call of b has failed is of no use any more:
// the child's socket waits for it in the place of a batch.
func (s *Stub) Fork(b *Batch) (*Stub, error) {
	ours, theirs, err := controlPair(s.timeout)
	if err != nil {
		return nil, err
	}
	child := &Stub{sock: ours, pidfd: -1, control: s.control, timeout: s.timeout, trace: s.trace, timing: s.timing, task: s.task}
	child.watch(s.ctx)
	pid := s.layFork(b)
	err = s.Send(b)
	if err == nil {
		err = s.SendFiles(b, []int{int(theirs.Fd())})
	}
	theirs.Close() // the child's is the last: its end can be heard
	if err == nil {
		err = s.Receive(b)
	}
	if err == nil {
		err = child.born(b, pid)
	}
	if err != nil && child.pidfd >= 0 {
		child.Kill()
	}
	if err != nil {
		child.Close()
		return nil, err
	}
	return child, nil
}

// layFork adds the calls that fork.
func (s *Stub) layFork(b *Batch) (pid Result) {
	end := b.ReceiveFiles(s.Control(), []string{"the child's control socket"})[0]
	b.call("fcntl", unix.SYS_FCNTL, fdArg(end), named("F_GETFD", unix.F_GETFD)) // a child without a socket would be nobody's
	pid = b.Clone(unix.CLONE_PARENT)
	moved := b.Dup3(end, s.control, true).TolerateAll() // the child's own: these two
	b.Exit(stub.ExitLost)                               // it would speak to its parent's socket
	moved.OnZeroSkip()
	moved.OnPositiveSkip()
	pid.OnPositiveSkip()
	b.Close(end)
	return pid
}

// born takes what the child says to the batch that has made it.
func (s *Stub) born(b *Batch, pid Result) error {
	s.Pid = int(pid.Value())
	fd, err := unix.PidfdOpen(s.Pid, 0) // ours until it is reaped, so the pid is still its own
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	s.pidfd = fd
	b.trace.first = pid.i + 1
	return s.Receive(b)
}

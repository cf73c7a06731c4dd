package remote

import (
	"os"

	"golang.org/x/sys/unix"
)

// Fork forks the stub: the child is a stub of its own, with copies of all
// descriptors and a control socket of its own, and a child of this process.
// It is for pid namespaces, which only children enter.
// With a cgroup2 directory it is born there (CLONE_INTO_CGROUP).
func (s *Stub) Fork(cgroup *FD) (*Stub, error) {
	ours, theirs, err := controlPair(s.timeout)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	child := &Stub{sock: ours, pidfd: -1, control: s.control, timeout: s.timeout}
	child.watch(s.ctx)
	if err := s.fork(child, theirs, cgroup); err != nil {
		child.Close()
		return nil, err
	}
	return child, nil
}

func (s *Stub) fork(child *Stub, theirs *os.File, cgroup *FD) error {
	var b Batch
	end := b.ReceiveFiles(s.Control(), []string{"the child's control socket"})[0]
	pid := b.CloneInto(unix.CLONE_PARENT, cgroup)
	b.Dup3(end, s.control, true) // the child's only call of its own
	pid.OnPositiveSkip()
	b.Close(end)
	if err := s.Send(&b); err != nil {
		return err
	}
	if err := s.SendFiles(&b, []*os.File{theirs}); err != nil {
		return err
	}
	if err := s.Receive(&b); err != nil {
		return err
	}
	child.Pid = int(pid.Value())
	fd, err := unix.PidfdOpen(child.Pid, 0) // ours until it is reaped, so the pid is still its own
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	child.pidfd = fd
	return child.Receive(&b) // the child's own reply to the same batch
}

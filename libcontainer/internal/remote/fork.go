package remote

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// Fork makes the stub execute b, which may be empty, and then fork. The child is a
// stub of its own, with copies of all descriptors and with its own control socket. It
// is a child of this process (CLONE_PARENT). Fork is for pid namespaces, which only
// children enter, and for cgroups: if cgroup is not nil, the child is born there
// (CLONE_INTO_CGROUP). If a call of b fails, the stub is useless afterwards: the message
// with the child's socket is still in its queue, at the place of the next batch.
func (s *Stub) Fork(b *Batch, cgroup *FD) (*Stub, error) {
	f, err := s.BeginFork(b, cgroup)
	if err != nil {
		return nil, err
	}
	if err := f.Finish(); err != nil {
		return nil, err
	}
	return f.Child, nil
}

// Forking is a fork that has been requested and not yet confirmed.
type Forking struct {
	// Child accepts batches already; they wait in its socket. Its pid and pidfd are
	// unknown before Finish.
	Child  *Stub
	parent *Stub
	b      *Batch
	pid    Result
}

// BeginFork requests a fork and does not wait. The caller must call Finish.
func (s *Stub) BeginFork(b *Batch, cgroup *FD) (*Forking, error) {
	ours, theirs, err := controlPair(s.timeout)
	if err != nil {
		return nil, err
	}
	defer theirs.Close() // the child must have the last copy: then its death closes the socket
	child := &Stub{sock: ours, pidfd: -1, control: s.control, timeout: s.timeout, trace: s.trace, timing: s.timing, task: s.task}
	child.ctx, child.unwatch = s.ctx, func() {} // watched by finish, once the pid is known
	f := &Forking{Child: child, parent: s, b: b}
	f.lay(cgroup)
	s.Outlast()
	if err := s.Send(b); err != nil {
		child.Close()
		return nil, err
	}
	if err := s.SendFiles(b, []int{int(theirs.Fd())}); err != nil {
		child.Close()
		return nil, err
	}
	return f, nil
}

// lay adds the calls that fork.
func (f *Forking) lay(cgroup *FD) {
	b, control := f.b, f.parent.control
	end := b.ReceiveFiles(f.parent.Control(), []string{"the child's control socket"})[0]
	b.call("fcntl", unix.SYS_FCNTL, fdArg(end), named("F_GETFD", unix.F_GETFD)) // fails if the socket was not received: nobody could control the child
	f.pid = b.CloneInto(unix.CLONE_PARENT, cgroup)
	moved := b.Dup3(end, control, true).TolerateAll() // only the child executes this call and the next
	b.Exit(stub.ExitLost)                             // after a failed dup3 it would use its parent's socket
	moved.OnZeroSkip()
	moved.OnPositiveSkip()
	f.pid.OnPositiveSkip()
	b.Close(end)
}

// Finish waits for the child. If it fails, there is no child, and the parent has ended.
func (f *Forking) Finish() error {
	err := f.finish()
	if err == nil {
		return nil
	}
	f.parent.Kill() // after this the parent cannot create a child any more
	if f.Child.pidfd < 0 {
		f.Child.findPid()
	}
	if f.Child.pidfd >= 0 {
		f.Child.Kill()
	}
	f.Child.Close()
	return err
}

func (f *Forking) finish() error {
	if err := f.parent.Receive(f.b); err != nil {
		return err
	}
	if err := f.Child.setPid(int(f.pid.Value())); err != nil {
		return err
	}
	f.Child.watch(f.parent.ctx, 0)
	f.b.trace.first = f.pid.i + 1
	return f.Child.Receive(f.b) // the child sends its own reply to the same batch
}

// setPid sets the pid and opens the stub's pidfd. The stub is a child of this process
// and not yet reaped, so its pid cannot have been reused.
func (s *Stub) setPid(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	s.Pid, s.pidfd = pid, fd
	return nil
}

// findPid finds the pid of a child whose parent has died before it could report it. With
// SO_PASSCRED the kernel adds the sender's pid to the child's reply (unix(7)). If there
// is no child, the other end of the socket is closed, and findPid returns.
func (s *Stub) findPid() {
	_ = unix.SetsockoptInt(s.sock, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	_ = limitTime(s.sock, unix.SO_RCVTIMEO, reapTime)
	var b Batch
	b.Umask(0)
	if s.Send(&b) != nil {
		return
	}
	var p [8]byte
	for { // replies to earlier batches may come first
		s.sender = 0
		n, file, err := s.receive(p[:])
		if file != nil {
			file.Close()
		}
		if err != nil || n == 0 || s.setPid(s.sender) == nil {
			return
		}
	}
}

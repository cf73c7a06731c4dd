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
	f, err := s.BeginFork(b, cgroup)
	if err != nil {
		return nil, err
	}
	if err := f.Finish(); err != nil {
		return nil, err
	}
	return f.Child, nil
}

// Forking is a fork that has been asked for.
type Forking struct {
	// Child can be sent batches, which wait for it in its socket. Nothing else
	// of it is known before Finish.
	Child  *Stub
	parent *Stub
	b      *Batch
	pid    Result
}

// BeginFork asks for a fork, and waits for nothing. Finish has to follow.
func (s *Stub) BeginFork(b *Batch, cgroup *FD) (*Forking, error) {
	ours, theirs, err := controlPair(s.timeout)
	if err != nil {
		return nil, err
	}
	defer theirs.Close() // the child's is the last: its end can be heard
	child := &Stub{sock: ours, pidfd: -1, control: s.control, timeout: s.timeout, trace: s.trace, timing: s.timing, task: s.task}
	child.ctx, child.unwatch = s.ctx, func() {} // until it is known who it is
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
	b.call("fcntl", unix.SYS_FCNTL, fdArg(end), named("F_GETFD", unix.F_GETFD)) // a child without a socket would be nobody's
	f.pid = b.CloneInto(unix.CLONE_PARENT, cgroup)
	moved := b.Dup3(end, control, true).TolerateAll() // the child's own: these two
	b.Exit(stub.ExitLost)                             // it would speak to its parent's socket
	moved.OnZeroSkip()
	moved.OnPositiveSkip()
	f.pid.OnPositiveSkip()
	b.Close(end)
}

// Finish waits for the child. When it fails, there is none, and the parent has
// ended.
func (f *Forking) Finish() error {
	err := f.finish()
	if err == nil {
		return nil
	}
	f.parent.Kill() // from here on there is a child, or there will never be one
	if f.Child.pidfd < 0 {
		f.Child.ask()
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
	if err := f.Child.born(int(f.pid.Value())); err != nil {
		return err
	}
	f.Child.watch(f.parent.ctx, 0)
	f.b.trace.first = f.pid.i + 1
	return f.Child.Receive(f.b) // the child's own reply to the same batch
}

// born: the stub is a child of ours until it is reaped, so the pid is still its own.
func (s *Stub) born(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	s.Pid, s.pidfd = pid, fd
	return nil
}

// ask finds out who the child is of a parent that died before it could say so: the
// kernel puts the sender's pid to what the child answers (unix(7), SO_PASSCRED).
// Where there is no child the socket has no other end any more.
func (s *Stub) ask() {
	tv := unix.NsecToTimeval(reapTime.Nanoseconds())
	_ = unix.SetsockoptInt(s.sock, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	_ = unix.SetsockoptTimeval(s.sock, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	var b Batch
	b.Umask(0)
	if s.Send(&b) != nil {
		return
	}
	var p [8]byte
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for { // it may have answers to other batches yet
		n, oobn, _, _, err := unix.Recvmsg(s.sock, p[:], oob, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 || s.born(sender(oob[:oobn])) == nil {
			return
		}
	}
}

// sender is the pid in a message's credentials; 0, which nobody has, without.
func sender(oob []byte) int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return 0
	}
	cred, err := unix.ParseUnixCredentials(&msgs[0])
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}

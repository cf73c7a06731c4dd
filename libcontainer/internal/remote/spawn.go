package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/launch"
	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// Stub is a process that executes package stub's image, with the control socket to it.
// It is not safe for concurrent use.
type Stub struct {
	Pid       int
	pidfd     int
	launched  *launch.Process // nil for a fork, and after its first answer
	launchErr error           // the reason why it did not execute the image
	prepared  *prepared       // nil once it is launched
	heard     bool            // it has answered at least once
	clones    bool            // a clone that has not reported itself may be in its process group
	sender    int             // pid of the sender of the last message, after WillClone
	sock      int
	control   int           // number of the socket's other end, in the stub
	timeout   time.Duration // of one batch
	reaped    bool
	ctx       context.Context // its end ends every wait
	unwatch   func()
	message   []byte // the last message, its memory is used again

	trace  *timeline.Recorder // nil without a trace
	free   int64              // time of its last answer, with a trace
	timing stub.Timing
	task   func(tag int) timeline.Task
}

// Spawn contains the parameters of a new stub.
type Spawn struct {
	Files      []*os.File    // descriptors 0, 1, 2, … of the stub; nil is closed, except for Control
	Cloneflags uint64        // CLONE_NEW…
	Cgroup     *os.File      // the cgroup v2 directory to be born in; nil: this process's
	Wait       bool          // wait until it executes the image: see launch.Program
	Timeout    time.Duration // time limit of one batch
	Control    int           // number of the control socket in the stub
	Argv0      string
	Trace      Trace
}

// Start prepares and launches a stub.
func Start(ctx context.Context, s Spawn) (*Stub, error) {
	stub, err := Prepare(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := stub.Launch(); err != nil {
		stub.Close()
		return nil, err
	}
	return stub, nil
}

// prepared contains the parameters for the launch of a stub.
type prepared struct {
	Spawn
	control *os.File
}

// Prepare returns a stub that is not launched yet. It accepts batches, which wait for
// its launch; its pid is unknown. The caller owns s.Files and s.Cgroup. The end of ctx
// shuts the socket down: the stub exits, and waits for its replies end.
func Prepare(ctx context.Context, s Spawn) (*Stub, error) {
	if !stub.Ported {
		return nil, errors.New("onggi is not ported to " + runtime.GOARCH + ": the process of a container needs a stub in that machine's code")
	}
	ours, theirs, err := controlPair(s.Timeout)
	if err != nil {
		return nil, err
	}
	stub := &Stub{
		pidfd: -1, prepared: &prepared{s, theirs}, sock: ours, control: s.Control, timeout: s.Timeout,
		trace: s.Trace.Recorder, timing: s.Trace.timing(), task: s.Trace.Task,
	}
	stub.watch(ctx, 0)
	return stub, nil
}

// Launched reports whether Launch has been called, also without success.
func (s *Stub) Launched() bool { return s.prepared == nil }

// Launch starts the stub. It does not wait until the stub runs, unless Spawn.Wait is
// set.
func (s *Stub) Launch() error {
	span := s.trace.Begin(timeline.Work, "make the stub's image")
	image, err := openImage(s.control, s.timing)
	span.End()
	if err != nil {
		return err
	}
	defer image.Close()
	return s.launch(image)
}

func (s *Stub) launch(image *os.File) error {
	defer s.trace.Begin(timeline.Work, "launch it").End()
	p := s.prepared
	s.prepared = nil
	defer p.control.Close()
	process, err := launch.Start(p.program(image))
	if err != nil {
		return fmt.Errorf("start the first process: %w", err)
	}
	s.Pid, s.pidfd, s.launched = process.Pid, process.Pidfd, process
	return nil
}

// watch shuts the socket down after the end of ctx, with a delay. The shutdown wakes
// both sides. Every other way to wake a thread in recvmsg costs something in advance.
func (s *Stub) watch(ctx context.Context, after time.Duration) {
	s.ctx, s.unwatch = ctx, func() {}
	if ctx.Done() == nil {
		return
	}
	sock, told, over := s.sock, make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		if passes(after, over) {
			_ = unix.Shutdown(sock, unix.SHUT_RDWR)
		}
	})
	s.unwatch = func() {
		close(over)
		if !stop() {
			<-told // until then the socket must stay open: its number could be reused
		}
	}
}

// passes waits for d. It returns false if over is closed first.
func passes(d time.Duration, over <-chan struct{}) bool {
	if d == 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-over:
		return false
	}
}

// childPIDTimeout bounds the wait for a forking stub to report its child's pid. Only the
// stub knows this pid. If the socket were shut down before the report, nobody could end
// and reap the child.
const childPIDTimeout = time.Second

// Outlast delays the shutdown at the end of ctx by childPIDTimeout. It is for a stub that
// is about to fork, so that its report arrives.
func (s *Stub) Outlast() {
	s.unwatch()
	s.watch(s.ctx, childPIDTimeout)
}

func controlPair(timeout time.Duration) (int, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, os.NewSyscallError("socketpair", err)
	}
	if err := limitTime(fds[0], unix.SO_RCVTIMEO, timeout); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return -1, nil, err
	}
	return fds[0], os.NewFile(uintptr(fds[1]), "control socket"), nil
}

// limitTime sets SO_RCVTIMEO or SO_SNDTIMEO.
func limitTime(sock, option int, d time.Duration) error {
	tv := unix.NsecToTimeval(int64(d))
	return os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, option, &tv))
}

func (p *prepared) program(image *os.File) launch.Program {
	files := make([]int, max(len(p.Files), p.Control+1))
	for i := range files {
		files[i] = -1
		if i < len(p.Files) && p.Files[i] != nil {
			files[i] = int(p.Files[i].Fd())
		}
	}
	files[p.Control] = int(p.control.Fd())
	cgroup := -1
	if p.Cgroup != nil {
		cgroup = int(p.Cgroup.Fd())
	}
	return launch.Program{Image: int(image.Fd()), Argv0: p.Argv0, Files: files, Flags: p.Cloneflags, Cgroup: cgroup, Wait: p.Wait}
}

// openImage returns a descriptor of the stub's image that no process can write to. It
// is a sealed memfd. If the execution of memfds is forbidden (vm.memfd_noexec=2,
// memfd_create(2)), it is a file on a tmpfs that is mounted nowhere and read-only.
func openImage(control int, timing stub.Timing) (*os.File, error) {
	image := stub.Image(control, timing)
	f, err := memfdImage(image)
	if errors.Is(err, unix.EACCES) {
		f, err = tmpfsImage(image)
	}
	return f, err
}

func memfdImage(image []byte) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("onggi", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 MFD_EXEC does not exist and is not needed
		fd, err = unix.MemfdCreate("onggi", flags)
	}
	if err != nil {
		return nil, os.NewSyscallError(`memfd_create("onggi", MFD_CLOEXEC|MFD_ALLOW_SEALING|MFD_EXEC)`, err)
	}
	f := os.NewFile(uintptr(fd), "stub")
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err = f.Write(image); err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write and seal the stub: %w", err)
	}
	return f, nil
}

func tmpfsImage(image []byte) (*os.File, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("the kernel forbids executing a memfd (vm.memfd_noexec), and the runtime cannot use a tmpfs instead: fsopen(\"tmpfs\"): %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, os.NewSyscallError(`fsconfig("tmpfs", FSCONFIG_CMD_CREATE)`, err)
	}
	dir, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID)
	if err != nil {
		return nil, os.NewSyscallError(`fsmount("tmpfs")`, err)
	}
	defer unix.Close(dir)
	w, err := unix.Openat(dir, "onggi", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o555)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	_, err = unix.Write(w, image)
	unix.Close(w)
	if err == nil {
		err = unix.MountSetattr(dir, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	}
	if err != nil {
		return nil, fmt.Errorf("write the stub to a read-only tmpfs: %w", err)
	}
	fd, err := unix.Openat(dir, "onggi", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	return os.NewFile(uintptr(fd), "stub"), nil
}

// Pidfd returns the stub's pidfd. The stub keeps ownership.
func (s *Stub) Pidfd() int { return s.pidfd }

// Control returns the stub's end of the control socket.
func (s *Stub) Control() *FD { return Inherited(s.control, "control") }

// Kill kills the stub and reaps it. A stub that is frozen or in an uninterruptible
// system call ends later. Kill does nothing to a dead stub.
func (s *Stub) Kill() {
	if s.pidfd >= 0 {
		_ = unix.PidfdSendSignal(s.pidfd, unix.SIGKILL, nil, 0)
	}
	s.reap()
	s.Close()
}

// Abandon kills the stub and does not wait for its end, which may never come: no signal
// ends some system calls. A goroutine reaps it later.
func (s *Stub) Abandon() {
	if s.pidfd >= 0 {
		_ = unix.PidfdSendSignal(s.pidfd, unix.SIGKILL, nil, 0)
	}
	if !s.reaped && s.pidfd >= 0 {
		s.reaped = true
		s.reapLater()
	}
	s.Close()
}

// Dismiss closes the control socket, so a stub that waits for its next batch exits. The
// caller calls Reap later, when it has time.
func (s *Stub) Dismiss() { s.closeSocket() }

// Reap waits for the end of a dismissed stub.
func (s *Stub) Reap() {
	s.reap()
	s.Close()
}

func (s *Stub) closeSocket() {
	if p := s.prepared; p != nil {
		p.control.Close()
		s.prepared = nil
	}
	if s.sock >= 0 {
		s.unwatch()
		unix.Close(s.sock)
	}
	s.sock = -1
}

// Close releases the stub. A stub after its last batch continues to run.
func (s *Stub) Close() {
	s.closeSocket()
	if s.pidfd >= 0 {
		unix.Close(s.pidfd)
	}
	s.pidfd = -1
}

// TakePidfd transfers the ownership of the pidfd to the caller.
func (s *Stub) TakePidfd() *os.File {
	f := os.NewFile(uintptr(s.pidfd), "pidfd")
	s.pidfd = -1
	return f
}

// reapTime bounds the wait for the end of a stub that was killed or has nothing more to
// do. It normally ends at once. A stub that the container has frozen, or that waits for
// a file system, does not.
const reapTime = 2 * time.Second

// interruptedReapTime is that bound once ctx has ended: the caller wants to end, too.
const interruptedReapTime = 200 * time.Millisecond

// reap waits for the dead or dying stub. If that takes too long, a goroutine continues
// the wait.
func (s *Stub) reap() unix.WaitStatus {
	var ws unix.WaitStatus
	if s.reaped || s.pidfd < 0 { // it was never launched
		return ws
	}
	s.reaped = true
	patience := reapTime
	if s.ctx.Err() != nil {
		patience = interruptedReapTime
	}
	if !s.endsWithin(patience) {
		s.reapLater()
		return ws
	}
	ws = s.collect(patience)
	s.launchErr = s.launched.Failure()
	s.runs()
	return ws
}

// reapLater reaps the stub in a goroutine.
func (s *Stub) reapLater() {
	later := &Stub{Pid: s.Pid, launched: s.launched, clones: s.clones, pidfd: -1, sock: -1, unwatch: func() {}}
	if s.clones && s.sock >= 0 {
		s.unwatch()
		later.sock, s.sock = s.sock, -1
	}
	go func() {
		later.collect(0)
		later.closeSocket()
		later.runs()
	}()
}

// collect reaps the stub, and ends and reaps a clone that has not reported itself. It
// returns the wait status of the clone, if a clone has ended within the time.
//
// A clone reports itself before it leaves the stub's process group. So it is in the group,
// or its report is in the socket. The stub's pid is the group's number, and no other
// group gets it before the stub is reaped.
func (s *Stub) collect(patience time.Duration) unix.WaitStatus {
	if !s.clones || s.Pid <= 1 {
		return wait(s.Pid)
	}
	s.clones = false
	for unix.Waitid(unix.P_PID, s.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	_ = unix.Kill(-s.Pid, unix.SIGKILL)
	s.endReported()
	ws := wait(s.Pid)
	clone := make(chan unix.WaitStatus, 1)
	go func(group int) {
		if ws, err := waitFor(-group); err == nil { // ECHILD: there is no clone
			clone <- ws
		}
		close(clone)
	}(s.Pid)
	select {
	case cs, ok := <-clone:
		if ok {
			return cs
		}
	case <-time.After(patience):
	}
	return ws
}

// endReported ends the clone whose report nobody has read. waitid checks that it is a
// child of this process: nobody else can then get its pid.
func (s *Stub) endReported() {
	for {
		var p [4]byte
		oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
		n, oobn, _, _, err := unix.Recvmsg(s.sock, p[:], oob, unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		file, pid := attached(oob[:oobn])
		if file != nil {
			file.Close()
		}
		if pid > 1 && pid != s.Pid && unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil {
			_ = unix.Kill(pid, unix.SIGKILL)
			go wait(pid)
		}
	}
}

// runs releases the launch memory: the stub has answered or ended.
func (s *Stub) runs() {
	s.launched.Release()
	s.launched = nil
}

func (s *Stub) endsWithin(d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(s.pidfd), Events: unix.POLLIN}}
	for end := time.Now().Add(d); ; d = max(0, time.Until(end)) {
		n, err := unix.Poll(fds, int(d.Milliseconds()))
		if err != unix.EINTR {
			return n > 0
		}
	}
}

func wait(pid int) unix.WaitStatus {
	ws, _ := waitFor(pid)
	return ws
}

// waitFor reaps a child, or one child of the process group -pid.
func waitFor(pid int) (ws unix.WaitStatus, err error) {
	for {
		if _, err = unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
			return ws, err
		}
	}
}

package engine

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// lastBatch sends the batch for the process that becomes the program: it loads
// the filter, waits at the gate, calls execve, and reports a failed execve. This
// batch needs nothing more from the runtime side, except to accept a listener.
//
// Behind a filter the batch uses only read, write, execve and exit_group, and
// capset if loading the filter required a capability. So a result behind the
// filter is reported with write: the stub's own reply would use sendto.
func (pr *program) lastBatch() (*Process, error) {
	pr.limits.restore()
	if pr.job.Start != nil { // a created container may wait at the gate for long
		pr.building.FreeArena()
	}
	l := last{program: pr, control: pr.stub.Control()}
	for ; pr.at < len(pr.items); pr.at++ {
		pr.building.Tag(pr.at)
		if err := l.step(pr.items[pr.at]); err != nil {
			return nil, failed(pr.items[pr.at], err)
		}
	}
	if l.forks {
		l.clone.OnPositiveSkipTo(l.end)
		if err := l.stub.WillClone(); err != nil {
			return nil, err
		}
	}
	if err := pr.stub.SendLast(&pr.building.Batch); err != nil {
		return nil, pr.lost(err)
	}
	return l.finish()
}

// last is the last batch under construction.
type last struct {
	*program
	control  *remote.FD
	filtered bool // the calls from here on run under the filter
	forks    bool
	clone    remote.Result
	end      int
	reports  []report
}

// report is one result that arrives through the control socket before the gate.
// Reports arrive in order.
type report struct {
	item plan.Item
	take func(value int) error
}

func (l *last) step(it plan.Item) error {
	b := l.building
	switch s := it.Step.(type) {
	case plan.Seccomp:
		return l.seccomp(it, s)
	case plan.CloneInto:
		l.clone, l.forks = b.Clone(unix.CLONE_PARENT), true
		b.WriteResult(l.control, l.clone) // while the clone is still in the stub's process group: see remote.Stub.ReportOfClone
		if !l.filtered && l.gated() {
			b.Close(l.control) // the execve would close it, but the gate comes first
		}
		l.newSession()
		l.limitProcesses()
	case plan.Gate:
		if !l.filtered && !l.forks {
			b.Close(l.control)
		}
		r := b.AwaitByte(remote.Inherited(l.layout.start, "start"))
		if l.forks {
			b.Exit(exitExec) // the end of file: the runtime side is gone
			r.OnPositiveSkip()
		}
	case plan.Execute:
		return l.execute(s)
	default:
		panic("BUG: a step behind the gate: " + plan.Name(it.Step))
	}
	return nil
}

// seccomp loads the filter. Before a clone, whose report is also that of the filter,
// a failure ends the batch. Before the gate, the stub reports the result through
// the control socket. Behind the gate nobody reads the socket: a failure goes to
// the status FIFO. A filter with a listener always reports, because the agent has
// to have the listener before the program starts.
func (l *last) seccomp(it plan.Item, s plan.Seccomp) error {
	f, err := l.fetched()
	if err != nil {
		return err
	}
	b := l.building
	// A profile that sends no notifications ignores a path for them
	// (config-linux.md, "listenerPath"). Then there is no listener to take.
	listens := s.Listener && f.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
	early := l.waits() || listens
	var loaded remote.Result
	switch {
	case listens:
		loaded = b.Result(b.SeccompListener(f.Program, uint64(f.Flags)))
	default:
		loaded = b.Seccomp(f.Program, uint64(f.Flags))
	}
	l.filtered = true
	if s.Then != nil {
		b.Capset(s.Then.Effective, s.Then.Permitted, s.Then.Inheritable)
	}
	if !l.forks && l.clones() && !listens {
		return nil
	}
	if early {
		b.WriteResult(l.control, loaded)
		if listens {
			l.awaitProceed()
		}
		l.reports = append(l.reports, report{it, func(v int) error { return l.loaded(listens, v) }})
		return nil
	}
	// Nobody reads replies any more: report a failure as a failed execve.
	loaded.TolerateAll()
	b.WriteResult(remote.Inherited(l.layout.status, "status"), loaded).TolerateAll()
	b.Exit(exitExec)
	loaded.OnZeroSkip()
	return nil
}

// awaitProceed makes the stub wait for a byte on the control socket: the runtime
// side has to take the listener out of the stub before the stub clones or
// executes anything. Under the filter the stub waits with read. If the filter
// forbids read, or the runtime side is gone, the stub reports a failed execve and
// exits.
func (l *last) awaitProceed() {
	b := l.building
	r := b.AwaitByte(l.control).TolerateAll()
	b.WriteResult(remote.Inherited(l.layout.status, "status"), r).TolerateAll()
	b.Exit(exitExec)
	r.OnPositiveSkip()
}

// fetched is the filter, or the reason why there is none.
type fetched struct {
	Filter
	err error
}

// fetchFilter finds or compiles the filter while the stub executes the batch
// before the last one. It keeps an error for later: the errors of the stub's
// batch come first.
func (pr *program) fetchFilter() {
	if pr.filter != nil || len(pr.inflight) == 0 {
		return
	}
	for _, it := range pr.items[pr.at:] {
		if _, ok := it.Step.(plan.Seccomp); ok {
			_, _ = pr.fetched()
		}
	}
}

func (pr *program) fetched() (Filter, error) {
	if pr.filter == nil {
		f, err := pr.job.Filter(pr.ctx)
		pr.filter = &fetched{f, err}
	}
	return pr.filter.Filter, pr.filter.err
}

// waits reports whether the gate or a clone is still to come. Until then the
// runtime side reads the control socket.
func (l *last) waits() bool {
	for _, it := range l.items[l.at:] {
		switch it.Step.(type) {
		case plan.Gate, plan.CloneInto:
			return true
		}
	}
	return false
}

// gated reports whether the gate is still to come.
func (l *last) gated() bool {
	return slices.ContainsFunc(l.items[l.at:], func(it plan.Item) bool { _, ok := it.Step.(plan.Gate); return ok })
}

// loaded takes the listener out of the stub by its number, gives it to the
// agent, and lets the stub go on.
func (l *last) loaded(listens bool, number int) error {
	if !listens {
		return nil
	}
	fd, err := unix.PidfdGetfd(l.stub.Pidfd(), number, 0)
	if err != nil {
		return fmt.Errorf("take the seccomp listener over: pidfd_getfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "seccomp listener")
	defer f.Close()
	if err := l.job.Listener(l.ctx, l.stub.Pid, f); err != nil {
		return err
	}
	return l.stub.Proceed(&l.building.Batch)
}

// newSession makes the clone the leader of a new session, to which its terminal
// belongs. The stub's session would end with the stub, and the clone would lose
// its terminal (setsid(2), SIGHUP). A filter may forbid these calls; then the
// clone stays in the stub's session.
func (l *last) newSession() {
	l.building.Setsid().TolerateAll()
	if l.hasTerminal() {
		l.building.IoctlInt(remote.Inherited(0, "terminal"), "TIOCSCTTY", unix.TIOCSCTTY, 0).TolerateAll()
	}
}

// limitProcesses sets the clone's own limit (see limitClone). A failure is
// reported as a failed execve.
func (l *last) limitProcesses() {
	if l.limits.nproc == nil {
		return
	}
	b := l.building
	r := b.Setrlimit(l.limits.nproc.Resource, l.limits.nproc.Soft, l.limits.nproc.Hard).TolerateAll()
	b.WriteResult(remote.Inherited(l.layout.status, "status"), r).TolerateAll()
	b.Exit(exitExec)
	r.OnZeroSkip()
}

func (l *last) execute(s plan.Execute) error {
	b := l.building
	env := s.Env
	if l.job.Env != nil {
		env = l.job.Env(env, l.home.dir)
	}
	r, err := l.execve(s.Args, env)
	if err != nil {
		return err
	}
	r.TolerateAll()
	b.WriteResult(remote.Inherited(l.layout.status, "status"), r).TolerateAll()
	b.Exit(exitExec)
	if l.forks {
		l.end = b.Len()
		b.Exit(0)
	}
	return nil
}

// execve adds the call. Arguments that are too large for the last batch go into
// the stub's memory before it.
func (l *last) execve(args, env []string) (remote.Result, error) {
	size := 0
	for _, s := range slices.Concat(args, env) {
		size += len(s) + 1 + 8
	}
	if size < maxArguments {
		return l.building.Execve(l.path, args, env), nil
	}
	p, err := l.stub.Load(l.path, args, env)
	if err != nil {
		return remote.Result{}, l.lost(err)
	}
	return l.building.Execute(p), nil
}

// maxArguments bounds the arguments in the last batch. The batch also contains
// the filter, of at most 32 KiB (BPF_MAXINSNS).
const maxArguments = 64 << 10

// exitExec is the exit status of a stub whose execve failed.
const exitExec = 255

// finish waits for the reports. The last one is the clone's: the stub may be dead by
// then, for example if the OOM killer has chosen it.
func (l *last) finish() (*Process, error) {
	for _, r := range l.reports {
		v, err := l.stub.Report(&l.building.Batch)
		if err == nil {
			err = r.take(v)
		}
		if err != nil {
			return nil, failed(r.item, err)
		}
	}
	if !l.forks {
		return l.process(l.stub.Pid, l.stub.TakePidfd())
	}
	pid, err := l.stub.ReportOfClone(&l.building.Batch)
	if err != nil {
		return nil, l.cloneFailure(err)
	}
	pidfd, err := proc.OpenPid(pid)
	if err != nil {
		endUnheld(pid)
		return nil, err
	}
	if err := ourChild(pidfd); err != nil {
		pidfd.Close()
		return nil, failed(plan.Item{Step: plan.CloneInto{}}, err)
	}
	if err := l.scheduling.setOfClone(pid); err != nil {
		_ = proc.Signal(pidfd, unix.SIGKILL)
		_, _ = proc.Reap(l.ctx, pidfd)
		pidfd.Close()
		return nil, err
	}
	l.stub.Dismiss()
	l.dismissed = append(l.dismissed, l.stub)
	return &Process{Pid: pid, Pidfd: pidfd, dismissed: l.dismissed, trace: l.job.Trace, stub: l.stub.Pid}, nil
}

// endUnheld ends a clone for which the runtime side has no pidfd, for example
// because no descriptor is free. The clone has begun to execute its program.
// waitid checks that the pid is a child of this process: the kernel cannot give
// a child's pid to another process before the child is reaped.
func endUnheld(pid int) {
	if unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) != nil {
		return
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	go func() { // the clone may be in a system call that cannot be interrupted
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
				return
			}
		}
	}()
}

// ourChild checks that the reported process is a child of this process. Under a
// filter the clone keeps the control socket. A process of the container that
// takes control of the clone could report another process, which the runtime
// side would then signal.
func ourChild(pidfd *os.File) error {
	err := unix.Waitid(unix.P_PIDFD, int(pidfd.Fd()), nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return fmt.Errorf("the container side reported a process that is not a child of the runtime: waitid(P_PIDFD, WNOHANG|WNOWAIT): %w", err)
	}
	return nil
}

func (l *last) cloneFailure(err error) error {
	it := plan.Item{Step: plan.CloneInto{}}
	var ce *remote.CallError
	if !errors.As(err, &ce) {
		return failed(it, err)
	}
	if _, ok := l.items[ce.Tag].Step.(plan.CloneInto); !ok {
		return failed(l.items[ce.Tag], err)
	}
	switch ce.Errno {
	case unix.EAGAIN:
		return hint(it, err, noMoreProcesses)
	case unix.ENOMEM:
		return hint(it, err, "the container's process 1 has ended, or the memory limit is reached")
	}
	return failed(it, err)
}

func (l *last) process(pid int, pidfd *os.File) (*Process, error) {
	l.stub.Close()
	return &Process{Pid: pid, Pidfd: pidfd, dismissed: l.dismissed, trace: l.job.Trace, stub: pid}, nil
}

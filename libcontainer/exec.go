package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/seccomp"
)

// Exec runs one more process in a created or running container. It returns when the
// process has executed its program, or the error of a failed execve. If ctx ends
// before that, nothing of the process is left. After that, ctx has no meaning.
//
// Errors: ErrNotRunning, ErrPaused, ErrNoConsole, or a *Failure.
func (c *Container) Exec(ctx context.Context, o ExecOptions) (_ *Process, err error) {
	defer bug.Caught(&err)
	defer nameLimit(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	pidfd, err := c.open()
	if errors.Is(err, ErrNotRunning) {
		return nil, fmt.Errorf("cannot exec in a stopped container: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	if err := checkFiles(o.ExtraFiles, o.Stdin, o.Stdout, o.Stderr); err != nil {
		return nil, err
	}
	if err := c.checkExec(o); err != nil {
		return nil, err
	}
	config, err := c.snapshot()
	if err != nil {
		return nil, err
	}
	p, err := o.process(config.Spec)
	if err != nil {
		return nil, err
	}
	if err := checkProcess(config.Spec, p, o); err != nil {
		return nil, err
	}
	paths := c.entrance()
	if len(o.Cgroup) > 0 {
		if paths, err = c.cgroups().Sub(o.Cgroup); err != nil {
			return nil, err
		}
	}
	process, err := c.execIn(ctx, p, o, pidfd, paths)
	if len(o.Cgroup) == 0 && divided(err) {
		if now, e := c.cgroups().Of(c.record.Init.Pid); e == nil {
			if err := checkPaused(now, o); err != nil {
				return nil, err
			}
			process, err = c.execIn(ctx, p, o, pidfd, now)
		}
	}
	return process, err
}

// execIn starts the process in a cgroup. If the kernel kills it at birth there, execIn
// starts one that moves to the cgroup.
func (c *Container) execIn(ctx context.Context, p *specs.Process, o ExecOptions, pidfd *os.File, paths cgroup.Paths) (*Process, error) {
	how := moves
	if paths.Unified != nil {
		how = born
	}
	process, err := c.exec(ctx, p, o, pidfd, paths, how)
	if how == born && errors.Is(err, errKilledAtBirth) {
		if ended, e := proc.Ended(pidfd); ended && e == nil { // the whole container was killed
			return nil, fmt.Errorf("cannot exec in a stopped container: %w", ErrNotRunning)
		}
		process, err = c.exec(ctx, p, o, pidfd, paths, moves)
	}
	if crowded(err) && !c.canBeTraced() {
		if last, e := c.exec(ctx, p, o, pidfd, paths, guided); e == nil {
			return last, nil
		}
	}
	return process, err
}

// errKilledAtBirth means that the kernel has killed the process at birth in its cgroup.
// Some versions (6.18 among them, 6.1 not) do that to every process that is cloned
// into a cgroup other than its parent's, once cgroup.kill has been written in one of
// the two. Such a process has to move there instead, which costs milliseconds.
var errKilledAtBirth = errors.New("killed at birth in the container's cgroup")

func (c *Container) checkExec(o ExecOptions) error {
	defer c.runtime.span("see whether it is paused").End()
	err := checkPaused(c.cgroups(), o)
	if errors.Is(err, ErrPaused) && !c.stays() {
		return nil
	}
	return err
}

// checkPaused refuses a frozen cgroup. Exec calls it for each cgroup in which it may
// start the process, because a container can freeze a part of its own cgroup.
func checkPaused(paths cgroup.Paths, o ExecOptions) error {
	if o.IgnorePaused {
		return nil
	}
	frozen, err := paths.Frozen()
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if frozen {
		return fmt.Errorf("cannot exec in a paused container: %w (use --ignore-paused to override)", ErrPaused)
	}
	return nil
}

func (c *Container) exec(ctx context.Context, p *specs.Process, o ExecOptions, pidfd *os.File, paths cgroup.Paths, how entry) (*Process, error) {
	walk, err := c.planExec(p, len(o.ExtraFiles), paths, how)
	if err != nil {
		return nil, err
	}
	status, report, err := pipe()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	defer report.Close()
	std, err := openStdio(o.Stdin, o.Stdout, o.Stderr)
	if err != nil {
		return nil, err
	}
	defer std.close()
	job := &engine.Job{
		Stdio: std.files, Preserve: o.ExtraFiles, Status: report, Enter: pidfd,
		Filter:   c.filter,
		Console:  consoleFunc(ctx, o.ConsoleSocket, o.Console),
		Listener: c.sendListener,
		Env:      func(env []string, home string) []string { return environment(env, home, 0) },
		Warn:     c.runtime.options.Warn, Name: "onggi:" + c.record.ID, Trace: c.runtime.options.Trace,
	}
	var gate *os.File
	if how == guided {
		if job.Start, gate, err = pipe(); err != nil {
			return nil, err
		}
		defer job.Start.Close()
		defer gate.Close()
	}
	if how == born {
		if job.Cgroup, err = paths.OpenUnified(); err != nil {
			return nil, err
		}
		defer job.Cgroup.Close()
	}
	child, err := engine.Run(ctx, walk, job)
	if how == born && engine.KilledAtBirth(err) {
		return nil, fmt.Errorf("%w: %w", errKilledAtBirth, err)
	}
	if err != nil {
		return nil, c.explain(err)
	}
	report.Close()
	process := &Process{pid: child.Pid, handle: handle{pidfd: child.Pidfd}, trace: job.Trace}
	if how == guided {
		err = guide(child.Pid, paths, gate)
	}
	if err == nil {
		err = c.awaitProgram(ctx, child, status, pidfd, p)
	}
	if err == nil {
		err = process.announce(ctx, o)
	}
	if err != nil {
		process.kill()
		return nil, err
	}
	return process, nil
}

// awaitProgram waits until the process has executed its program.
func (c *Container) awaitProgram(ctx context.Context, child *engine.Process, status, pidfd *os.File, p *specs.Process) (err error) {
	defer bug.Caught(&err)
	span := c.runtime.waiting("execve of the program")
	e, err := awaitExecve(ctx, status)
	span.End()
	if err == nil && e == 0 {
		err = neverExecuted(child.Pid, p)
	}
	child.Executed()
	span = c.runtime.waiting("end of the stub")
	child.Reap()
	span.End()
	if err == nil && e != 0 {
		held := hold(pidfd, c.record.Init.Pid)
		defer held.close()
		err = c.explainExec(ctx, held, p, e)
	}
	return err
}

// pipe is os.Pipe without Go's poller, which is not needed here.
func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(fds[0]), "status"), os.NewFile(uintptr(fds[1]), "report"), nil
}

func (c *Container) filter(ctx context.Context) (engine.Filter, error) {
	config, err := c.snapshot()
	if err != nil {
		return engine.Filter{}, err
	}
	return c.runtime.filter(ctx, config)
}

func (c *Container) sendListener(ctx context.Context, pid int, fd *os.File) error {
	config, err := c.snapshot()
	if err != nil {
		return err
	}
	s := config.Spec.Linux.Seccomp
	return seccomp.SendListener(ctx, s.ListenerPath, processState(s, c.specState(specs.StateRunning), pid), fd)
}

// explain names the seccomp profile if it has ended the stub.
func (c *Container) explain(err error) error {
	config, e := c.snapshot()
	if e != nil {
		return err
	}
	return deniedBySeccomp(config.Spec, err)
}

// explainExec returns the error of a failed execve, with its cause. p is nil for the
// first process.
func (c *Container) explainExec(ctx context.Context, held namespaces, p *specs.Process, e unix.Errno) error {
	config, err := c.snapshot()
	if err != nil {
		return errors.Join(e, err)
	}
	if p == nil {
		p = config.Spec.Process
	}
	return held.execFailure(ctx, config.Spec, p, e)
}

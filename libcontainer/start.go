package libcontainer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/deadline"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/hooks"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// Start makes the first process of a created container execute its program. It
// returns the error of a failed execve; the container is stopped then. The container
// is also stopped if a startContainer or poststart hook fails, or if ctx ends during
// such a hook (runtime.md, "Lifecycle"). If ctx ends during the execve, only the wait
// ends, and State returns the result.
//
// Errors: ErrNotCreated, ErrNotRunning, ErrPaused (the program is executed when the
// container is resumed), or a *Failure.
func (c *Container) Start(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.record.Init.IsZero() {
		return c.startable()
	}
	config, err := c.snapshot()
	if err != nil {
		return err
	}
	if err := specconv.RequireProcess(config.Spec); err != nil {
		return err
	}
	if len(specconv.Hooks(config.Spec.Hooks, "startContainer")) > 0 || c.record.NotifySocket != "" {
		if err := c.startable(); err != nil {
			return err
		}
	}
	pidfd, err := c.open()
	if errors.Is(err, ErrNotRunning) {
		if why := c.startable(); why != nil {
			return why
		}
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if err := c.hook(ctx, "startContainer", pidfd); err != nil {
		return c.abandon(ctx, pidfd, err)
	}
	if err := c.listenNotify(); err != nil {
		return err
	}
	if err := c.pass(ctx, pidfd); err != nil {
		return err
	}
	if err := c.hook(ctx, "poststart", pidfd); err != nil {
		return c.abandon(ctx, pidfd, err)
	}
	return nil
}

// startable returns the reason why the container cannot be started, or nil. If nothing
// has to be done before the gate, Start relies on the gate instead.
func (c *Container) startable() error {
	status, err := c.status()
	switch {
	case err != nil || status == StatusCreated:
		return err
	case status == StatusStopped:
		return &worded{"cannot start a container that has stopped", ErrNotCreated}
	case status == StatusPaused:
		return &worded{"cannot start a container in the paused state", ErrNotCreated}
	case status == StatusCreating:
		return &worded{"cannot start a container that is being created", ErrNotCreated}
	}
	return &worded{"cannot start an already running container", ErrNotCreated}
}

// pass opens the gate and waits for the execve behind it.
func (c *Container) pass(ctx context.Context, pidfd *os.File) error {
	held := hold(pidfd, c.record.Init.Pid) // while the process still exists
	defer held.close()
	span := c.runtime.span("open the gate")
	passage, err := c.dir.OpenGate(ctx)
	span.End()
	switch {
	case errors.Is(err, state.ErrNotCreated):
		if err := c.startable(); err != nil {
			return err
		}
		return &worded{"cannot start an already running container", ErrNotCreated}
	case err != nil:
		return err
	}
	defer passage.Close()
	span = c.runtime.waiting("execve of the program")
	e, err := c.executed(ctx, passage)
	span.End()
	c.runtime.options.Trace.EndBatches(c.record.Init.Pid)
	if err != nil {
		return fmt.Errorf("wait for the program to be executed: %w", err)
	}
	if e != 0 {
		err := c.explainExec(ctx, held, nil, unix.Errno(-int32(e)))
		awaitEnd(ctx, pidfd) // the stub has nothing left to do but exit
		return err
	}
	config, err := c.snapshot()
	if err != nil {
		return err
	}
	if err := neverExecuted(c.record.Init.Pid, config.Spec.Process); err != nil {
		awaitEnd(ctx, pidfd)
		return err
	}
	return nil
}

// soon is much longer than an execve takes on a busy host.
const soon = 500 * time.Millisecond

// executed waits for the execve, but not for a paused container to be resumed. It
// looks for a frozen cgroup only if the execve does not come soon.
func (c *Container) executed(ctx context.Context, passage *state.Passage) (unix.Errno, error) {
	e, err := passage.Wait(ctx, soon)
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return e, err
	}
	if frozen, err := c.cgroups().Frozen(); err == nil && frozen {
		return 0, fmt.Errorf("the program will be executed when the container is resumed: %w", ErrPaused)
	}
	e, err = passage.Wait(ctx, execveTime-soon)
	return e, inTime(ctx, err)
}

// inTime adds the likely causes to the error of a program that was not executed in
// time.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not done after %v: it may be stopped or frozen, or wait for a file system that does not answer: %w", execveTime, err)
	}
	return err
}

// abandon stops a container whose hooks failed (runtime.md, "Lifecycle", 7
// and 9).
func (c *Container) abandon(ctx context.Context, pidfd *os.File, err error) error {
	wait, stop := deadline.Within(context.WithoutCancel(ctx), waitTime)
	defer stop()
	if c.kill(wait, pidfd) != nil {
		_ = proc.Signal(pidfd, unix.SIGKILL)
	}
	_ = proc.Wait(wait, pidfd)
	return err
}

// awaitEnd waits for a process that is about to end, so that it has ended when the
// caller gets the error. The end of ctx does not end this wait.
func awaitEnd(ctx context.Context, pidfd *os.File) {
	wait, stop := deadline.Within(context.WithoutCancel(ctx), waitTime)
	defer stop()
	_ = proc.Wait(wait, pidfd)
}

// hook runs the container's hooks of one kind. pidfd is the first process; only
// startContainer hooks need it.
func (c *Container) hook(ctx context.Context, kind string, pidfd *os.File) error {
	config, err := c.snapshot()
	if err != nil {
		return err
	}
	if len(specconv.Hooks(config.Spec.Hooks, kind)) == 0 {
		return nil
	}
	st := c.specState(map[string]specs.ContainerState{"startContainer": specs.StateCreated, "poststart": specs.StateRunning, "poststop": specs.StateStopped}[kind])
	o := hooks.Options{Dir: c.record.Bundle, KeepGoing: kind == "poststop", Trace: c.runtime.options.Trace}
	if kind == "startContainer" {
		o.Dir = "/"
		o.Start = func(cmd hooks.Command) (*hooks.Process, error) {
			p, err := c.planExec(hookProcess(config.Spec, cmd), 0, c.cgroups(), moves)
			if err != nil {
				return nil, err
			}
			p.SetProgram(cmd.Path)
			job := engine.Job{Enter: pidfd, Filter: c.filter, Listener: c.sendListener, Trace: c.runtime.options.Trace}
			if cmd.Env == nil {
				job.Env = func(env []string, home string) []string { return environment(env, home, 0) }
			}
			return startInside(ctx, cmd, p, job)
		}
	}
	return runHooks(ctx, config.Spec, kind, st, o)
}

// hookProcess returns a startContainer hook as a process of the container, with the
// user and the capabilities of the container's program, and with its environment if
// the hook has none of its own.
func hookProcess(spec *specs.Spec, cmd hooks.Command) *specs.Process {
	p := *spec.Process
	p.Terminal, p.ConsoleSize = false, nil
	p.Args, p.Cwd = cmd.Args, "/"
	if cmd.Env != nil {
		p.Env = cmd.Env
	}
	if len(p.Args) == 0 {
		p.Args = []string{cmd.Path}
	}
	return &p
}

// planExec plans a further process of the container.
func (c *Container) planExec(p *specs.Process, preserve int, paths cgroup.Paths, how entry) (*plan.Plan, error) {
	defer c.runtime.span("plan").End()
	config, err := c.snapshot()
	if err != nil {
		return nil, err
	}
	host := plan.Host{Rootless: c.record.Rootless, KeepGroups: c.record.Rootless && groupsDenied(c.record.Init.Pid), Capabilities: grantable(config.Spec)}
	if err := checkGroups(host, config.Spec, p); err != nil {
		return nil, err
	}
	if how != guided {
		host.CgroupTasks = paths.SelfJoinFiles()
	}
	if host.Unified = how == born; how == moves && paths.Unified != nil {
		host.CgroupTasks = append(host.CgroupTasks, paths.Unified.Abs()+"/cgroup.procs")
	}
	return plan.Exec(plan.ExecRequest{Spec: config.Spec, Process: p, ID: c.record.ID, Rootfs: c.record.Rootfs, NoKeyring: c.record.NoNewKeyring, Preserve: preserve, Resctrl: c.record.Resctrl, Guided: how == guided, Host: host})
}

// execveTime bounds the wait for an execve. The container that the process has entered
// may have stopped or frozen it.
const execveTime = 30 * time.Second

// awaitExecve waits for the outcome of an execve at the read end of a pipe. The end of
// the file means success. Otherwise the stub has written the result of execve: the
// negative errno, 4 bytes, little endian.
func awaitExecve(ctx context.Context, status *os.File) (unix.Errno, error) {
	if err := proc.PollFor(ctx, execveTime, []unix.PollFd{{Fd: int32(status.Fd()), Events: unix.POLLIN}}); err != nil {
		return 0, fmt.Errorf("wait for the program to be executed: %w", inTime(ctx, err))
	}
	var buf [4]byte
	n, err := unix.Read(int(status.Fd()), buf[:])
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, nil
	case n != len(buf):
		return 0, errors.New("the container side sent a broken status")
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(buf[:]))), nil
}

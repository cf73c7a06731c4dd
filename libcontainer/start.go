package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bounded"
	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/hooks"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// Start has the first process of a created container execute its program. A
// failing execve is an error here; the container has stopped then, as it has
// when ctx ends during a hook. The end of ctx while the program is being
// executed ends the waiting alone: State tells what has become of it.
func (c *Container) Start(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
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
	if len(hookList(config.Spec.Hooks, "startContainer")) > 0 || c.record.NotifySocket != "" {
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

// startable says why a container cannot be started. Where nothing is to be done
// before the gate, the gate itself tells.
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
	held := hold(pidfd, c.record.Init.Pid) // while there is a process to take them from
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
		awaitEnd(ctx, pidfd) // all that it still does is to exit
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

// soon is far more than an execve takes on a busy host.
const soon = 500 * time.Millisecond

// executed waits for the execve, but not for a container that is paused: that is
// asked for only when the execve does not come soon.
func (c *Container) executed(ctx context.Context, passage *state.Passage) (unix.Errno, error) {
	e, err := passage.Wait(ctx, soon)
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return e, err
	}
	if frozen, err := c.cgroups().Frozen(); err == nil && frozen {
		return 0, fmt.Errorf("it will be when the container is resumed: %w", ErrPaused)
	}
	e, err = passage.Wait(ctx, execveTime-soon)
	return e, inTime(ctx, err)
}

// inTime says what may be the matter with a program that is not executed in time.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not done after %v: it may be stopped or frozen, or wait for a file system that does not answer: %w", execveTime, err)
	}
	return err
}

// abandon stops a container whose hooks failed (runtime.md, "Lifecycle", 7
// and 9).
func (c *Container) abandon(ctx context.Context, pidfd *os.File, err error) error {
	wait, stop := bounded.Within(context.WithoutCancel(ctx), waitTime)
	defer stop()
	if c.kill(wait, pidfd) != nil {
		_ = proc.Signal(pidfd, unix.SIGKILL)
	}
	_ = proc.Wait(wait, pidfd)
	return err
}

// awaitEnd waits for a process that is about to end, so that it has when the
// caller hears why. What is being undone does not end with ctx.
func awaitEnd(ctx context.Context, pidfd *os.File) {
	wait, stop := bounded.Within(context.WithoutCancel(ctx), waitTime)
	defer stop()
	_ = proc.Wait(wait, pidfd)
}

// hook runs the hooks of one kind of a container that exists.
func (c *Container) hook(ctx context.Context, kind string, pidfd *os.File) error {
	config, err := c.snapshot()
	if err != nil {
		return err
	}
	if len(hookList(config.Spec.Hooks, kind)) == 0 {
		return nil
	}
	st := c.specState(map[string]specs.ContainerState{"startContainer": specs.StateCreated, "poststart": specs.StateRunning, "poststop": specs.StateStopped}[kind])
	o := hooks.Options{Dir: c.record.Bundle, KeepGoing: kind == "poststop", Trace: c.runtime.options.Trace}
	if kind == "startContainer" {
		o.Dir = "/"
		o.Start = func(cmd hooks.Command) (*hooks.Process, error) {
			p, err := c.planExec(hookProcess(config.Spec, cmd), 0, c.cgroups(), false)
			if err != nil {
				return nil, err
			}
			p.SetProgram(cmd.Path)
			return startInside(ctx, cmd, p, engine.Job{Enter: pidfd, Filter: c.filter, Listener: c.sendListener, Trace: c.runtime.options.Trace})
		}
	}
	return runHooks(ctx, config.Spec, kind, st, o)
}

// hookProcess is a startContainer hook as a process of the container: with
// the user and the capabilities of its program.
func hookProcess(spec *specs.Spec, cmd hooks.Command) *specs.Process {
	p := *spec.Process
	p.Terminal, p.ConsoleSize = false, nil
	p.Args, p.Env, p.Cwd = cmd.Args, cmd.Env, "/"
	if len(p.Args) == 0 {
		p.Args = []string{cmd.Path}
	}
	return &p
}

// planExec plans a further process of the container: one that is born in its
// cgroup2 cgroup, or one that moves there.
func (c *Container) planExec(p *specs.Process, preserve int, paths cgroup.Paths, born bool) (*plan.Plan, error) {
	defer c.runtime.span("plan").End()
	config, err := c.snapshot()
	if err != nil {
		return nil, err
	}
	host := plan.Host{Rootless: c.record.Rootless, KeepGroups: c.record.Rootless && groupsDenied(c.record.Init.Pid), Capabilities: grantable(config.Spec)}
	if err := checkGroups(host, config.Spec, p); err != nil {
		return nil, err
	}
	host.CgroupTasks = paths.SelfJoinFiles()
	if host.Unified = born; !born && paths.Unified != nil {
		host.CgroupTasks = append(host.CgroupTasks, paths.Unified.Abs()+"/cgroup.procs")
	}
	return plan.Exec(plan.ExecRequest{Spec: config.Spec, Process: p, ID: c.record.ID, Rootfs: c.record.Rootfs, NoKeyring: c.record.NoNewKeyring, Preserve: preserve, Resctrl: c.record.Resctrl, Host: host})
}

// execveTime bounds the wait for an execve: the process may have been stopped
// or frozen by the container it has entered.
const execveTime = 30 * time.Second

// awaitExecve waits for the outcome of an execve at the other end of a pipe:
// the end of the file for success, else its result.
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
	return unix.Errno(-int32(le.Uint32(buf[:]))), nil
}

package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/hooks"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

// Start has the first process of a created container execute its program. A
// failing execve is an error here; the container has stopped then.
func (c *Container) Start(ctx context.Context) error {
	status, err := c.status()
	if err != nil {
		return err
	}
	switch status {
	case statusCreated:
	case statusStopped:
		return errors.New("cannot start a container that has stopped")
	case statusCreating:
		return errors.New("cannot start a container that is being created")
	default:
		return errors.New("cannot start an already running container")
	}
	pidfd, err := c.open()
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if err := c.hook(ctx, "startContainer", pidfd); err != nil {
		return c.abandon(ctx, pidfd, err)
	}
	if err := c.pass(ctx, pidfd); err != nil {
		return err
	}
	if err := c.hook(ctx, "poststart", pidfd); err != nil {
		return c.abandon(ctx, pidfd, err)
	}
	return nil
}

// pass opens the gate and waits for the execve behind it.
func (c *Container) pass(ctx context.Context, pidfd *os.File) error {
	passage, err := c.dir.OpenGate(ctx)
	switch {
	case errors.Is(err, state.ErrNotCreated):
		return errors.New("cannot start an already running container")
	case err != nil:
		return err
	}
	defer passage.Close()
	e, err := passage.Wait(ctx)
	if err != nil {
		return err
	}
	if e != 0 {
		return c.execFailure(unix.Errno(-int32(e)))
	}
	return nil
}

// execFailure names the program whose execve failed.
func (c *Container) execFailure(e unix.Errno) error {
	f := &Failure{Field: "/process/args/0", Errno: e}
	if config, err := c.snapshot(); err == nil && config.Spec.Process != nil && len(config.Spec.Process.Args) > 0 {
		f.Step = fmt.Sprintf("exec %q", config.Spec.Process.Args[0])
	}
	f.Hint = execHint(e)
	return f
}

// execHint says what an errno of execve(2) is usually about.
func execHint(e unix.Errno) string {
	switch e {
	case unix.ENOENT:
		return "the file is there: its ELF interpreter, or the program that its #! line names, may not be"
	case unix.ENOEXEC:
		return "neither an ELF image of this machine nor a script with a #! line"
	case unix.EACCES:
		return "not executable for this user, or on a noexec mount"
	case unix.EPERM:
		return "the security policy forbids it, or the seccomp filter could not be loaded"
	}
	return ""
}

// abandon stops a container whose hooks failed (runtime.md, "Lifecycle", 7
// and 9).
func (c *Container) abandon(ctx context.Context, pidfd *os.File, err error) error {
	_ = proc.Signal(pidfd, unix.SIGKILL)
	wait, stop := context.WithTimeout(context.WithoutCancel(ctx), waitTime)
	defer stop()
	_ = proc.Wait(wait, pidfd)
	return err
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
	o := hooks.Options{Dir: c.record.Bundle, KeepGoing: kind == "poststop"}
	if kind == "startContainer" {
		o.Dir = "/"
		o.Start = func(cmd hooks.Command) (*hooks.Process, error) {
			p, err := c.planExec(hookProcess(config.Spec, cmd), 0)
			if err != nil {
				return nil, err
			}
			return c.runtime.startInside(ctx, pidfd, cmd, p)
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

// planExec plans a further process of the container.
func (c *Container) planExec(p *specs.Process, preserve int) (*plan.Plan, error) {
	config, err := c.snapshot()
	if err != nil {
		return nil, err
	}
	host := plan.Host{Rootless: c.record.Rootless, Capabilities: grantable(config.Spec)}
	paths := c.cgroups()
	host.CgroupTasks = paths.SelfJoinFiles()
	if paths.Unified != nil {
		host.CgroupTasks = append(host.CgroupTasks, paths.Unified.Abs()+"/cgroup.procs")
	}
	return plan.Exec(plan.ExecRequest{Spec: config.Spec, Process: p, ID: c.record.ID, Preserve: preserve, Host: host})
}

// readErrno waits for the outcome of an execve at the other end of a pipe.
func readErrno(ctx context.Context, status *os.File) (unix.Errno, error) {
	if err := proc.Poll(ctx, []unix.PollFd{{Fd: int32(status.Fd()), Events: unix.POLLIN}}); err != nil {
		return 0, err
	}
	var buf [4]byte
	n, err := unix.Read(int(status.Fd()), buf[:])
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, nil
	case n != 4:
		return 0, errors.New("the container side sent a broken status")
	}
	return unix.Errno(-int32(le.Uint32(buf[:]))), nil
}

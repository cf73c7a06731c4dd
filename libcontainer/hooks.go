package libcontainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/hooks"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/specconv"
)

// Hooks run at the points that runtime.md ("Lifecycle") defines. createRuntime, prestart,
// poststart and poststop hooks run on the host. createContainer hooks run in the
// container's namespaces, before its root is set. startContainer hooks run in the
// container.

// runHooks runs the hooks of one kind during create. pid is the stub.
func (c *creation) runHooks(ctx context.Context, kind string, pid int) error {
	c.hooked = true
	o := hooks.Options{Dir: c.bundle, Trace: c.options.Trace}
	if kind == "createContainer" {
		pidfd, err := proc.OpenPid(pid)
		if err != nil {
			return err
		}
		defer pidfd.Close()
		o.Dir = c.rootfs // as with runc
		o.Start = func(cmd hooks.Command) (*hooks.Process, error) {
			return startInside(ctx, cmd, plan.Hook(c.config.Spec, cmd.Path, cmd.Args, cmd.Inherited(), cmd.Dir), engine.Job{Enter: pidfd, Trace: c.options.Trace})
		}
	}
	return runHooks(ctx, c.config.Spec, kind, c.specState(specs.StateCreating, pid), o)
}

func runHooks(ctx context.Context, spec *specs.Spec, kind string, st specs.State, o hooks.Options) error {
	list := specconv.Hooks(spec.Hooks, kind)
	if len(list) == 0 {
		return nil
	}
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	done, err := appendHookOutput(spec, &o)
	if err != nil {
		return err
	}
	defer done()
	err = hookFailure(hooks.RunAll(ctx, kind, list, data, o))
	if err != nil && ctx.Err() != nil {
		// The end of ctx is the reason, whatever error the hook has given.
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// hookFailure turns the error of one hook into a Failure with the field of the hook. The
// joined errors of several hooks stay as they are.
func hookFailure(err error) error {
	e, ok := err.(*hooks.Error)
	if !ok {
		return err
	}
	f := &Failure{Field: e.Pointer, Step: e.Step(), Err: &worded{e.Reason(), e}}
	_ = errors.As(err, &f.Errno)
	return f
}

// startInside starts a hook in the namespaces of the process of job.Enter, with a stub of
// its own. It returns the error of a failed execve.
func startInside(ctx context.Context, cmd hooks.Command, p *plan.Plan, job engine.Job) (*hooks.Process, error) {
	status, report, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	job.Stdio, job.Status, job.Name = [3]*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr}, report, "onggi:hook"
	child, err := engine.Run(ctx, p, &job)
	report.Close()
	if f := (*Failure)(nil); errors.As(err, &f) && f.Field == "/process/args/0" {
		err = &os.PathError{Op: "fork/exec", Path: cmd.Path, Err: f.Errno} // the program is the hook's
	}
	if err != nil {
		return nil, err
	}
	e, err := awaitExecve(ctx, status)
	child.Executed()
	child.Reap()
	if err != nil || e != 0 {
		(&Process{pid: child.Pid, handle: handle{pidfd: child.Pidfd}}).kill()
		if err == nil {
			err = &os.PathError{Op: "fork/exec", Path: cmd.Path, Err: e}
		}
		return nil, err
	}
	return &hooks.Process{Pid: child.Pid, Pidfd: child.Pidfd}, nil
}

// runEndHooks runs all poststop hooks, even if some fail. Failures are warnings.
func (c *creation) runEndHooks(ctx context.Context) {
	err := runHooks(ctx, c.config.Spec, "poststop", c.specState(specs.StateStopped, 0), hooks.Options{Dir: c.bundle, KeepGoing: true, Trace: c.options.Trace})
	if err != nil {
		c.warnf("%v", err)
	}
}

func (c *creation) specState(status specs.ContainerState, pid int) specs.State {
	return specs.State{Version: specs.Version, ID: c.id, Status: status, Pid: pid, Bundle: c.bundle, Annotations: c.config.Spec.Annotations}
}

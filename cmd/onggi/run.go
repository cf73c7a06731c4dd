package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

// runOptions are the flags of run, which has more than create.
type runOptions struct {
	libcontainer.CreateOptions
	detach      bool
	keep        bool
	noSubreaper bool
}

func runCommand() command {
	return command{
		Name: "run", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "create and start a container, and wait for it",
		Detail: `Runs the program that process.args in config.json names. In the foreground,
onggi waits for the program, forwards signals to it and connects its terminal
with the caller's. Then it deletes the container and exits with the program's
exit status.

` + idText,
		Manual: cli.Manual{
			Status: "That of the program, or 128 plus the number of the signal that killed it. 1 after " +
				"a failure of onggi. With --detach, 0 or 1.",
			Files: bundleFiles, Environment: serviceEnvironment,
			Examples: `A shell in the root file system below /srv/web, on this terminal:

    onggi run --bundle /srv/web web

In the background, where process.terminal is false in config.json:

    onggi run --bundle /srv/web --detach web </dev/null >log 2>&1

Another program, without a change of the bundle:

    jq '.process.args = ["nginx", "-t"]' /srv/web/config.json >test.json
    onggi run --bundle /srv/web --config test.json test`,
		},
		Define: defineRun,
	}
}

func defineRun(f *flags) action {
	var o runOptions
	preserve := createFlags(f, &o.CreateOptions)
	f.Bool(&o.detach, "detach", "d", "do not wait for the container")
	f.Bool(&o.keep, "keep", "", "do not delete the container when it ends")
	f.Bool(&o.noSubreaper, "no-subreaper", "", "do not adopt orphaned processes of the container")
	return func(c *call) error {
		r, err := c.runtime()
		if err != nil {
			return err
		}
		if err := inherit(&o.CreateOptions, *preserve, c.std); err != nil {
			return err
		}
		if o.detach {
			return runDetached(c, r, o)
		}
		return runForeground(c, r, o)
	}
}

// runDetached starts a container and leaves it running.
func runDetached(c *call, r *libcontainer.Runtime, o runOptions) error {
	ctx, err := interruptible(c.ctx)
	if err != nil {
		return err
	}
	container, err := r.Create(ctx, c.args[0], o.CreateOptions)
	if err != nil {
		return because(ctx, err)
	}
	if err := startOrDelete(ctx, c, container); err != nil {
		return err
	}
	passReady(ctx, c, container, container.Pid())
	return nil
}

// runForeground runs a container and waits for its end.
func runForeground(c *call, r *libcontainer.Runtime, o runOptions) error {
	if !o.noSubreaper {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	ctx, fg, err := newForeground(c.ctx, c.std)
	if err != nil {
		return err
	}
	defer fg.close()
	if o.ConsoleSocket == "" {
		o.Console = fg.console(fg.keepConsole)
	}
	container, err := r.Create(ctx, c.args[0], o.CreateOptions)
	if err != nil {
		return because(ctx, noTerminal(err))
	}
	if err := errors.Join(fg.ready(), fg.relayKept()); err != nil {
		remove(ctx, c, container)
		return err
	}
	if err := startOrDelete(ctx, c, container); err != nil {
		return err
	}
	orphans, err := adoptOrphans(fg, container)
	if err != nil {
		remove(ctx, c, container)
		return err
	}
	told := passReadyMeanwhile(c, container)
	status, err := fg.wait(c.ctx, signalled{container})
	told()
	rest := fg.over(c.ctx)
	orphans.leave()
	if !o.keep {
		remove(rest, c, container)
	}
	if err != nil {
		return err
	}
	return exitStatus(status)
}

// startOrDelete starts a container, or deletes it if that fails: nobody knows of it yet.
func startOrDelete(ctx context.Context, c *call, container *libcontainer.Container) error {
	err := container.Start(ctx)
	if err != nil {
		remove(ctx, c, container)
	}
	return because(ctx, err)
}

// remove deletes a container after its run. The caller gets the result of the run, so a
// container that cannot be deleted is only a warning. If a signal has ended ctx, remove still
// tries to delete the container, for at most rollbackTime.
func remove(ctx context.Context, c *call, container *libcontainer.Container) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(c.ctx, rollbackTime)
		defer cancel()
	}
	if err := because(ctx, container.Delete(ctx, true)); err != nil {
		c.log.warn("container is left behind: " + oneLine(err))
	}
}

// rollbackTime bounds the clean-up of an interrupted run. Most of it are the poststop hooks.
const rollbackTime = 3 * time.Second

// signalled adds to a container the method that sends a signal to its first process.
type signalled struct{ *libcontainer.Container }

// Signal sends the signal to the container's first process.
func (s signalled) Signal(sig unix.Signal) error { return s.Kill(sig, false) }

package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bounded"
	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/specconv"
)

// Kill sends a signal to the first process, or to all processes with all. What
// SIGKILL is sent to dies, paused or not; Wait is for its end. ErrNotRunning where
// nothing lives; SIGKILL of a container that shares its pid namespace is for all
// processes in its cgroup, and is no error after their end. It takes 10 seconds at most, where a cgroup has to be frozen or
// thawed for it.
func (c *Container) Kill(sig unix.Signal, all bool) (err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	defer c.runtime.span("kill").End()
	ctx, stop := bounded.Within(context.Background(), waitTime)
	defer stop()
	if all {
		return c.killAll(ctx, sig)
	}
	pidfd, err := c.open()
	if errors.Is(err, ErrNotRunning) && sig == unix.SIGKILL && c.mayBeOutlived() {
		return c.killRest(ctx)
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if sig == unix.SIGKILL {
		return c.kill(ctx, pidfd)
	}
	if stops(sig) && c.ownPids() {
		if stopped, err := c.stopCreated(ctx, pidfd); stopped || err != nil {
			return err
		}
	}
	return signalFirst(pidfd, sig)
}

// stops tells whether a signal stops a container that has not been started. The
// kernel keeps it from the stub, which is process 1 of its pid namespace and
// handles no signal (pid_namespaces(7)). The list is of the signals that end
// runc's process at that point.
func stops(sig unix.Signal) bool {
	switch sig {
	case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE,
		unix.SIGSEGV, unix.SIGTERM, unix.SIGSTKFLT, unix.SIGSYS:
		return true
	}
	return false
}

// stopCreated kills a first process that waits to be started. No start passes
// the gate meanwhile, so no program gets SIGKILL in place of its signal.
func (c *Container) stopCreated(ctx context.Context, pidfd *os.File) (stopped bool, err error) {
	if gated, err := c.dir.Gated(); err != nil || !gated {
		return false, err
	}
	dir, err := c.dir.Lock(ctx)
	if err != nil {
		return false, err
	}
	defer dir.Unlock()
	if gated, err := dir.Gated(); err != nil || !gated {
		return false, err
	}
	return true, c.kill(ctx, pidfd)
}

// mayBeOutlived tells whether processes of the container can live on after the
// first one: it is not process 1 of a namespace of its own, and there is a cgroup
// to find them in.
func (c *Container) mayBeOutlived() bool {
	return !c.record.Init.IsZero() && c.hasCgroup() && !c.ownPids()
}

// killRest kills the processes that have outlived the first one. As with runc it
// is no error where there are none.
func (c *Container) killRest(ctx context.Context) error {
	if _, err := c.processes(); errors.Is(err, unix.ENOENT) {
		return ErrNotRunning
	}
	own, err := c.owns(false)
	if err != nil {
		return err
	}
	if !own { // others have it by now
		return ErrNotRunning
	}
	return c.killCgroup(ctx)
}

// kill kills the first process, and its children with it. Where it is not process
// 1 of a namespace they would outlive it; without a cgroup nobody knows them.
func (c *Container) kill(ctx context.Context, pidfd *os.File) error {
	if c.hasCgroup() && !c.ownPids() {
		switch own, err := c.owns(true); {
		case err != nil:
			return err
		case own:
			return c.killCgroup(ctx)
		}
	}
	if err := signalFirst(pidfd, unix.SIGKILL); err != nil {
		return err
	}
	return c.thawDying(ctx)
}

func signalFirst(pidfd *os.File, sig unix.Signal) error {
	err := proc.Signal(pidfd, sig)
	if errors.Is(err, proc.ErrGone) {
		return ErrNotRunning
	}
	return err
}

func (c *Container) killAll(ctx context.Context, sig unix.Signal) error {
	pids, err := c.processes()
	switch {
	case err != nil:
		return err
	case len(pids) == 0:
		return ErrNotRunning
	}
	pidfd, err := c.open()
	alive := err == nil
	if alive {
		defer pidfd.Close()
	} else if !errors.Is(err, ErrNotRunning) {
		return err
	}
	own, err := c.owns(alive)
	switch {
	case err != nil:
		return err
	case c.hasCgroup() && own && sig == unix.SIGKILL:
		return c.killCgroup(ctx)
	case c.hasCgroup() && own:
		return c.cgroups().Signal(ctx, sig)
	case alive:
		return signalFirst(pidfd, sig)
	}
	return ErrNotRunning
}

// killCgroup kills all processes in the container's cgroup. One that this
// process is in, too, is no container's, whatever the state says.
func (c *Container) killCgroup(ctx context.Context) error {
	if pids, err := c.cgroups().AllProcs(); err == nil && slices.Contains(pids, os.Getpid()) {
		return fmt.Errorf("the cgroup of container %s has this very process in it: not killing it", c.record.ID)
	}
	return c.cgroups().Kill(ctx)
}

// thawDying lets a process that is frozen die: the v1 freezer keeps even one
// that was killed.
func (c *Container) thawDying(ctx context.Context) error {
	frozen, err := c.cgroups().Frozen()
	if err != nil || !frozen {
		return nil //nolint:nilerr // the cgroup is gone with the process
	}
	if own, err := c.owns(true); err != nil || !own {
		return err
	}
	return c.cgroups().Thaw(ctx)
}

// OwnPids tells whether the first process is process 1 of a pid namespace that
// was made for it, which inherits all orphans in it.
func (c *Container) OwnPids() bool {
	if c.enter() != nil {
		return false
	}
	defer c.leave()
	return c.ownPids()
}

func (c *Container) ownPids() bool {
	config, err := c.snapshot()
	if err != nil || config.Spec.Linux == nil {
		return false
	}
	for _, n := range config.Spec.Linux.Namespaces {
		if flag, _ := specconv.NamespaceFlag(n.Type); flag == unix.CLONE_NEWPID {
			return n.Path == ""
		}
	}
	return false
}

// Pause freezes all processes of the container. One that sleeps where it cannot
// be frozen ends the attempt after a while; then all run again.
func (c *Container) Pause(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	status, err := c.status()
	if err != nil {
		return err
	}
	if status != StatusRunning && status != StatusCreated {
		return fmt.Errorf("cannot pause a container that is %s: %w", status, ErrNotRunning)
	}
	if err := c.checkOwn(); err != nil {
		return err
	}
	ctx, stop := bounded.Within(ctx, waitTime)
	defer stop()
	return c.cgroups().Freeze(ctx)
}

// Resume lets them run again. ErrNotPaused where they do.
func (c *Container) Resume(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	frozen, err := c.cgroups().Frozen()
	if err != nil {
		return err
	}
	alive, err := c.record.Init.Alive()
	if err != nil {
		return err
	}
	own, err := c.owns(alive)
	if err != nil {
		return err
	}
	if !frozen || !own {
		return fmt.Errorf("cannot resume: %w", ErrNotPaused)
	}
	ctx, stop := bounded.Within(ctx, waitTime)
	defer stop()
	return c.cgroups().Thaw(ctx)
}

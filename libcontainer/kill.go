package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/deadline"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/specconv"
)

// Kill sends a signal to the first process or, with all, to all processes of the
// container. SIGKILL also ends a paused container. Kill does not wait for the end;
// Wait does. Kill takes at most 10 seconds, which it may need to freeze or thaw a
// cgroup.
//
// The error is ErrNotRunning if no process lives. There is an exception: in a
// container that shares its pid namespace, processes may outlive the first one.
// SIGKILL then goes to all processes in its cgroup, and is no error even if they have
// ended too.
func (c *Container) Kill(sig unix.Signal, all bool) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	defer c.runtime.span("kill").End()
	ctx, stop := deadline.Within(context.Background(), waitTime)
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

// stops reports whether a signal stops a container that has not been started. The
// kernel does not deliver the signal to the stub, which is process 1 of its pid
// namespace and handles no signal (pid_namespaces(7)). The list has the signals that
// end runc's process at that point.
func stops(sig unix.Signal) bool {
	switch sig {
	case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE,
		unix.SIGSEGV, unix.SIGTERM, unix.SIGSTKFLT, unix.SIGSYS:
		return true
	}
	return false
}

// stopCreated kills a first process that waits to be started, and reports whether
// there was one. It holds the lock, so no start opens the gate meanwhile. Otherwise
// the container's program could get SIGKILL in place of its signal.
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

// mayBeOutlived reports whether processes of the container can outlive the first one.
// They can if the first process is not process 1 of a pid namespace of its own. There
// has to be a cgroup as well, in which to find them.
func (c *Container) mayBeOutlived() bool {
	return !c.record.Init.IsZero() && c.hasCgroup() && !c.ownPids()
}

// killRest kills the processes that have outlived the first one. As in runc, it is no
// error if there are none.
func (c *Container) killRest(ctx context.Context) error {
	if _, err := c.processes(); errors.Is(err, unix.ENOENT) {
		return ErrNotRunning
	}
	own, err := c.owns(false)
	if err != nil {
		return err
	}
	if !own { // another container has claimed the cgroup
		return ErrNotRunning
	}
	return c.killCgroup(ctx)
}

// kill kills the first process. If that is not process 1 of a pid namespace, its
// children would survive, so kill kills all processes in the cgroup. Without a cgroup
// the children are not known.
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

// killCgroup kills all processes in the container's cgroup. It refuses a cgroup that
// contains the calling process: that is no container's, whatever the state says.
func (c *Container) killCgroup(ctx context.Context) error {
	if pids, err := c.cgroups().AllProcs(); err == nil && slices.Contains(pids, os.Getpid()) {
		return fmt.Errorf("the cgroup of container %s contains the calling process: refusing to kill it", c.record.ID)
	}
	return c.cgroups().Kill(ctx)
}

// thawDying thaws the cgroup of a killed process. The v1 freezer keeps even a killed
// process from ending.
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

// OwnPids reports whether the first process is process 1 of a pid namespace that was
// made for it. Such a process inherits all orphans of the namespace.
func (c *Container) OwnPids() bool {
	if c.acquire() != nil {
		return false
	}
	defer c.release()
	return c.ownPids()
}

func (c *Container) ownPids() bool {
	config, err := c.snapshot()
	if err != nil {
		return false
	}
	n := specconv.Namespace(config.Spec, specs.PIDNamespace)
	return n != nil && n.Path == ""
}

// Pause freezes all processes of the container. A process in a sleep that cannot be
// frozen ends the attempt, after 10 seconds at most; then all processes run again. The
// error is ErrNotRunning if the container is neither created nor running.
func (c *Container) Pause(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	status, err := c.status()
	if err != nil {
		return err
	}
	if status == StatusPaused {
		return ErrNotRunning // in runc's words
	}
	if status != StatusRunning && status != StatusCreated {
		return fmt.Errorf("cannot pause a container that is %s: %w", status, ErrNotRunning)
	}
	if err := c.checkOwn(); err != nil {
		return err
	}
	ctx, stop := deadline.Within(ctx, waitTime)
	defer stop()
	return c.cgroups().Freeze(ctx)
}

// Resume lets the processes of a paused container run again. The error is
// ErrNotPaused if the container is not paused.
func (c *Container) Resume(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
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
	if paused, err := c.recover(ctx); err != nil || !paused {
		return err
	}
	ctx, stop := deadline.Within(ctx, waitTime)
	defer stop()
	return c.cgroups().Thaw(ctx)
}

// waitTime bounds the waits for a container that has to end, freeze or thaw.
const waitTime = 10 * time.Second

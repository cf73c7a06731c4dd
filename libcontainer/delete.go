package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/deadline"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// Delete removes the container with this id. Without force the container must be
// stopped or created; the error is ErrNotStopped otherwise. With force its state does
// not matter, and it is no error if there is no such container.
//
// If the record is missing, or if it is unreadable and force is set, Delete finds the
// processes by the mark on the cgroup. With force it ends them. Without force it
// refuses if there are any.
func (r *Runtime) Delete(ctx context.Context, id string, force bool) (err error) {
	defer bug.Caught(&err)
	dir, err := r.store.Open(id)
	if force && errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	record, err := dir.Load()
	switch {
	case err == nil:
		c := newContainer(r, dir, *record)
		defer c.Close()
		return c.Delete(ctx, force)
	case force || errors.Is(err, ErrNotExist):
		err := r.deleteUnreadable(ctx, dir, id, force)
		if force && errors.Is(err, ErrNotExist) { // another delete was faster
			return nil
		}
		return err
	}
	dir.Close()
	return err
}

// Delete removes everything that Create has made: processes, cgroup and state, in
// this order. The poststop hooks run before the state is removed; their failures are
// warnings. Without force the container must be stopped or created; the error is
// ErrNotStopped otherwise. With force it is no error if another caller has deleted
// the container before or meanwhile. Delete waits at most 10 seconds for processes
// and cgroups.
func (c *Container) Delete(ctx context.Context, force bool) (err error) {
	defer bug.Caught(&err)
	err = c.acquire()
	if err == nil {
		defer c.release()
		err = c.delete(ctx, force)
	}
	if force && errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

func (c *Container) delete(ctx context.Context, force bool) error {
	if err := c.checkDelete(force); err != nil {
		return err
	}
	wait, stop := deadline.Within(ctx, waitTime)
	defer stop()
	// From here on no create can save another intent.
	err := c.retire(wait)
	if err == nil {
		err = c.last().remove(ctx, wait)
	}
	if err == nil || errors.Is(err, ErrNotExist) {
		c.first.collect(wait)
		c.finish(ErrNotExist)
	}
	return err
}

// last returns the container with its final record. Its descriptors belong to c.
func (c *Container) last() *Container {
	record, err := c.dir.Load()
	if err != nil {
		record = &c.record
	}
	return &Container{runtime: c.runtime, dir: c.dir, record: *record, config: c.config, first: c.first}
}

// remove does the work of Delete, once no other record can follow.
func (c *Container) remove(ctx, wait context.Context) error {
	if err := c.end(wait); err != nil {
		return err
	}
	if err := c.undo(wait); err != nil {
		return err
	}
	unlock, err := c.lockEnd(wait)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.snapshot(); !errors.Is(err, unix.ENOENT) { // ENOENT: another delete has run the hooks
		if err := c.hook(ctx, "poststop", nil); err != nil {
			c.runtime.warn(err.Error())
		}
	}
	if ctx.Err() != nil { // a hook was interrupted, and must not run again
		var stop context.CancelFunc
		wait, stop = deadline.Within(context.WithoutCancel(ctx), time.Second)
		defer stop()
	}
	return c.removeState(wait)
}

// lockEnd keeps other deletes from running the poststop hooks at the same time: each
// hook runs once, in the listed order (runtime.md, "Lifecycle", 12). A container
// without poststop hooks needs no lock.
func (c *Container) lockEnd(ctx context.Context) (unlock func(), err error) {
	config, err := c.snapshot()
	if err != nil || len(specconv.Hooks(config.Spec.Hooks, "poststop")) == 0 {
		return func() {}, nil //nolint:nilerr // without a configuration there are no hooks
	}
	unlock, err = c.dir.LockEnd(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("another delete is running the poststop hooks: %w", err)
	}
	return unlock, err
}

func (c *Container) retire(ctx context.Context) error {
	defer c.runtime.span("mark it as going").End()
	return c.dir.Retire(ctx)
}

func (c *Container) removeState(ctx context.Context) error {
	defer c.runtime.span("remove the state").End()
	return c.dir.Remove(ctx)
}

func (c *Container) checkDelete(force bool) error {
	if force {
		return nil
	}
	status, err := c.status()
	if err != nil {
		return err
	}
	if status == StatusStopped || status == StatusCreated {
		return nil
	}
	return &worded{fmt.Sprintf("cannot delete container %s that is not stopped: %s", c.record.ID, status), ErrNotStopped}
}

// end kills the processes of the container and waits until they are gone.
func (c *Container) end(ctx context.Context) error {
	defer c.runtime.span("end what lives in it").End()
	pidfd, err := c.openFirst()
	alive := err == nil
	if alive {
		defer pidfd.Close()
	} else if !errors.Is(err, ErrNotRunning) {
		return err
	}
	whose, made, err := c.whose(alive)
	if err != nil {
		return err
	}
	c.marked = made
	if alive {
		if err := c.endFirst(ctx, pidfd); err != nil {
			return err
		}
	}
	c.cgroup, err = c.endCgroup(ctx, whose, alive || c.outlived())
	return err
}

func (c *Container) endFirst(ctx context.Context, pidfd *os.File) error {
	if err := proc.Signal(pidfd, unix.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
		return err
	}
	_ = c.thawDying(ctx)
	if err := proc.Wait(ctx, pidfd); err != nil {
		return c.survivors(err)
	}
	return nil
}

// openFirst is open, but it also finds the process of a create that was killed.
func (c *Container) openFirst() (*os.File, error) {
	if !c.record.Init.IsZero() || c.record.Creating.IsZero() {
		return c.open()
	}
	pidfd, err := c.record.Creating.Open()
	if errors.Is(err, proc.ErrGone) {
		return nil, ErrNotRunning
	}
	return pidfd, err
}

// survivors adds to err the processes that have not ended. The first process is seldom
// the cause: it waits for the others of its pid namespace.
func (c *Container) survivors(err error) error {
	pids, failed := c.processes()
	if failed != nil || len(pids) == 0 {
		pids = []int{c.record.Init.Pid}
	}
	return fmt.Errorf("container %s does not end: it still has %s: %w", c.record.ID, cgroup.Describe(pids), err)
}

// madeCgroups returns the cgroup directories that were made for this container, or for
// containers that had its cgroup before.
func (c *Container) madeCgroups() (dirs []string) {
	for _, i := range c.record.Intents {
		if i.Kind == state.CgroupDir {
			dirs = append(dirs, i.Name)
		}
	}
	for _, dir := range c.marked {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// undo undoes the intents: the scope and the directory of a restore, then the resctrl
// directories, then the cgroup directories.
func (c *Container) undo(ctx context.Context) error {
	defer c.runtime.span("remove the cgroup").End()
	for _, i := range c.record.Intents {
		switch i.Kind {
		case state.Scope:
			// A scope without processes ends by itself, so a failure here is a warning.
			if c.cgroup == anothers { // the unit of that name is not ours either
				continue
			}
			if err := stopScope(ctx, i.Name, c.record.Rootless); err != nil {
				c.runtime.warn(err.Error())
			}
		case state.PivotDir:
			if err := removeLeftPivot(ctx, i.Name); err != nil {
				c.runtime.warn(err.Error())
			}
		}
	}
	if err := c.leaveResctrl(); err != nil {
		return err
	}
	return c.removeCgroup(ctx)
}

func (c *Container) removeCgroup(ctx context.Context) error {
	if !c.hasCgroup() {
		return nil
	}
	made := c.madeCgroups()
	switch c.cgroup {
	case removed:
		c.cgroups().RemoveParents(made)
	case unmarked:
		c.cgroups().RemoveUnclaimed(made)
	case whole:
		c.cgroups().Unclaim(made)
		return c.cgroups().Remove(ctx, made)
	case anothers:
	}
	return nil
}

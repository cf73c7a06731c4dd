package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/deadline"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

// deleteUnreadable removes a container without a readable state. Its processes are those in
// the cgroups with its mark.
func (r *Runtime) deleteUnreadable(ctx context.Context, dir *state.Dir, id string, force bool) error {
	defer dir.Close()
	ctx, stop := deadline.Within(ctx, waitTime)
	defer stop()
	c := newContainer(r, dir, state.Record{ID: id})
	if err := c.salvage(); err != nil {
		return fmt.Errorf("container %s: its state cannot be read, and its cgroup cannot be searched for: %w", id, err)
	}
	if !force {
		if err := c.checkLifeless(); err != nil {
			return err
		}
	}
	if err := dir.Retire(ctx); err != nil {
		return err
	}
	if err := c.salvage(); err != nil { // again: from here on no create makes more
		return err
	}
	if !c.hasCgroup() {
		c.warnUnknown()
	}
	if err := errors.Join(c.endMarked(ctx), c.undo(ctx)); err != nil {
		return oneLine(err)
	}
	return dir.Remove(ctx)
}

// salvage finds the container's cgroups by their marks and puts them into the record.
func (c *Container) salvage() error {
	host, err := cgroup.Detect()
	if err != nil { // without a hierarchy there is no cgroup
		c.runtime.warnf("container %s: its cgroup cannot be searched for: %v", c.record.ID, err)
		return nil
	}
	paths, made, err := cgroup.FindClaims(host, c.runtime.store.Root, c.record.ID)
	if err != nil {
		return err
	}
	c.record.Cgroup, c.record.Intents = recordCgroup(c.runtime.options.CgroupManager, paths), nil
	for _, dir := range made {
		c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.CgroupDir, Name: dir})
	}
	if u := paths.Unified; u != nil && strings.HasSuffix(u.Path, ".scope") {
		c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.Scope, Name: path.Base(u.Path)})
	}
	return nil
}

// checkLifeless refuses a container with processes. Without a record nobody knows whether it
// was started.
func (c *Container) checkLifeless() error {
	pids, err := c.cgroups().AllProcs()
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return &worded{fmt.Sprintf("cannot delete container %s: its state is missing, and it has %s: --force ends them", c.record.ID, cgroup.Describe(pids)), ErrNotStopped}
	}
	if gated, err := c.dir.Gated(); err == nil && gated {
		return &worded{fmt.Sprintf("cannot delete container %s: its state is missing, and a process waits to be started: --force leaves it", c.record.ID), ErrNotStopped}
	}
	return nil
}

// warnUnknown warns about a container without a marked cgroup. There is no warning if the
// configuration is missing too: create was killed before it made a cgroup.
func (c *Container) warnUnknown() {
	if _, err := c.snapshot(); !errors.Is(err, unix.ENOENT) {
		c.runtime.warnf("container %s: its state cannot be read, and no cgroup has its mark: if it has processes, they are not known", c.record.ID)
	}
}

// endMarked kills all processes in the marked cgroups.
func (c *Container) endMarked(ctx context.Context) error {
	c.cgroup = whole
	pids, err := c.cgroups().AllProcs()
	if err != nil || len(pids) == 0 {
		return err
	}
	return c.killCgroup(ctx)
}

package libcontainer

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bounded"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

// deleteUnreadable removes a container of which the state cannot be read, as
// far as the snapshot of its configuration tells what there is.
func (r *Runtime) deleteUnreadable(ctx context.Context, dir *state.Dir, id string) error {
	defer dir.Close()
	ctx, stop := bounded.Within(ctx, waitTime)
	defer stop()
	if err := dir.Retire(ctx); err != nil {
		return err
	}
	c := newContainer(r, dir, state.Record{ID: id})
	switch err := c.salvage(ctx); {
	case errors.Is(err, unix.ENOENT): // create was killed before it made anything else
	case err != nil:
		r.warnf("container %s: its state cannot be read, and its cgroup is not known: %v", id, err)
	default:
		if err := errors.Join(c.end(ctx), c.undo(ctx)); err != nil {
			return oneLine(err)
		}
	}
	return dir.Remove(ctx)
}

// salvage finds the container's cgroup, and by that its processes, where its
// configuration would have it made from here.
func (c *Container) salvage(ctx context.Context) error {
	if c.runtime.options.CgroupManager == cgroupDisabled {
		return nil
	}
	config, err := c.snapshot()
	if err != nil {
		return err
	}
	paths, scope, err := c.runtime.place(ctx, config.Spec, c.record.ID)
	if err != nil {
		return err
	}
	if scope != nil {
		scope.close()
		c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.Scope, Name: scope.unit.Name})
	}
	c.record.Cgroup = recordCgroup(c.runtime.options.CgroupManager, paths)
	dirs := paths.V1
	if paths.Unified != nil {
		dirs = append(dirs, *paths.Unified)
	}
	for _, dir := range dirs {
		c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.CgroupDir, Name: dir.Abs()})
	}
	return nil
}

package libcontainer

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// Delegate gives the container's cgroup to a user; engine.Cgroups has the rest.
// The specification only allows it, so that a runtime without the privilege for
// it goes on.
func (c *creation) Delegate(uid int) error {
	err := c.paths.Delegate(uid)
	if c.rootless && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
		c.warnf("the cgroup stays the runtime's: %v", err)
		return nil
	}
	return err
}

// EnterSub moves the first process into the cgroup that belongs to it.
func (c *creation) EnterSub(sub string, pid, uid int) error {
	return c.paths.EnterSub(sub, pid, uid)
}

// intendSub records the cgroup below the container's that an annotation asks
// for. Where the container's own was made for it, it goes with that one.
func (c *creation) intendSub() {
	if sub := c.config.Spec.Annotations[specconv.DelegateCgroup]; sub != "" && c.paths.Unified != nil {
		for _, dir := range c.paths.Below(sub).Missing() {
			c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.CgroupDir, Name: dir})
		}
	}
}

// entrance is the cgroup that further processes start in. Its own cgroup a
// container has left to its children where one below it was asked for: no
// process can be there any more.
func (c *Container) entrance() cgroup.Paths {
	p := c.cgroups()
	if sub := c.record.Annotations[specconv.DelegateCgroup]; sub != "" && p.Unified != nil {
		return p.Below(sub)
	}
	return p
}

// divided tells the failure to enter a cgroup that the container has divided
// among others, or removed. Its first process is in one that can be entered.
func divided(err error) bool {
	var file *cgroup.FileError
	return errors.Is(err, unix.EBUSY) || errors.As(err, &file) && errors.Is(err, unix.ENOENT)
}

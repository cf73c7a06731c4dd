package libcontainer

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// Delegate gives the container's cgroup to a user; see engine.Cgroups. The specification
// allows it but does not require it, so a rootless runtime without the privilege goes on
// with a warning.
func (c *creation) Delegate(uid int) error {
	err := c.paths.Delegate(uid)
	if c.rootless && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
		c.warnf("the cgroup stays the runtime's: %v", err)
		return nil
	}
	return err
}

// EnterSub moves the first process into the cgroup sub, below the container's.
func (c *creation) EnterSub(sub string, pid, uid int) error {
	return c.paths.EnterSub(sub, pid, uid)
}

// intendSub records the cgroup below the container's that an annotation asks for. The
// record matters only if the container's own cgroup existed before. Otherwise both are
// removed together.
func (c *creation) intendSub() {
	if sub := c.config.Spec.Annotations[specconv.DelegateCgroup]; sub != "" && c.paths.Unified != nil {
		for _, dir := range c.paths.Below(sub).Missing() {
			c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.CgroupDir, Name: dir})
		}
	}
}

// entrance returns the cgroup in which further processes start. If an annotation asks for
// a cgroup below the container's, the container's own has only cgroups below it, and no
// process can be there any more.
func (c *Container) entrance() cgroup.Paths {
	p := c.cgroups()
	if sub := c.record.Annotations[specconv.DelegateCgroup]; sub != "" && p.Unified != nil {
		return p.Below(sub)
	}
	return p
}

// divided reports whether err is the failure to enter a cgroup that the container has
// divided among others, or removed. The cgroup of its first process can be entered.
func divided(err error) bool {
	var file *cgroup.FileError
	return errors.Is(err, unix.EBUSY) || errors.As(err, &file) && errors.Is(err, unix.ENOENT)
}

package libcontainer

import (
	"errors"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/resctrl"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// chooseResctrl chooses the container's class of service. On a host without one it fills
// in a default, so that the plan can show it; create fails then.
func (c *creation) chooseResctrl() {
	l := c.config.Spec.Linux
	if l == nil || l.IntelRdt == nil {
		return
	}
	c.resctrl, c.resctrlErr = c.Runtime.resctrl.Group(c.id, l.IntelRdt)
	if c.resctrlErr != nil {
		c.resctrl, _ = resctrl.Host{Root: "/sys/fs/resctrl"}.Group(c.id, l.IntelRdt)
	}
}

func (c *creation) checkResctrl() error {
	if c.resctrlErr == nil {
		return nil
	}
	return &Failure{Field: "/linux/intelRdt", Err: c.resctrlErr}
}

// resctrlDirs returns the directories of resctrl that the container's processes enter.
func (c *creation) resctrlDirs() []string {
	if c.resctrl == nil {
		return nil
	}
	return c.resctrl.Dirs()
}

// intendResctrl records the directories that have to be removed with the container.
func (c *creation) intendResctrl() {
	if c.resctrl == nil {
		return
	}
	for _, dir := range c.resctrl.Removable() {
		c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.ResctrlDir, Name: dir})
	}
	c.record.Resctrl = c.resctrl.Dirs()
}

func (c *creation) makeResctrl() error {
	if c.resctrl == nil {
		return nil
	}
	removable := c.resctrl.Removable()
	if err := c.resctrl.Create(); err != nil {
		f := &Failure{Field: "/linux/intelRdt", Step: "make the class of service", Err: err}
		_ = errors.As(err, &f.Errno)
		return f
	}
	c.madeResctrl = removable
	return nil
}

// removeResctrl removes the directories that makeResctrl has made for this container alone.
func (c *creation) removeResctrl() {
	for i := len(c.madeResctrl) - 1; i >= 0; i-- {
		if err := resctrl.Remove(c.madeResctrl[i]); err != nil {
			c.warnf("clean up after the failed create: %v", err)
		}
	}
}

// leaveResctrl removes the directories of resctrl that were made for the container, the
// last one first.
func (c *Container) leaveResctrl() error {
	for _, i := range slices.Backward(c.record.Intents) {
		if i.Kind != state.ResctrlDir {
			continue
		}
		if err := resctrl.Remove(i.Name); err != nil {
			return err
		}
	}
	return nil
}

// UpdateIntelRdt changes the schemata of the container's class of service. The change
// applies to all processes in it, those of other containers included. The error is a
// *Failure if the container was created without a class of service.
func (c *Container) UpdateIntelRdt(r *specs.LinuxIntelRdt) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if err := specconv.ValidateIntelRdt(r); err != nil {
		return oneLine(err)
	}
	if len(c.record.Resctrl) == 0 {
		return &Failure{Field: "/linux/intelRdt", Err: errors.New("Intel RDT/CAT: l3 cache schema is not enabled: the container has no resctrl group")} //nolint:staticcheck // ST1005: runc's words
	}
	var lines []string
	for _, l := range append([]string{r.L3CacheSchema, r.MemBwSchema}, r.Schemata...) {
		if l != "" {
			lines = append(lines, l)
		}
	}
	if err := resctrl.Update(c.record.Resctrl[0], lines...); err != nil {
		f := &Failure{Field: "/linux/intelRdt", Err: err}
		if !errors.As(err, &f.Errno) {
			f.Errno = unix.EIO
		}
		return f
	}
	return nil
}

// IntelRdt returns the statistics of the container's class of service, or empty ones if it
// has none.
func (c *Container) IntelRdt() IntelRdtStats { return resctrl.Read(c.record.Resctrl) }

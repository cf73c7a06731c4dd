package libcontainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/specconv"
)

// Update changes the limits of a live container. It changes only the limits that r has. As in
// config.json, a zero means "not set" wherever zero is no valid limit. Device rules in r
// replace all device rules of the container. In the other lists, an entry replaces the one
// for the same device, page size or interface. If Update fails, all limits are as before.
//
// The error is ErrNotRunning for a stopped container.
func (c *Container) Update(ctx context.Context, r *specs.LinuxResources) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if r == nil {
		return errors.New("there are no limits to update")
	}
	if err := specconv.ValidateResources(r); err != nil {
		return oneLine(err)
	}
	if err := c.checkUpdate(); err != nil {
		return err
	}
	dir, err := c.dir.Lock(ctx)
	if err != nil {
		return err
	}
	defer dir.Unlock()
	old, err := c.limits()
	if err != nil {
		return err
	}
	now := mergeResources(old, r)
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return dir.SaveResources(ctx, data, func() error {
		return c.updateScope(ctx, old, now, r, func(before func() error) error {
			return c.cgroups().Update(dependent(r, now), cgroup.SetOptions{
				Devices: cgroup.DefaultDevices(), Rootless: c.record.Rootless, Warn: c.runtime.options.Warn, Before: before,
			})
		})
	})
}

func (c *Container) checkUpdate() error {
	if !c.hasCgroup() {
		return errors.New("cannot update a container without a cgroup")
	}
	status, err := c.status()
	if err != nil {
		return err
	}
	switch status {
	case StatusStopped:
		return fmt.Errorf("cannot update a stopped container: %w", ErrNotRunning)
	case StatusCreating:
		return errors.New("cannot update a container that is being created")
	}
	return c.checkOwn()
}

func (c *Container) hasCgroup() bool {
	return c.record.Cgroup.Unified != nil || c.record.Cgroup.V1 != nil
}

// Resources returns the limits that were requested: those of config.json, with all later
// updates.
func (c *Container) Resources() (_ *specs.LinuxResources, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	return c.limits()
}

func (c *Container) limits() (*specs.LinuxResources, error) {
	data, err := c.dir.Resources()
	if err != nil {
		return nil, err
	}
	var r specs.LinuxResources
	if data == nil {
		spec, err := c.spec()
		if err == nil && spec.Linux != nil && spec.Linux.Resources != nil {
			r = *spec.Linux.Resources
		}
		return &r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("corrupt state: the limits of the last update: %w", err)
	}
	return &r, nil
}

// dependent returns r with limits that the kernel would lose or change when r is applied. now
// is r merged with the limits that were requested before.
func dependent(r, now *specs.LinuxResources) *specs.LinuxResources {
	all := *r
	if len(r.Devices) == 0 {
		all.Devices = nil // an empty list of an engine does not mean "no devices"
	}
	// Swap is limited together with memory. cgroup2 has two separate limits, and that
	// of swap has to follow that of memory.
	if m := r.Memory; m != nil && isSet(m.Limit) && *m.Limit > 0 && !isSet(m.Swap) {
		with := *m
		with.Swap = now.Memory.Swap
		all.Memory = &with
	}
	// A new block I/O weight resets the weights of devices.
	if b := r.BlockIO; b != nil && isSet(b.Weight) && len(now.BlockIO.WeightDevice) > 0 {
		with := *b
		with.WeightDevice = now.BlockIO.WeightDevice
		all.BlockIO = &with
	}
	// On cgroup2, one program sets both the mark and the priority of sockets.
	if r.Network != nil {
		all.Network = now.Network
	}
	// A cgroup that is no longer idle gets the default weight.
	if c := r.CPU; c != nil && c.Idle != nil && *c.Idle == 0 && c.Shares == nil {
		with := *c
		with.Shares = now.CPU.Shares
		all.CPU = &with
	}
	return &all
}

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

// Update changes limits of a container that lives: those that r has, and no
// others. As in config.json, engines' zeros stand for "not set" where zero is
// no limit. Device rules, if there are any in r, take the place of all that the
// container had; in the other lists an entry replaces the one for the same
// device, page size or interface. When it fails, all limits are as they were.
func (c *Container) Update(ctx context.Context, r *specs.LinuxResources) (err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
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

// Resources are the limits that were asked for: those of config.json with all
// updates since.
func (c *Container) Resources() (_ *specs.LinuxResources, err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
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

// dependent adds to r what the kernel does not keep by itself when r is
// applied; now is r and what was asked for before.
func dependent(r, now *specs.LinuxResources) *specs.LinuxResources {
	all := *r
	if len(r.Devices) == 0 {
		all.Devices = nil // an engine's empty list is no wish for no devices
	}
	// Swap is limited together with memory; cgroup2 limits it apart, and its
	// limit has to follow the memory's.
	if m := r.Memory; m != nil && isSet(m.Limit) && *m.Limit > 0 && !isSet(m.Swap) {
		with := *m
		with.Swap = now.Memory.Swap
		all.Memory = &with
	}
	// A weight of block I/O takes those of devices away.
	if b := r.BlockIO; b != nil && isSet(b.Weight) && len(now.BlockIO.WeightDevice) > 0 {
		with := *b
		with.WeightDevice = now.BlockIO.WeightDevice
		all.BlockIO = &with
	}
	// On cgroup2, one program gives sockets their mark and their priority.
	if r.Network != nil {
		all.Network = now.Network
	}
	// A cgroup that is idle no more has the default weight.
	if c := r.CPU; c != nil && c.Idle != nil && *c.Idle == 0 && c.Shares == nil {
		with := *c
		with.Shares = now.CPU.Shares
		all.CPU = &with
	}
	return &all
}

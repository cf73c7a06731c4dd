package libcontainer

import (
	"context"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/specconv"
)

// BandwidthUpdate is a change of the limits of network traffic. nil leaves a limit as it
// is. A zero Bandwidth removes it.
type BandwidthUpdate struct{ Egress, Ingress *specconv.Bandwidth }

// UpdateBandwidth changes how much a live container may send and receive. It returns the
// previous values of the changed limits; to undo the change, pass them to
// UpdateBandwidth. If it fails, both limits are as before. The error is ErrNotRunning for a
// stopped container.
func (c *Container) UpdateBandwidth(ctx context.Context, u BandwidthUpdate) (old BandwidthUpdate, err error) {
	if err := c.acquire(); err != nil {
		return old, err
	}
	defer c.release()
	if err := c.checkUpdate(); err != nil {
		return old, err
	}
	dir, err := c.dir.Lock(ctx)
	if err != nil {
		return old, err
	}
	defer dir.Unlock()
	paths := c.cgroups()
	before, err := paths.Bandwidths()
	if err != nil {
		return old, err
	}
	if u.Egress != nil {
		old.Egress = oldBandwidth(before.Egress)
	}
	if u.Ingress != nil {
		old.Ingress = oldBandwidth(before.Ingress)
	}
	return old, paths.SetBandwidth(cgroup.Bandwidths{Egress: newBandwidth(u.Egress), Ingress: newBandwidth(u.Ingress)})
}

func oldBandwidth(b *cgroup.Bandwidth) *specconv.Bandwidth {
	if b == nil {
		return &specconv.Bandwidth{}
	}
	return &specconv.Bandwidth{Rate: b.Rate, Burst: b.Burst}
}

func newBandwidth(b *specconv.Bandwidth) *cgroup.Bandwidth {
	if b == nil {
		return nil
	}
	return &cgroup.Bandwidth{Rate: b.Rate, Burst: b.Burst}
}

// LimitBandwidth executes the plan's step of that name.
func (c *creation) LimitBandwidth(egress, ingress specconv.Bandwidth) error {
	limit := func(b specconv.Bandwidth) *cgroup.Bandwidth {
		if b.Rate == 0 {
			return nil
		}
		return newBandwidth(&b)
	}
	return c.paths.SetBandwidth(cgroup.Bandwidths{Egress: limit(egress), Ingress: limit(ingress)})
}

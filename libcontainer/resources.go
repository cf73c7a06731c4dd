package libcontainer

import (
	"maps"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// mergeResources returns old with the values that r sets. It changes neither.
func mergeResources(old, r *specs.LinuxResources) *specs.LinuxResources {
	now := *old
	if len(r.Devices) > 0 {
		now.Devices = r.Devices
	}
	if r.Memory != nil {
		now.Memory = mergeMemory(old.Memory, r.Memory)
	}
	if r.CPU != nil {
		now.CPU = mergeCPU(old.CPU, r.CPU)
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		now.Pids = r.Pids
	}
	if r.BlockIO != nil {
		now.BlockIO = mergeBlockIO(old.BlockIO, r.BlockIO)
	}
	if r.Network != nil {
		now.Network = mergeNetwork(old.Network, r.Network)
	}
	now.HugepageLimits = mergeLists(old.HugepageLimits, r.HugepageLimits, func(h specs.LinuxHugepageLimit) string { return h.Pagesize })
	now.Rdma = mergeMaps(old.Rdma, r.Rdma)
	now.Unified = mergeMaps(old.Unified, r.Unified)
	return &now
}

func mergeMemory(old, m *specs.LinuxMemory) *specs.LinuxMemory {
	now := copied(old)
	take(&now.Limit, m.Limit)
	take(&now.Reservation, m.Reservation)
	take(&now.Swap, m.Swap)
	if isSet(m.Limit) && *m.Limit < 0 && !isSet(m.Swap) {
		now.Swap = m.Limit // without a memory limit there is no swap limit
	}
	takeZero(&now.Swappiness, m.Swappiness)
	takeZero(&now.DisableOOMKiller, m.DisableOOMKiller)
	return &now
}

func mergeCPU(old, c *specs.LinuxCPU) *specs.LinuxCPU {
	now := copied(old)
	take(&now.Shares, c.Shares)
	take(&now.Quota, c.Quota)
	take(&now.Period, c.Period)
	take(&now.RealtimeRuntime, c.RealtimeRuntime)
	take(&now.RealtimePeriod, c.RealtimePeriod)
	takeZero(&now.Burst, c.Burst)
	takeZero(&now.Idle, c.Idle)
	if c.Cpus != "" {
		now.Cpus = c.Cpus
	}
	if c.Mems != "" {
		now.Mems = c.Mems
	}
	return &now
}

func mergeBlockIO(old, b *specs.LinuxBlockIO) *specs.LinuxBlockIO {
	now := copied(old)
	take(&now.Weight, b.Weight)
	take(&now.LeafWeight, b.LeafWeight)
	now.WeightDevice = mergeLists(now.WeightDevice, b.WeightDevice, func(d specs.LinuxWeightDevice) device { return device{d.Major, d.Minor} })
	throttled := func(d specs.LinuxThrottleDevice) device { return device{d.Major, d.Minor} }
	now.ThrottleReadBpsDevice = mergeLists(now.ThrottleReadBpsDevice, b.ThrottleReadBpsDevice, throttled)
	now.ThrottleWriteBpsDevice = mergeLists(now.ThrottleWriteBpsDevice, b.ThrottleWriteBpsDevice, throttled)
	now.ThrottleReadIOPSDevice = mergeLists(now.ThrottleReadIOPSDevice, b.ThrottleReadIOPSDevice, throttled)
	now.ThrottleWriteIOPSDevice = mergeLists(now.ThrottleWriteIOPSDevice, b.ThrottleWriteIOPSDevice, throttled)
	return &now
}

// device identifies a block device.
type device struct{ major, minor int64 }

func mergeNetwork(old, n *specs.LinuxNetwork) *specs.LinuxNetwork {
	now := copied(old)
	take(&now.ClassID, n.ClassID)
	now.Priorities = mergeLists(now.Priorities, n.Priorities, func(p specs.LinuxInterfacePriority) string { return p.Name })
	return &now
}

// isSet reports whether a number is set. Engines send 0 for "not set".
func isSet[T comparable](p *T) bool {
	var zero T
	return p != nil && *p != zero
}

// take sets a field for which zero is no value.
func take[T comparable](to **T, from *T) {
	if isSet(from) {
		*to = from
	}
}

// takeZero sets a field for which zero is a value.
func takeZero[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}

// copied returns the value of *p, or the zero value for nil.
func copied[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// mergeLists returns old with the entries of list. An entry replaces the one with the same
// key, or is appended.
func mergeLists[T any, K comparable](old, list []T, key func(T) K) []T {
	if len(list) == 0 {
		return old
	}
	now := slices.Clone(old)
	for _, e := range list {
		i := slices.IndexFunc(now, func(o T) bool { return key(o) == key(e) })
		if i < 0 {
			now = append(now, e)
		} else {
			now[i] = e
		}
	}
	return now
}

func mergeMaps[V any](old, more map[string]V) map[string]V {
	if len(more) == 0 {
		return old
	}
	now := maps.Clone(old)
	if now == nil {
		now = make(map[string]V, len(more))
	}
	maps.Copy(now, more)
	return now
}

// limited reports whether a configuration has limits that need a cgroup.
func limited(spec *specs.Spec) bool {
	if spec.Linux == nil || spec.Linux.Resources == nil {
		return false
	}
	r := spec.Linux.Resources
	return r.Memory != nil || r.CPU != nil || r.Pids != nil || len(r.HugepageLimits)+len(r.Unified)+len(r.Rdma) > 0
}

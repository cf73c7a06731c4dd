package systemd

import (
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
)

// infinity means "no limit" in systemd's properties.
const infinity = uint64(math.MaxUint64)

// Scope returns the properties of a new unit for a container with first process pid.
func Scope(u Unit, id string, pid int, v2 bool) []Property {
	io := "BlockIOAccounting"
	if v2 {
		io = "IOAccounting"
	}
	p := properties{
		{"Description", Variant{"s", "onggi container " + id}},
		{"DefaultDependencies", Variant{"b", false}},
		{"CPUAccounting", Variant{"b", true}},
		{io, Variant{"b", true}},
		{"MemoryAccounting", Variant{"b", true}},
		{"TasksAccounting", Variant{"b", true}},
		// systemd must not keep a failed unit, for example after an OOM kill.
		{"CollectMode", Variant{"s", "inactive-or-failed"}},
	}
	if u.IsSlice() {
		p.add("Wants", "as", []any{u.Name})
		return p
	}
	p.add("Slice", "s", u.Slice)
	p.add("Delegate", "b", true)
	p.add("PIDs", "au", []any{uint32(pid)})
	return p
}

type properties []Property

func (p *properties) add(name, t string, v any) { *p = append(*p, Property{name, Variant{t, v}}) }

// limit adds a number; a negative number means no limit.
func (p *properties) limit(name string, n int64) {
	if n < 0 {
		p.add(name, "t", infinity)
	} else {
		p.add(name, "t", uint64(n))
	}
}

// The versions of systemd that introduced a property.
const (
	hasQuotaPeriod = 242
	hasCpuset      = 244
	hasIdleWeight  = 252
)

// Limits returns the limits of r for which this version of systemd has properties,
// without device rules. The cgroup's files get all limits anyway, so nothing is
// refused here.
func Limits(r *specs.LinuxResources, v2 bool, version int) []Property {
	var p properties
	if r.Memory != nil {
		p.memory(r.Memory, v2)
	}
	if r.CPU != nil {
		p.cpu(r.CPU, v2, version)
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		p.tasks(*r.Pids.Limit)
	}
	if b := r.BlockIO; b != nil && b.Weight != nil && *b.Weight != 0 {
		if v2 {
			p.add("IOWeight", "t", cgroup.IOWeight(*b.Weight))
		} else {
			p.add("BlockIOWeight", "t", uint64(*b.Weight))
		}
	}
	if v2 {
		p.unified(r.Unified, version)
	}
	return p
}

func (p *properties) memory(m *specs.LinuxMemory, v2 bool) {
	set := func(n *int64) bool { return n != nil && *n != 0 }
	if !v2 {
		if set(m.Limit) {
			p.limit("MemoryLimit", *m.Limit)
		}
		return
	}
	if set(m.Limit) {
		p.limit("MemoryMax", *m.Limit)
	}
	if set(m.Reservation) {
		p.limit("MemoryLow", *m.Reservation)
	}
	switch {
	case set(m.Swap) && *m.Swap < 0, !set(m.Swap) && set(m.Limit) && *m.Limit < 0:
		p.add("MemorySwapMax", "t", infinity)
	case set(m.Swap) && set(m.Limit) && *m.Limit > 0 && *m.Swap >= *m.Limit:
		p.limit("MemorySwapMax", *m.Swap-*m.Limit)
	}
}

func (p *properties) cpu(c *specs.LinuxCPU, v2 bool, version int) {
	idle := c.Idle != nil && *c.Idle == 1
	switch {
	case v2 && idle && version >= hasIdleWeight:
		p.add("CPUWeight", "t", uint64(0)) // its "idle"
	case idle:
	case c.Shares != nil && *c.Shares > 0 && v2:
		p.add("CPUWeight", "t", cgroup.CPUWeight(*c.Shares))
	case c.Shares != nil && *c.Shares > 0:
		p.add("CPUShares", "t", *c.Shares)
	case v2 && c.Idle != nil:
		p.add("CPUWeight", "t", infinity) // idle no more: the default
	}
	p.quota(c.Quota, c.Period, version)
	if version >= hasCpuset {
		p.list("AllowedCPUs", c.Cpus)
		p.list("AllowedMemoryNodes", c.Mems)
	}
}

// defaultPeriod is the kernel's default, in microseconds.
const defaultPeriod = 100000

// quota adds processor time per second, which systemd counts in steps of 10 ms.
func (p *properties) quota(quota *int64, period *uint64, version int) {
	per := uint64(defaultPeriod)
	if period != nil && *period > 0 {
		per = *period
		if version >= hasQuotaPeriod {
			p.add("CPUQuotaPeriodUSec", "t", per)
		}
	}
	switch {
	case quota == nil || *quota == 0:
	case *quota < 0:
		p.add("CPUQuotaPerSecUSec", "t", infinity)
	case uint64(*quota) <= infinity/1000000:
		const step = 10000
		p.add("CPUQuotaPerSecUSec", "t", (uint64(*quota)*1000000/per+step-1)/step*step)
	}
}

// list adds a list of processors or memory nodes as systemd's bit mask.
func (p *properties) list(name, list string) {
	if mask, ok := bitMask(list); ok {
		p.add(name, "ay", mask)
	}
}

// maxCPUs bounds a mask: the kernel's largest number of processors.
const maxCPUs = 8192

// bitMask turns "0-2,7" into bytes, the lowest first.
func bitMask(list string) ([]any, bool) {
	var mask []byte
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || to >= maxCPUs {
			return nil, false
		}
		for n := from; n <= to; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	all := make([]any, len(mask))
	for i, b := range mask {
		all[i] = b
	}
	return all, len(all) > 0
}

// tasks leaves 0 out, which systemd refuses. The cgroup's file gets it.
func (p *properties) tasks(limit int64) {
	if limit == 0 {
		limit = 1
	}
	p.limit("TasksMax", limit)
}

// unified adds the properties for cgroup files that are given by name. It skips a
// value that does not parse: the kernel will refuse it.
func (p *properties) unified(files map[string]string, version int) {
	number := func(file, name string) {
		if n, ok := parseLimit(files[file]); ok {
			p.add(name, "t", n)
		}
	}
	number("memory.min", "MemoryMin")
	number("memory.low", "MemoryLow")
	number("memory.high", "MemoryHigh")
	number("memory.max", "MemoryMax")
	number("memory.swap.max", "MemorySwapMax")
	if n, ok := parseLimit(files["pids.max"]); ok {
		p.add("TasksMax", "t", max(n, 1))
	}
	if files["cpu.idle"] == "1" && version >= hasIdleWeight {
		p.add("CPUWeight", "t", uint64(0))
	} else {
		number("cpu.weight", "CPUWeight")
	}
	if quota, period, ok := parseQuota(files["cpu.max"]); ok {
		p.quota(&quota, &period, version)
	}
	if version >= hasCpuset {
		p.list("AllowedCPUs", files["cpuset.cpus"])
		p.list("AllowedMemoryNodes", files["cpuset.mems"])
	}
}

func parseLimit(text string) (uint64, bool) {
	text = strings.TrimSpace(text)
	if text == "max" {
		return infinity, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// parseQuota parses cpu.max: "max 100000", or the quota alone.
func parseQuota(text string) (quota int64, period uint64, ok bool) {
	f := strings.Fields(text)
	if len(f) < 1 || len(f) > 2 {
		return 0, 0, false
	}
	period = defaultPeriod
	if len(f) == 2 {
		var err error
		if period, err = strconv.ParseUint(f[1], 10, 64); err != nil || period == 0 {
			return 0, 0, false
		}
	}
	if f[0] == "max" {
		return -1, period, true
	}
	quota, err := strconv.ParseInt(f[0], 10, 64)
	return quota, period, err == nil && quota > 0
}

// Undo returns old, and the properties that only now has, without a value.
func Undo(now, old []Property) []Property {
	all := slices.Clone(old)
	for _, p := range now {
		if !slices.ContainsFunc(old, func(o Property) bool { return o.Name == p.Name }) {
			all = append(all, unset(p))
		}
	}
	return all
}

// unset returns the default value of a property.
func unset(p Property) Property {
	switch {
	case p.Name == "MemoryMin" || p.Name == "MemoryLow":
		p.Value.Value = uint64(0) // guarantees: none
	case p.Value.Type == "t":
		p.Value.Value = infinity // limits and weights: none
	default:
		p.Value.Value = []any{}
	}
	return p
}

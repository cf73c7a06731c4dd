package cgroup

import (
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The range of cpu.shares: MIN_SHARES and MAX_SHARES in the kernel's scheduler.
const (
	minShares = 2
	maxShares = 1 << 18
)

func cpusetField(c *specs.LinuxCPU) string {
	switch {
	case c.Cpus != "":
		return "/cpu/cpus"
	case c.Mems != "":
		return "/cpu/mems"
	}
	return ""
}

// cpuField returns the first field of c that the cpu controller applies, or "".
func cpuField(c *specs.LinuxCPU) string {
	switch {
	case positive(c.Shares):
		return "/cpu/shares"
	case set(c.Quota):
		return "/cpu/quota"
	case positive(c.Period):
		return "/cpu/period"
	case c.Burst != nil:
		return "/cpu/burst"
	case c.Idle != nil:
		return "/cpu/idle"
	case set(c.RealtimeRuntime):
		return "/cpu/realtimeRuntime"
	case positive(c.RealtimePeriod):
		return "/cpu/realtimePeriod"
	}
	return ""
}

func positive(n *uint64) bool { return n != nil && *n > 0 }

// cpu plans linux.resources.cpu except for the cpuset.
func (l *limits) cpu(c *specs.LinuxCPU, v view) {
	l.weight(c, v)
	if v.v2 {
		l.bandwidthV2(c, v)
		l.refuseRealtime(c)
		return
	}
	l.realtime(c)
	l.bandwidthV1(c)
}

// weight plans shares and idle. An idle cgroup has no weight: the kernel
// refuses to set one.
func (l *limits) weight(c *specs.LinuxCPU, v view) {
	idle := c.Idle != nil && *c.Idle != 0
	if c.Idle != nil {
		l.add(write{field: resources + "/cpu/idle", file: "cpu.idle", value: decimal(*c.Idle), optional: !idle})
	}
	switch {
	case !positive(c.Shares):
	case idle:
		l.warn("/cpu/shares", "an idle cgroup has no weight: ignored")
	case v.v2:
		l.add(write{field: resources + "/cpu/shares", file: "cpu.weight", value: strconv.FormatUint(CPUWeight(*c.Shares), 10)})
	case *c.Shares < minShares:
		l.refuse("/cpu/shares", "%d: the minimum allowed cpu-shares is %d", *c.Shares, minShares)
	case *c.Shares > maxShares:
		l.refuse("/cpu/shares", "%d: the maximum allowed cpu-shares is %d", *c.Shares, maxShares)
	default:
		l.add(write{field: resources + "/cpu/shares", file: "cpu.shares", value: strconv.FormatUint(*c.Shares, 10)})
	}
}

// CPUWeight converts v1 shares (2 to 262144, default 1024) to a v2 weight (1 to
// 10000, default 100). The curve passes through all three points. The other
// runtimes and the kubelet use the same curve.
func CPUWeight(shares uint64) uint64 {
	if shares <= minShares {
		return 1
	}
	if shares >= maxShares {
		return 10000
	}
	x := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (x*x+125*x)/612-7.0/34)))
}

func (l *limits) bandwidthV1(c *specs.LinuxCPU) {
	var b batch
	if positive(c.Period) {
		b = append(b, write{field: resources + "/cpu/period", file: "cpu.cfs_period_us", value: strconv.FormatUint(*c.Period, 10)})
	}
	if set(c.Quota) {
		b = append(b, write{field: resources + "/cpu/quota", file: "cpu.cfs_quota_us", value: decimal(*c.Quota)})
	}
	if c.Burst != nil {
		b = append(b, burst(c, "cpu.cfs_burst_us"))
	}
	l.add(b...)
}

func burst(c *specs.LinuxCPU, file string) write {
	return write{field: resources + "/cpu/burst", file: file, value: strconv.FormatUint(*c.Burst, 10), optional: *c.Burst == 0}
}

// realtime plans the real-time budget. Set writes it before a process enters the
// cgroup: a process with a real-time policy cannot enter without a budget.
func (l *limits) realtime(c *specs.LinuxCPU) {
	var b batch
	if positive(c.RealtimePeriod) {
		b = append(b, write{field: resources + "/cpu/realtimePeriod", file: "cpu.rt_period_us", value: strconv.FormatUint(*c.RealtimePeriod, 10)})
	}
	if set(c.RealtimeRuntime) {
		b = append(b, write{field: resources + "/cpu/realtimeRuntime", file: "cpu.rt_runtime_us", value: decimal(*c.RealtimeRuntime)})
	}
	l.add(b...)
}

func (l *limits) refuseRealtime(c *specs.LinuxCPU) {
	const none = "cgroup v2 has no real-time limits"
	if set(c.RealtimeRuntime) {
		l.refuse("/cpu/realtimeRuntime", none)
	}
	if positive(c.RealtimePeriod) {
		l.refuse("/cpu/realtimePeriod", none)
	}
}

func (l *limits) bandwidthV2(c *specs.LinuxCPU, v view) {
	var b batch
	if value, field := cpuMax(c, v); value != "" {
		b = append(b, write{field: resources + field, file: "cpu.max", value: value})
	}
	if c.Burst != nil {
		b = append(b, burst(c, "cpu.max.burst"))
	}
	l.add(b...)
}

// cpuMax returns the new value of cpu.max and the field that sets it, or "" for no
// change. If the value has no period, the kernel keeps the old period. It cannot
// keep the old quota, so cpuMax reads that from cpu.max.
func cpuMax(c *specs.LinuxCPU, v view) (value, field string) {
	switch {
	case set(c.Quota) && positive(c.Period):
		return orMax(*c.Quota) + " " + strconv.FormatUint(*c.Period, 10), "/cpu/quota"
	case set(c.Quota):
		return orMax(*c.Quota), "/cpu/quota"
	case positive(c.Period):
		quota := "max"
		if text, err := v.read("cpu.max"); err == nil {
			quota, _, _ = strings.Cut(text, " ")
		}
		return quota + " " + strconv.FormatUint(*c.Period, 10), "/cpu/period"
	}
	return "", ""
}

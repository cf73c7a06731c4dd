package cgroup

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// asItIs reports whether m only asks to leave the OOM killer enabled, as it is by
// default. Docker always writes this; it needs no memory controller.
func asItIs(m *specs.LinuxMemory) bool {
	rest := *m
	rest.DisableOOMKiller = nil
	return m.DisableOOMKiller != nil && !*m.DisableOOMKiller && memoryField(&rest) == ""
}

// memoryField returns the first field of m that is set, or "".
func memoryField(m *specs.LinuxMemory) string {
	switch {
	case set(m.Limit):
		return "/memory/limit"
	case set(m.Swap):
		return "/memory/swap"
	case set(m.Reservation):
		return "/memory/reservation"
	case m.Swappiness != nil:
		return "/memory/swappiness"
	case m.DisableOOMKiller != nil && *m.DisableOOMKiller:
		return "/memory/disableOOMKiller"
	//lint:ignore SA1019 the deprecated fields are named in a warning or an error
	case set(m.Kernel), set(m.KernelTCP), m.UseHierarchy != nil, m.DisableOOMKiller != nil:
		return "/memory"
	}
	return ""
}

// set reports whether a number is set. Engines send 0 for "not set".
func set(n *int64) bool { return n != nil && *n != 0 }

// memory plans linux.resources.memory.
func (l *limits) memory(m *specs.LinuxMemory, v view) {
	l.memoryIgnored(m, v)
	if m.CheckBeforeUpdate != nil && *m.CheckBeforeUpdate && set(m.Limit) && *m.Limit > 0 {
		l.checkUsage(*m.Limit, v)
	}
	if v.v2 {
		l.memoryV2(m, v)
	} else {
		l.memoryV1(m, v)
	}
}

// memoryIgnored warns of fields that runtimes may ignore (specs-go, LinuxMemory).
// Present kernels do not implement them.
func (l *limits) memoryIgnored(m *specs.LinuxMemory, v view) {
	//lint:ignore SA1019 the warning names the deprecated field
	if set(m.Kernel) && !v.v2 {
		l.warn("/memory/kernel", "Kernel memory settings are ignored and will be removed: Linux has none since 5.16")
	}
	if m.UseHierarchy != nil && !*m.UseHierarchy {
		l.warn("/memory/useHierarchy", "accounting is always hierarchical since Linux 5.11: ignored")
	}
}

// checkUsage refuses a limit below the current usage: on cgroup2 the kernel would
// kill processes.
func (l *limits) checkUsage(limit int64, v view) {
	file := "memory.usage_in_bytes"
	if v.v2 {
		file = "memory.current"
	}
	text, err := v.read(file)
	if err != nil {
		return // a cgroup without the file has no usage to respect
	}
	if used, err := strconv.ParseInt(text, 10, 64); err == nil && used > limit {
		l.refuse("/memory/limit", "%d bytes are in use, more than the new limit of %d (checkBeforeUpdate)", used, limit)
	}
}

func (l *limits) memoryV1(m *specs.LinuxMemory, v view) {
	var b batch
	if set(m.Limit) {
		b = append(b, write{field: resources + "/memory/limit", file: "memory.limit_in_bytes", value: decimal(*m.Limit)})
	}
	if swap := swapV1(m); swap != 0 {
		// Without swap accounting the kernel has no swap limit to remove.
		b = append(b, write{field: resources + "/memory/swap", file: "memory.memsw.limit_in_bytes", value: decimal(swap), optional: swap < 0})
	}
	l.add(b...)
	if set(m.Reservation) {
		l.add(write{field: resources + "/memory/reservation", file: "memory.soft_limit_in_bytes", value: decimal(*m.Reservation)})
	}
	if set(m.KernelTCP) {
		l.add(write{field: resources + "/memory/kernelTCP", file: "memory.kmem.tcp.limit_in_bytes", value: decimal(*m.KernelTCP), optional: *m.KernelTCP < 0})
	}
	if s := m.Swappiness; s != nil {
		if *s > 100 {
			l.refuse("/memory/swappiness", "invalid memory swappiness value: %d (valid range is 0-100)", *s)
		}
		l.add(write{field: resources + "/memory/swappiness", file: "memory.swappiness", value: strconv.FormatUint(*s, 10)})
	}
	if d := m.DisableOOMKiller; d != nil {
		l.oomControl(*d, v)
	}
}

// swapV1 returns the memory+swap limit to write, or 0 for no change. An update that
// removes the memory limit also removes the memory+swap limit, unless m sets one.
func swapV1(m *specs.LinuxMemory) int64 {
	switch {
	case set(m.Swap):
		return *m.Swap
	case m.Limit != nil && *m.Limit < 0:
		return -1
	}
	return 0
}

// oomControl plans a write only if it changes the value: the kernel logs a
// deprecation warning for each write.
func (l *limits) oomControl(disable bool, v view) {
	const file = "memory.oom_control"
	want := "0"
	if disable {
		want = "1"
	}
	if text, err := v.read(file); err == nil && oomDisabled(text) == want {
		return
	}
	l.add(write{field: resources + "/memory/disableOOMKiller", file: file, value: want, optional: !disable, undo: oomDisabled})
}

// oomDisabled returns oom_kill_disable from the text of memory.oom_control.
func oomDisabled(text string) string {
	return strconv.FormatUint(flatKeyed(text)["oom_kill_disable"], 10)
}

func (l *limits) memoryV2(m *specs.LinuxMemory, v view) {
	if swap, err := swapV2(m, v); err != nil {
		l.refuse("/memory/swap", "%v", err)
	} else if swap != "" {
		// Without swap in the kernel the file is missing, and there is no swap to limit.
		l.add(write{field: resources + "/memory/swap", file: "memory.swap.max", value: swap, optional: swap == "max" || swap == "0"})
	}
	if set(m.Limit) {
		l.add(write{field: resources + "/memory/limit", file: "memory.max", value: orMax(*m.Limit)})
	}
	if set(m.Reservation) {
		l.add(write{field: resources + "/memory/reservation", file: "memory.low", value: orMax(*m.Reservation)})
	}
	//lint:ignore SA1019 the error names the deprecated field
	if set(m.Kernel) && *m.Kernel > 0 {
		l.refuse("/memory/kernel", "cgroup v2 has no separate limit for kernel memory")
	}
	if set(m.KernelTCP) && *m.KernelTCP > 0 {
		l.refuse("/memory/kernelTCP", "cgroup v2 has no separate limit for TCP buffers")
	}
	if m.Swappiness != nil {
		l.refuse("/memory/swappiness", "cgroup v2 has no swappiness for each cgroup")
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		l.refuse("/memory/disableOOMKiller", "cgroup v2 cannot disable the OOM killer")
	}
}

// swapV2 returns the value of memory.swap.max for the memory+swap limit of m: the
// difference, because cgroup2 limits swap alone. It returns "" for no change.
func swapV2(m *specs.LinuxMemory, v view) (string, error) {
	swap := swapV1(m)
	if swap <= 0 {
		if swap == 0 {
			return "", nil
		}
		return "max", nil
	}
	limit, err := memoryLimit(m, v)
	if err != nil {
		return "", err
	}
	switch {
	case limit < 0:
		return "", fmt.Errorf("a memory+swap limit of %d needs a memory limit", swap)
	case swap < limit:
		return "", fmt.Errorf("the memory+swap limit %d is below the memory limit %d", swap, limit)
	}
	return decimal(swap - limit), nil
}

// memoryLimit returns the memory limit after the update: the new one, or else the
// current one. -1 means no limit.
func memoryLimit(m *specs.LinuxMemory, v view) (int64, error) {
	if set(m.Limit) {
		return *m.Limit, nil
	}
	text, err := v.read("memory.max")
	if err != nil {
		return 0, err
	}
	if text == "max" {
		return -1, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// orMax returns n as text for a cgroup2 file. Negative numbers become "max".
func orMax(n int64) string {
	if n < 0 {
		return "max"
	}
	return decimal(n)
}

// flatKeyed parses "key number" lines: memory.stat, cgroup.events, ...
func flatKeyed(text string) map[string]uint64 {
	m := make(map[string]uint64)
	for line := range strings.SplitSeq(text, "\n") {
		key, value, ok := strings.Cut(line, " ")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			m[key] = n
		}
	}
	return m
}

package cgroup

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// hint returns the probable reason why the kernel refused w, or "" if the errno
// alone is clear.
func (w write) hint(err error, g group) string {
	if errors.Is(err, unix.ENOENT) {
		return "this kernel or cgroup has no such limit"
	}
	switch w.file {
	case "memory.limit_in_bytes", "memory.memsw.limit_in_bytes":
		return memoryHint(w, err, g)
	case "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.max", "cpu.max.burst":
		if errors.Is(err, unix.EINVAL) {
			return "quota and period must be 1 ms to 1 s, the burst at most the quota, and no cgroup above may have less"
		}
	case "cpu.rt_runtime_us", "cpu.rt_period_us":
		if errors.Is(err, unix.EINVAL) {
			return "the cgroup above has no such real-time budget (cpu.rt_runtime_us)"
		}
	case "cpu.shares", "cpu.weight":
		if errors.Is(err, unix.EINVAL) && text(g, "cpu.idle") == "1" {
			return "the cgroup is idle (cpu.idle), which excludes a weight"
		}
	case "cpuset.cpus", "cpuset.mems":
		return cpusetHint(err)
	}
	if strings.HasPrefix(w.file, "blkio.") || strings.HasPrefix(w.file, "io.") {
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
			return "no such block device (partitions cannot be limited)"
		}
	}
	return ""
}

func memoryHint(w write, err error, g group) string {
	switch {
	case errors.Is(err, unix.EBUSY):
		return text(g, "memory.usage_in_bytes") + " bytes are in use and cannot be reclaimed (memory limit too low?)"
	case errors.Is(err, unix.EINVAL) && w.file == "memory.limit_in_bytes":
		return "above the memory+swap limit (" + text(g, "memory.memsw.limit_in_bytes") + ")"
	case errors.Is(err, unix.EINVAL):
		return "below the memory limit (" + text(g, "memory.limit_in_bytes") + ")"
	}
	return ""
}

func cpusetHint(err error) string {
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE), errors.Is(err, unix.EACCES):
		return "want a list of numbers that the host and the parent cgroup have"
	case errors.Is(err, unix.EBUSY):
		return "a cgroup below uses more than the list, or another cgroup uses a part of it exclusively"
	case errors.Is(err, unix.ENOSPC):
		return "no processor or memory node would be left for the processes"
	}
	return ""
}

// text returns the text of a file for an error message.
func text(g group, file string) string {
	s, err := g.read(file)
	if err != nil {
		return "unknown"
	}
	return s
}

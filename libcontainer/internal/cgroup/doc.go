// Package cgroup makes, limits, watches and removes the cgroup of one
// container, directly in cgroupfs, on all three layouts a host can have:
//
//   - V1: one hierarchy for each controller (or group of them);
//   - Hybrid: that, and a cgroup2 hierarchy beside it;
//   - V2: one cgroup2 hierarchy at /sys/fs/cgroup.
//
// Detect says which layout this is, Resolve turns linux.cgroupsPath into
// Paths, and everything else is a method of Paths. Paths is plain data: it goes
// into the container's state as JSON, and a later process works on with it.
// The zero Paths is a container without a cgroup; its methods do nothing.
//
// The one rule: nothing here sleeps in order to find something out. What the
// kernel announces is polled for (cgroup.events, memory.events, pidfds,
// eventfds), always under a context. The one exception is the v1 freezer, which
// announces nothing; see freeze.go.
//
// Where to read on:
//
//	detect.go   which hierarchies there are        paths.go    where the cgroup is
//	create.go   mkdir, controllers, undo           join.go     processes into it
//	set.go      limits as data, written, restored  memory.go, cpu.go, ... one resource each
//	devices.go  device rules, for v1               bpf.go      the same as an eBPF program, for v2
//	freeze.go, kill.go, remove.go                  its end
//	stats.go                                       what it uses
//	events.go, pressure.go, victims.go             what the kernel announces
//	file.go, wait.go                               the two ways the kernel is touched
package cgroup

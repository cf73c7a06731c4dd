// Package cgroup creates, limits, watches and removes the cgroup of one container.
// It works directly in cgroupfs, on all three layouts that a host can have:
//
//   - V1: one hierarchy for each controller (or group of controllers);
//   - Hybrid: the v1 hierarchies and a cgroup2 hierarchy beside them;
//   - V2: one cgroup2 hierarchy at /sys/fs/cgroup.
//
// Detect finds the layout, Resolve turns linux.cgroupsPath into Paths, and nearly
// everything else is a method of Paths. Paths is plain data: the container's state
// file contains it as JSON, and a later process continues with it. The zero Paths
// is a container without a cgroup; most of its methods do nothing.
//
// The one rule: this package does not sleep to find something out if the kernel
// announces it. It polls the announcing descriptor (cgroup.events, memory.events,
// pidfds, eventfds), always under a context. The kernel announces three things
// nowhere: the state of the v1 freezer, that a v1 cgroup has become empty, and that
// a busy empty cgroup can be removed. For these the package looks again after short
// pauses; see freeze.go and remove.go. One announcement can get lost; see wait.go.
//
// Where to read on:
//
//	detect.go   the hierarchies of the host        paths.go    the place of the cgroup
//	create.go   mkdir, controllers, undo           join.go     moving processes into it
//	claim.go    the container's mark on it         sub.go      cgroups below it
//	set.go      limits as data, written, restored  memory.go, cpu.go, ... one resource each
//	devices.go  device rules, for v1               bpf.go      device rules as an eBPF program, for v2
//	bandwidth.go network bandwidth limits          network.go  mark and priority of sockets
//	freeze.go, kill.go, remove.go                  stopping, killing and removing
//	stats.go                                       resource usage
//	events.go, pressure.go, victims.go             announcements of the kernel
//	file.go, wait.go                               the two kinds of kernel access
package cgroup

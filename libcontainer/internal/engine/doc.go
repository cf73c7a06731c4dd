// Package engine walks a plan: it turns each step into calls of a remote batch
// or into work of the runtime side.
//
// # The one rule
//
// The walk takes the steps in the order of the plan. It alone knows how a step
// is done (steps.go). When the runtime side takes a step of its own, all earlier
// steps are done.
//
// The walk adds steps to one batch as long as the runtime side neither needs a
// result nor has work of its own. So the set-up of the default bundle takes
// three batches. The first one ends with the creation of the namespaces. The
// second one is sent before the first one is answered. The third one is not
// answered: it waits at the gate. A step that needs a result in between, such
// as a fork or hooks, adds a round trip.
//
// If a call fails, the steps before its step are done, and no step behind it
// has begun. The step's slow path looks at the failed call. It repairs what the
// step needs, for example a missing mountpoint, and the walk repeats the step.
// Otherwise the failed call becomes the error.
//
// # Trust
//
// The stub runs in the container's namespaces. The runtime side bounds each
// wait for it with a deadline, and makes no system call on a file system that
// the container controls. It hands over a bind source as a detached tree, from
// which no process can walk upward to the rest of the host. It treats the
// results of calls as hostile data.
//
// # Files
//
// The walk:
//
//	walk.go        the walk: batches, results, retries
//	steps.go       the meaning of each step: the usual path and the slow path
//	last.go        the last batch: filter, clone, gate, execve
//	live.go        the walk among the mounts of a running container
//	failure.go     the error of a failed step
//
// The runtime side:
//
//	runtime.go     the start of the stub, forks, limits, OOM score, hooks
//	delegate.go    work on the container's cgroup
//	trees.go       bind sources, as detached trees of the host
//	opener.go      a stub that opens sources which may never answer
//	origin.go      bind sources that the stub has to clone itself
//	idmap.go       id-mapped mounts
//	netdevice.go   network devices of the host
//
// The container side, by the stub:
//
//	container.go   hardening, namespaces, root directory, labels
//	time.go        the time namespace
//	mounts.go      the root file system and the mounts in it
//	longmount.go   mounts with options that fsconfig(2) does not take
//	copyup.go      the copy of an image directory into a tmpfs
//	mountpoint.go  missing mountpoints (slow path)
//	devices.go     device nodes and symlinks
//	masks.go       masked and read-only paths
//	procfs.go      sysctls, and the procfs of a joined pid namespace
//	moveroot.go    a root without pivot_root
//	terminal.go    the pseudo-terminal
//	process.go     home, working directory, credentials, program
//	scheduling.go  scheduling, memory policy, CPU affinity
//
// After a failed execve:
//
//	inspect.go     the reason, found by a stub inside the container
//	executable.go  the head of an executable file
package engine

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
// has begun. The step's slow path looks at the failed call. If it can repair the
// cause, for example a missing mountpoint, the walk repeats the step. Otherwise the
// failed call becomes the error.
//
// # Trust
//
// The stub runs in the container's namespaces. The runtime side bounds each
// wait for it with a deadline, and makes no system call on a file system that
// the container controls. It hands over a bind source as a detached tree, from
// which no process can walk upward to the rest of the host. It treats the
// results of calls as hostile data.
//
// # Rooms
//
// The walk owns the order of the steps and the retries, and nothing else. Each other
// type is a room: it owns the state of one subject. All rooms add their calls to the
// batch of the type batches. A room that needs another one has it as a field. A call
// never leads to a room, or to a file, that stands higher in this list.
//
//	run.go         Run and Visit
//	walk.go        walk: the order of the steps, retries
//	steps.go       the meaning of each step: the usual path and the slow path
//	last.go        last: the last batch: filter, clone, gate, execve
//
// The program:
//
//	program.go     program: look-up of the program
//	inspect.go     the reason of a failed execve, found by a stub in the container
//	executable.go  the head of an executable file
//	home.go        home: the home directory
//	cwd.go         workdir: the working directory
//	credentials.go credentials: ids, capabilities, bounding set
//	labels.go      credentials: LSM labels, session keyring
//	scheduling.go  scheduling, memory policy, CPU affinity
//
// The root file system:
//
//	terminal.go    terminal: the pseudo-terminal
//	masks.go       masks: masked and read-only paths
//	mounts.go      mounts: new file systems and remounts
//	binds.go       binds: bind mounts
//	devices.go     devices: device nodes and symlinks
//	procfs.go      procfs: sysctls, and the procfs of a joined pid namespace
//	longmount.go   mounts with options that fsconfig(2) does not take
//	copyup.go      copier: the copy of an image directory into a tmpfs
//	filesystem.go  the creation of a detached mount
//	mountpoint.go  mountpoints: missing mountpoints (slow path)
//	rootfs.go      rootfs: root directory, destinations, attachment
//	moveroot.go    a root without pivot_root
//	stage.go       rootfs: the root file system of a restore
//	visit.go       visit: changes in a running container
//
// The sources of mounts:
//
//	sources.go     sources: the times at which the sources are opened and handed over
//	origin.go      origins: sources that the stub has to clone itself
//	slowsources.go slowSources: sources that may never answer
//	opener.go      opener: the stub that opens them
//	idmap.go       idmaps: id-mapped mounts
//	trees.go       trees: the open sources
//	tree.go        tree: one source, as a detached tree of the host
//
// Processes and namespaces:
//
//	spawn.go       launcher: the start of the stub, forks, hardening, OOM score
//	limits.go      limits: resource limits
//	namespaces.go  namespaces: joined and new namespaces, host name
//	time.go        namespaces: the time namespace
//	netdevice.go   namespaces: network devices of the host
//
// The batches. New memory costs page faults, so a batch is built in the memory of an
// earlier one where that is possible (package remote, "Memory"). The walk uses
// Batch.Next: all calls of the earlier batch have been added, but its results are read
// later. The copier uses Batch.Renew: the results of the earlier batch have been read.
//
//	batches.go     batches: the batch under construction, results
//	stubs.go       stubs: the stub that executes the batches
//	progress.go    progress: the walk's copy of the plan, and its place in it
//	job.go         Job and Process: the input and the result of a walk
//	failure.go     Failure: the error of a failed step
//	paths.go       paths in the root file system
package engine

// Package libcontainer creates and runs OCI containers from any Go program: no
// special main, no sub-command, no blank import, nothing printed.
//
// # The life of a container
//
//	config.json                                    specconv/load.go, validate.go
//	  │  what is done, in which order              internal/plan/create.go
//	  ▼
//	Create                                         create.go
//	  │  directory, snapshot, intents              internal/state
//	  │  cgroup and limits                         internal/cgroup
//	  │  seccomp filter, compiled or cached        seccomp
//	  │  the stub starts, outside of everything    internal/stub, internal/remote/spawn.go
//	  │  batches of system calls: namespaces,      internal/engine/walk.go, steps.go
//	  │  mounts, devices, masks, the new root,
//	  │  credentials; hooks in between
//	  ▼
//	created: the stub waits at the gate            internal/engine/last.go, internal/state/gate.go
//	  │
//	Start                                          start.go
//	  │  startContainer hooks, the gate opens,
//	  │  execve or its errno, poststart hooks
//	  ▼
//	running ⇄ paused                               exec.go, kill.go, events.go, update.go
//	  │
//	stopped
//	  │
//	Delete                                         delete.go
//	     processes, cgroup, intents backwards, poststop hooks, directory
//
// A [Runtime] is a state root; a [Container] is one of its directories and can
// be had in any process, at any time, with [Runtime.Load].
//
// All of them are for any number of goroutines at once (hold.go). First processes
// and those of Exec are children of the program, which has to wait for them;
// docs/library.md has what else a caller should know.
//
// Nothing of onggi but the stub is ever in a container: a few hundred bytes
// that execute system calls for this package and disappear at execve.
package libcontainer

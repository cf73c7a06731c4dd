// Package libcontainer creates and runs OCI containers from any Go program: no
// special main, no sub-command, no blank import, nothing printed.
//
// # The life of a container
//
//	config.json                                    specconv/load.go, validate.go
//	  │  the steps and their order                 internal/plan/create.go
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
//	     processes, cgroup and other intents, poststop hooks, directory
//
// A [Runtime] is a state root. A [Container] is one directory in it. Any process
// can open it at any time with [Runtime.Load].
//
// Any number of goroutines may use a Runtime, a Container and a [Process] at the
// same time (hold.go). The first process of a container and the processes of
// Exec are children of the calling program, which has to call Wait for them.
// docs/library.md has further rules for callers.
//
// The only code of onggi that ever runs in a container is the stub: a few hundred
// bytes that execute system calls for this package and disappear at execve.
package libcontainer

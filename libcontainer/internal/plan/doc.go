// Package plan computes the steps that set up a container, and their order.
//
// It is pure: it takes a configuration and facts about the host, returns a list
// of steps, and touches nothing. So the whole set-up can be printed (onggi
// plan), compared with a golden file, and tested against the laws of order,
// all without privileges.
//
// # The one rule
//
// Create is the only place that defines the order of a container's set-up; each
// line gives its reason. Exec does the same for an additional process. A step is
// data in the kernel's vocabulary. It performs nothing itself; package engine
// performs it, in one type switch.
//
// # Files
//
//	create.go   the order of create, the table of contents
//	exec.go     the order of exec
//	process.go  the last steps, shared by create and exec
//	mounts.go   from the mounts of config.json to steps
//	live.go     mounts of a running container
//	steps.go    the steps
package plan

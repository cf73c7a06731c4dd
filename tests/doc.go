// Package tests runs the built binary as an engine does, as root, on a real kernel.
//
//	go test ./tests                           onggi, built by make, on this machine's cgroup layout
//	LAYOUT=v2 go test ./tests                 the same in a private mount namespace with pure cgroup v2
//	RUNTIME=/usr/sbin/runc go test ./tests    another runtime; what it is known to get wrong is skipped by name
//
// Its one rule: a test leaves nothing. Every container has its own state root and its own cgroup, and when a test ends
// the harness looks for processes, mounts, cgroups, state and descriptors that are still there ([leak_test.go]).
// The whole run happens in a mount namespace of its own, with the test process as subreaper, so that every stray
// process becomes a child of it and every mount that a runtime makes outside a container can be seen.
//
// Start at harness_test.go: newContainer makes a bundle with a busybox rootfs; a container has one method a verb.
// pace/ is a command that slows one side of the runtime down, for tests of what may depend on the order of two processes.
// A claim of security carries a positive control: a run in which the attack is known to work.
package tests

// Package shim tests containerd-shim-onggi-v1 through its socket, with containerd's own
// modules at the other end: its ttrpc client and server, and its messages. They are in a
// module of their own, because the shim itself uses none of them.
//
//	SHIM=/usr/local/bin/containerd-shim-onggi-v1 go test .
//
// The tests need root, and busybox in the path. LONG=1 adds the repetitions.
//
//	harness_test.go   a bundle, a server, containerd's end of both sockets
//	start_test.go     the binary: start, delete, -info, -v
//	task_test.go      the methods of the task service, and its events
//	stdio_test.go     FIFOs, files, logging programs, terminals
//	hostile_test.go   broken frames, hostile names, kills at any moment
//
// clienttests.sh runs the tests of containerd's own client with the shim. The registry of
// tests/registry/serve has their images.
package shim

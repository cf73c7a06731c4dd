// Command containerd-shim-onggi-v1 is a runtime for containerd: one process for each pod,
// which runs the pod's containers itself, with package libcontainer. No process is started
// for an operation.
//
// containerd calls the binary (start.go, delete.go, info.go) and then the server that start
// has left behind (serve.go):
//
//	start    finds the server of the pod or starts one, and prints its address
//	delete   cleans up after a server that is gone
//	-info    prints version and features
//
// The parts of the server are below internal: ttrpc (frames and calls), wire (messages),
// task (the task service), stdio, rootfs, metrics, publish (events), options, watch (one
// epoll for everything).
package main

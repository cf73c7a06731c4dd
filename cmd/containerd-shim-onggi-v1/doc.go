// Command containerd-shim-onggi-v1 is a runtime for containerd. One server process serves
// each pod. It runs the pod's containers with package libcontainer, so no operation starts a
// runtime process.
//
// containerd calls the binary for three actions:
//
//	start    finds the server of the pod or starts one, and prints its address   start.go
//	delete   removes the remains of a dead server                                delete.go
//	-info    prints version and features                                         info.go
//
// All other requests go to the server, over ttrpc (serve.go). Its packages are below internal:
//
//	ttrpc    frames, calls, connections
//	wire     the messages
//	task     the task service: containers and their processes
//	stdio    the standard streams
//	rootfs   the mounts of the root file system
//	metrics  statistics in containerd's form
//	publish  events to containerd
//	options  the options of a runtime
//	watch    one epoll instance for all descriptors
package main

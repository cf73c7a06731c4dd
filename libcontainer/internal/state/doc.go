// Package state stores the facts about a container between one command and the
// next. Its one rule: facts only. Whether the container runs is never written
// down; the runtime asks the kernel each time.
//
//	<root>/<id>/state.json   Record, replaced as a whole by rename
//	<root>/<id>/config.json  the configuration as of create, byte for byte
//	<root>/<id>/start        FIFO: the gate at which the first process waits
//	<root>/<id>/status       FIFO: returns the errno of a failed execve
//
// Store finds containers under a root (store.go). Dir is the open directory of one
// container; it looks up every name in it from that descriptor (dir.go, file.go).
// Gate is the two FIFOs (gate.go). The lock (lock.go) is held for a few system
// calls at a time: nobody holds it while waiting for a container.
//
// Code that is about to make something that outlives the container's processes
// saves an Intent first. So delete can clean up even if create was killed at any
// instant. Such a create may leave a directory without a readable state.json. It can
// be removed, and it does not hide other containers from List.
package state

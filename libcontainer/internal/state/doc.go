// Package state keeps what is known of a container between one command and
// the next. Its one rule: facts only. Whether the container runs is asked of
// the kernel each time and never written down.
//
//	<root>/<id>/state.json   Record, replaced whole by rename
//	<root>/<id>/config.json  the configuration as it was at create, byte for byte
//	<root>/<id>/start        FIFO: the gate at which the first process waits
//	<root>/<id>/status       FIFO: brings back why its execve failed
//
// Store finds containers under a root (store.go); Dir is one container's
// directory, held open, every name in it looked up from that descriptor
// (dir.go, file.go); Gate is the two FIFOs (gate.go). The lock (lock.go) is
// for a few syscalls at a time: nobody holds it while waiting for a container.
//
// Who is about to make something that outlives the container's processes
// saves an Intent first, so that delete can clean up after a kill at any
// instant. A directory without a readable state.json is what is left of such
// an instant; it can be removed, and it never hides the others from List.
package state

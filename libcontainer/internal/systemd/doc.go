// Package systemd asks systemd for the container's cgroup: a transient scope, with
// delegation. Inside the cgroup, package cgroup does the work, as for cgroupfs.
// systemd also gets the limits, so that it does not reset them.
//
// Its one rule: no wait without a deadline. A silent systemd becomes an error that
// says so.
//
//	unit.go        from cgroupsPath to the names of slice, unit and cgroup
//	properties.go  limits as properties of the unit; devices.go its device rules
//	weights.go     block I/O weights for kernels with BFQ
//	annotation.go  properties that config.json gives as text
//	manager.go     the requests to systemd
//	bus.go         the connection: system or user, private socket or message bus
//	message.go     the messages; value.go the values in them
//
// The D-Bus client is our own: five methods and one signal need a tenth of a
// library's code.
package systemd

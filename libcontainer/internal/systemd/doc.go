// Package systemd has systemd make and keep the container's cgroup: a
// transient scope, delegated to us. What is in the cgroup is then cgroupfs's
// business (package cgroup); systemd is told the limits too, so that it does
// not take them back.
//
// Its one rule: no wait without a deadline. A systemd that is silent is an
// error that says so.
//
//	unit.go        cgroupsPath to the names of slice, unit and cgroup
//	properties.go  limits as properties of the unit; devices.go its device rules
//	weights.go     block I/O weights where there is BFQ
//	annotation.go  properties that config.json gives as text
//	manager.go     what is asked of systemd
//	bus.go         the connection: system or user, private socket or message bus
//	message.go     what goes over it; value.go the values in that
//
// The client of the D-Bus protocol is our own: five methods and one signal
// need a tenth of what a library links in.
package systemd

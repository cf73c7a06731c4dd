// Package netdev moves network devices into a container (config-linux.md,
// "Network Devices"). Its one rule: the container side sends all requests inside
// the container's network namespace. This package only builds these messages.
//
// message.go builds and reads the few messages of rtnetlink(7) that are needed.
// host.go finds a device and moves it. A library for all of rtnetlink would add
// 0.3 MB and an init function to every start.
package netdev

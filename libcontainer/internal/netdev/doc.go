// Package netdev moves network devices into a container (config-linux.md,
// "Network Devices"). Its one rule: what is said inside the container's network
// namespace is said by the container side; here are only the messages.
//
// message.go lays out and reads the few messages of rtnetlink(7) that it takes,
// host.go finds a device and sends it away. A library for all of rtnetlink would
// be 0.3 MB and an init function in every start.
package netdev

// Package fault runs a command and lets one of its system calls fail.
//
// The command and its descendants are traced with ptrace(2). A [Point] names
// one call: the side that makes it, its number, and its place among the calls of
// that side with this number. At that point the call returns an errno
// without being executed, or a process is killed before or after the call.
// From then on nothing is traced: the rest runs as it would without a tracer.
//
// Start at [Run].
package fault

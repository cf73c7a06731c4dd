// Package sigaction writes caught signals to a pipe instead of giving them their usual
// effect.
//
// os/signal does the same, but needs a thread switch for each signal that it
// enables. That takes a millisecond for all signals, a quarter of a container's
// start. Here a handler of a few instructions, in assembly, writes the signal's
// number to a pipe and touches nothing of Go.
//
// The one rule: a fault of our own thread (a nil pointer, for example) still
// reaches the Go runtime's handler.
//
// Signal actions belong to the process, and so does the pipe of this package.
// Only programs use it, and libraries that a program has given its signals to.
package sigaction

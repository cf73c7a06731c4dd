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
// Signal actions belong to the process, and so does the pipe of this package. Two
// packages use it. Package console catches signals for a program that asks for it.
// The engine calls Ignored before it starts the stub, because the container's program
// must not inherit ignored signals. Both parts share one rule and one test: a signal
// that is ignored at the start stays ignored at every moment, so that Ignored and
// Catch agree.
package sigaction

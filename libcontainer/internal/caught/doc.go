// Package caught has signals written to a pipe instead of having their effect.
//
// os/signal does that too, at the price of a thread's turn for each signal: a
// millisecond for all of them, which is a quarter of a container's life. Here
// a handler of a few instructions, in assembly, writes the signal's number to a
// pipe, and touches nothing of Go. Its one rule: what a thread of ours has done
// wrong (a nil pointer, say) still goes to the Go runtime's own handler.
//
// Signal actions are the process's, and so is this package's pipe: its users
// are programs, or what a program has given its signals to.
package caught

// Package launch executes a program in a new process and does not wait for that.
//
// Go's own fork shares the memory with the child and stands still until the
// child has called execve (CLONE_VFORK). A child that is born in a cgroup which
// somebody has frozen does not get to it, and its parent could not even be told
// to give up. Here the child shares the memory too, but runs nothing of Go: it
// does the calls of a list, in assembly, without a stack. So the parent goes on
// at once, and has the next thing ready when the program starts.
//
// The rules that this rests on: the list is in memory of its own, which stays
// until the program runs or the child has ended; all signals are blocked in the
// child, so that no handler of the parent's runs there. The new program has to set
// the signal mask itself, and the limit on descriptors, which Go has raised.
package launch

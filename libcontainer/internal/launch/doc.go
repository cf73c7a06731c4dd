// Package launch executes a program in a new process and does not wait for that.
//
// Go's own fork shares the memory with the child and stands still until the
// child has called execve (CLONE_VFORK). Here the child shares the memory too, but
// runs nothing of Go: it does the calls of a list, in assembly, without a stack.
// So the parent goes on at once, and has the next thing ready when the program
// starts.
//
// Who shares memory dies together: the OOM killer that chooses the child kills its
// parent too. It does not choose a child that its parent waits for (oom_badness),
// which is therefore the way where the child may be short of memory with others,
// in a cgroup with limits, before it has executed the program. There nobody must
// be able to freeze it.
//
// The rules that this rests on: the list is in memory of its own, which stays
// until the program runs or the child has ended; all signals are blocked in the
// child, so that no handler of the parent's runs there. The new program has to set
// the signal mask itself, and the limit on descriptors, which Go has raised.
package launch

// Package launch executes a program in a new process and does not wait for it.
//
// Go's own fork shares memory with the child and blocks until the child has called
// execve (CLONE_VFORK). A child of this package shares memory too, but runs no Go code:
// it executes a list of system calls, in assembly, without a stack. So the parent
// continues at once, and its next step is ready when the program starts.
//
// Processes that share memory die together: if the OOM killer chooses the child, it
// also kills the parent. It does not choose a child that its parent waits for
// (oom_badness). Program.Wait selects this. It is for a child in a cgroup with a memory
// limit, where memory can run out before the execve. Nobody else must be able to freeze
// that cgroup, because the parent would wait for ever.
//
// Two rules make this safe. The list is in memory of its own, which is kept until the
// program runs or the child has ended. All signals are blocked in the child, so no
// signal handler of the parent runs there. The new program must itself reset the signal
// mask, and the limit on descriptors, which Go has raised.
package launch

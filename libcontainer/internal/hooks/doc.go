// Package hooks runs the programs that config.json names under /hooks.
//
// # The one rule
//
// A hook gets what the configuration specifies, and nothing of the runtime's own:
// an absolute path; the listed environment, not the runtime's; the given working
// directory; descriptors 0 to 2 and no others, even if the runtime started with
// more; a process group of its own, so that a timeout kills all of it. The state
// arrives on standard input. The package keeps the end of the output; if the hook
// fails, the error shows the last lines.
//
// # Files
//
//	run.go    Run checks and watches one hook, RunAll a list of them
//	start.go  starts a hook on the runtime side
//	watch.go  the pipes and the poll loop
//	tail.go   the end of the output
//
// Options.Start replaces start.go for hooks that have to run elsewhere.
package hooks

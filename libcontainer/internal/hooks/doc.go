// Package hooks runs the programs that config.json names under /hooks. Its one
// rule: a hook gets what the configuration says and nothing of ours.
//
// That is an absolute path; the environment listed, not the runtime's; the
// working directory given; descriptors 0 to 2 and no others, even if the
// runtime was itself started with more; a process group of its own, so that a
// timeout ends all of it. The state comes on standard input. What it prints is
// kept, and its last lines are part of the error when it fails.
//
// Run (run.go) checks and watches one hook, RunAll a list of them. start.go
// starts it on the runtime side; Options.Start is for those hooks that have to
// run elsewhere.
package hooks

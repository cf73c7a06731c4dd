// Package timeline records what an operation spends its time with, on the
// runtime side and on the container side, and draws it.
//
// A [Recorder] given to libcontainer.Options takes down the work of every
// operation: spans of the runtime side, and batches of system calls, each of
// which the container side has stamped with the time of its return. WriteTo
// writes them as Chrome trace JSON, which Perfetto and chrome://tracing open.
// [Read] reads that again, and [Trace.SVG] is a picture of it.
//
// # The one rule
//
// A nil *Recorder records nothing: its methods return at once and allocate
// nothing, so that the code that is traced reads the same with and without.
// What is recorded is taken as it is; names and numbers are put into words
// when it is written.
//
// recorder.go is what is recorded, clock.go when, render.go makes events of it,
// trace.go is the file, which read.go reads, also from others; svg.go draws it,
// with what layout.go has put where it belongs.
package timeline

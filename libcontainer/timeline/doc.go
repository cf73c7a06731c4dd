// Package timeline records where an operation spends its time, on the runtime
// side and on the container side, and draws the result.
//
// A [Recorder] in libcontainer.Options records two kinds of work: spans of the
// runtime side, and batches of system calls. The container side stamps each
// call with the time of its return. WriteTo writes the recording as Chrome trace
// JSON, which Perfetto and chrome://tracing open. [Read] reads such a file, and
// [Trace.SVG] draws it.
//
// # The one rule
//
// A nil *Recorder records nothing. Its methods return at once and allocate
// nothing, so the traced code reads the same with and without a recorder. The
// recorder stores values as they are; rendering turns them into text when the
// trace is written.
//
// # Files
//
//	recorder.go  the recorded values
//	clock.go     the time source
//	render.go    from recorded values to events
//	trace.go     the file format, writing
//	read.go      the file format, reading, also of files from other programs
//	layout.go    the positions in the picture
//	svg.go       the picture
package timeline

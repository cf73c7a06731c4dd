// Package remote is the runtime side's hold on a stub: it starts one, lays
// batches of system calls out for it, and brings results home as typed values
// and errors that name the call.
//
// # The one rule
//
// A descriptor of the stub is an FD, never an int: it cannot be mixed up with
// one of this process, and it can be used in the very batch that opens it,
// before its number is known. What comes back over the control socket is
// bounded by what was asked for; nothing received is used as a length, an
// address or a path here.
//
// spawn.go starts a stub, batch.go builds batches and encodes them, do.go
// sends them and reads the reply, arg.go is what an argument can be, program.go
// is for an execve that is larger than a batch, and calls_*.go has the system
// calls by subject, each a few lines.
package remote

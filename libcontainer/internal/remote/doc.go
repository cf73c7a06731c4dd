// Package remote controls a stub from the runtime side. It starts a stub, encodes
// batches of system calls for it, and returns the results as typed values and as
// errors that name the call.
//
// # The one rule
//
// A descriptor of the stub is an FD, never an int. So it cannot be confused with a
// descriptor of this process. A batch can also use a descriptor that it opens itself,
// before the number is known. The expected reply bounds every message from the
// control socket. The runtime side uses no received value as a length, an address or a
// path.
//
// spawn.go starts a stub, fork.go forks one. batch.go builds and encodes batches, do.go
// sends them and reads the reply. arg.go has the kinds of arguments. program.go and
// large.go bring data into the stub that is larger than a batch. calls_*.go has the
// system calls by subject, a few lines each.
package remote

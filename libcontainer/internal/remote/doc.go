// Package remote controls a stub from the runtime side. It starts a stub, encodes
// batches of system calls for it, and returns the results as typed values and as
// errors that name the call.
//
// # The one rule
//
// A descriptor of the stub is an FD, never an int. So it cannot be confused with a
// descriptor of this process. A batch can also use a descriptor that it opens itself,
// before the number is known. The expected reply bounds every message from the
// control socket. This package uses no received value as an address or a path. It uses
// one as a length only within the buffer that was read (Buf.First).
//
// # Memory
//
// New memory costs page faults, so a batch can be built in the memory of an earlier one.
// There are two ways:
//
//	b.Next()         the part that b has reserved (Expect) and not used. Condition: all
//	                 calls of b have been added. Its results stay readable.
//	b.Renew(former)  the memory that former has used: calls, arguments, data and reply.
//	                 Condition: the reply to former has arrived, and nobody reads its
//	                 results any more.
//
// # Files
//
// spawn.go starts a stub, fork.go forks one. batch.go builds and encodes batches, do.go
// sends them and reads the reply. arg.go has the kinds of arguments. program.go and
// large.go bring data into the stub that is larger than a batch. calls_*.go has the
// system calls by subject, a few lines each. errors.go has the errors, trace.go records
// the batches for a trace.
package remote

// Package stub is the only part of onggi that ever runs inside a container. It is a
// static ELF image of a few hundred bytes. It executes system calls for the runtime
// side and does nothing else.
//
// # The loop
//
// The stub receives a batch from its control socket and executes its calls in order. It
// stops at the first failure that the batch does not tolerate. Then it sends the results
// back and starts again. It allocates nothing, parses nothing and retries nothing. If the
// socket is closed, or if the descriptor is not a socket, it exits.
//
// # One rule
//
// Policy never enters this package. The runtime side decides which calls to make, which
// failures to tolerate and which errors to report to the user: package engine decides,
// package remote encodes the batches. This package only has the machine code that
// executes them.
//
// wire.go draws the layout of a batch. image.go wraps the machine code in an ELF image.
// Each machine's stub_*.s and loop_*.h are the loop, and its machine_*.go has the
// constants that differ. timing.go has the variants that stamp each call for a trace.
package stub

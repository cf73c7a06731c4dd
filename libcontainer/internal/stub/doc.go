// Package stub is the whole of onggi that ever exists inside a container: a
// static ELF image of a few hundred bytes that executes system calls for the
// runtime side and knows nothing else.
//
// # The loop
//
// The stub receives a batch from its control socket, executes its calls in
// order, stops at the first failure that the batch does not tolerate, sends
// the results back, and starts again. It allocates nothing, parses nothing and
// retries nothing. When the socket is closed, or is not a socket, it exits.
//
// # One rule
//
// Policy never enters this package. What to call, what to tolerate and what to
// tell the user is decided on the runtime side (package remote lays batches
// out, package engine decides); here is only the machine that executes them.
//
// wire.go draws the layout of a batch, image.go wraps the machine code in an
// ELF image, stub_amd64.s and stub_arm64.s are the loop.
package stub

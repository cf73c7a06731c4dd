// Package sendfd sends descriptors to a listener on a socket: the pty master to
// the console socket, a pidfd to the pidfd socket. Its one rule: the listener is
// foreign and cannot hold the runtime up.
//
// The public package libcontainer/console deals with the caller's own terminal.
package sendfd

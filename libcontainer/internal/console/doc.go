// Package console hands descriptors to whoever listens on a socket: the pty
// master to the console socket, a pidfd to the pidfd socket. Its one rule: the
// listener is not ours, and cannot hold us up.
//
// What the caller's own terminal needs is in the public package
// libcontainer/console.
package console

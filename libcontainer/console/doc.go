// Package console is for a program that runs a container in the foreground of
// its own terminal, as "onggi run" does. Its one rule: it is the only part of
// libcontainer that touches the caller's terminal and signals, and only when
// it is called.
//
//	Relay  the terminal in raw mode, its bytes copied to and from the pty
//	       master of the container, its size kept up (relay.go, pump.go)
//	Catch  signals of this process, handed on to the container's (signals.go)
//
// A program catches signals first, creates the container with
// CreateOptions.Console set to keep the master, opens the relay, starts the
// container, forwards the signals to it, and, when it has ended, drains and
// closes the relay: that gives the terminal its modes back.
package console

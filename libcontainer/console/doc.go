// Package console serves a program that runs a container in the foreground of its
// own terminal, as "onggi run" does.
//
// # The one rule
//
// It is the only part of libcontainer that touches the caller's terminal and
// signals, and only when the caller calls it.
//
// The signals are here and not in the command, because every program with a [Relay]
// needs them: SIGWINCH resizes the terminal, and raw mode must end with the program.
//
// # Types
//
//	Relay    puts the terminal into raw mode, copies bytes between it and the
//	         container's pty master, and keeps the size of both equal (relay.go,
//	         pump.go)
//	Signals  catches signals of this process and passes them to the container
//	         (signals.go)
//
// A program takes these steps. It catches signals with [Catch]. It creates the
// container with CreateOptions.Console set, to keep the master. It opens the
// relay, starts the container and forwards the signals to it. After the end of the
// container it drains and closes the relay, which restores the terminal's modes.
package console

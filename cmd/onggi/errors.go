package main

import "strconv"

// usageError is a command line that cannot be parsed. The usage line follows the
// message on standard error.
type usageError struct {
	cmd *command // nil if the mistake is before the command
	msg string
	// status is the exit status; 0 means the usual 1.
	status int
}

func (e *usageError) Error() string { return e.msg }

// hint returns the line below the message.
func (e *usageError) hint() string {
	if e.cmd == nil {
		return "usage: onggi [global flags] <command> ...; see onggi --help"
	}
	return "usage: " + e.cmd.usage() + "; see onggi " + e.cmd.name + " --help"
}

// exitStatus ends onggi with the exit status of a container's process. That is not a
// failure of onggi.
type exitStatus int

func (e exitStatus) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// execFailure is a failure of exec itself. The exit status is 255 then, as with runc.
// Engines distinguish it from the process's own status by that.
type execFailure struct{ err error }

func (e *execFailure) Error() string { return e.err.Error() }
func (e *execFailure) Unwrap() error { return e.err }

// unknownCommandStatus is the exit status for an unknown command, as with runc.
const unknownCommandStatus = 3

// execFailureStatus is the exit status of a failed exec, as with runc.
const execFailureStatus = 255

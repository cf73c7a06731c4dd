package main

import "strconv"

// usageError is a command line that does not parse. The usage line follows
// the message on standard error.
type usageError struct {
	cmd *command // nil: the command line before the command
	msg string
	// status is the exit status; 0 stands for the usual 1.
	status int
}

func (e *usageError) Error() string { return e.msg }

// hint is the line below the message.
func (e *usageError) hint() string {
	if e.cmd == nil {
		return "usage: onggi [global flags] <command> ...; see onggi --help"
	}
	return "usage: " + e.cmd.usage() + "; see onggi " + e.cmd.name + " --help"
}

// exitStatus ends onggi with the status of a container's process, which is
// not a failure of ours.
type exitStatus int

func (e exitStatus) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// execFailure is a failure of exec itself. runc ends with 255 then, and
// engines tell it from the process's own status by that.
type execFailure struct{ err error }

func (e *execFailure) Error() string { return e.err.Error() }
func (e *execFailure) Unwrap() error { return e.err }

// unknownCommandStatus is the exit status for a command that there is none of,
// as runc's.
const unknownCommandStatus = 3

// execFailureStatus is the exit status of a failed exec, as runc's.
const execFailureStatus = 255

package main

import "strconv"

// exitStatus ends onggi with the exit status of a container's process. That is not a
// failure of onggi.
type exitStatus int

func (e exitStatus) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// execFailure is a failure of exec itself. The exit status is 255 then, as with runc.
// Engines distinguish it from the process's own status by that.
type execFailure struct{ err error }

func (e *execFailure) Error() string { return e.err.Error() }
func (e *execFailure) Unwrap() error { return e.err }

// execFailureStatus is the exit status of a failed exec, as with runc.
const execFailureStatus = 255

package remote

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// CallError is a call that failed in the stub.
type CallError struct {
	Call  string  // the call with its arguments, to print
	Nr    uintptr // the number of the system call (unix.SYS_…), to decide by
	Errno unix.Errno
	Tag   int // Batch.Tag when the call was added
	Index int // index of the call in the batch
}

func (e *CallError) Error() string { return e.Call + ": " + e.Errno.Error() }

// Unwrap returns the errno.
func (e *CallError) Unwrap() error { return e.Errno }

// SizeError is a batch that is too large for the stub's arena.
type SizeError struct {
	Calls, Size int
	Tag         int // tag of the calls that were added last
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("a batch of %d calls takes %d bytes: more than the stub's %d", e.Calls, e.Size, stub.ArenaSize)
}

// ErrTimeout: the stub did not answer before the deadline. It may be stopped or frozen,
// or wait for a file system that does not respond.
var ErrTimeout = errors.New("no answer from the container side before the deadline")

// DeathError: the stub has died. Status is its wait status, 0 if that is unknown.
type DeathError struct {
	Status unix.WaitStatus
	During string // the first call of the batch at work
	Silent bool   // it has never answered; perhaps it has never run
}

func (e *DeathError) Error() string {
	how := "its exit status is unknown"
	switch {
	case e.Status.Signaled() && e.Status.Signal() == unix.SIGKILL:
		how = "killed by SIGKILL"
	case e.Status.Signaled():
		how = "killed by " + unix.SignalName(e.Status.Signal())
	case e.Status.Exited():
		how = fmt.Sprintf("it exited with status %d", e.Status.ExitStatus())
	}
	return "the container's first process died during set-up (" + e.During + "): " + how
}

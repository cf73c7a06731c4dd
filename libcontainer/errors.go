package libcontainer

import (
	"errors"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

// Sentinels for what callers branch on. The texts are matched by engines:
// containerd's shim looks for "does not exist", "container not running",
// "no such process" and "process already finished".
var (
	// ErrNotExist: no container of that id under the state root.
	ErrNotExist = state.ErrNotExist
	// ErrExist: the id is in use.
	ErrExist = state.ErrExist
	// ErrInvalidID: the id is empty, too long, "." or "..", or has a
	// character outside [A-Za-z0-9_+.-].
	ErrInvalidID = state.ErrInvalidID
	// ErrRoot: the state root is there and cannot be read, so that nobody knows
	// which containers there are.
	ErrRoot = state.ErrRoot
	// ErrNotRunning: the verb needs a live container.
	ErrNotRunning = errors.New("container not running")
	// ErrNotStopped: delete of a live container without force.
	ErrNotStopped = errors.New("container is not stopped")
	// ErrPaused: the verb needs a container that is not paused.
	ErrPaused = errors.New("container is paused")
	// ErrNotPaused: resume of a container that is not paused.
	ErrNotPaused = errors.New("container not paused")
	// ErrNotCreated: start of a container that does not wait to be started: it
	// runs, has stopped, or is still being created.
	ErrNotCreated = state.ErrNotCreated
	// ErrNoStatus: a process has ended, and how is not known, see Container.Wait.
	ErrNoStatus = proc.ErrNoStatus
	// ErrNoConsole: a terminal is asked for, and nobody takes it.
	ErrNoConsole = errors.New("cannot allocate tty if the runtime will detach without setting console socket")
)

// worded is a sentinel in the words of an occasion.
type worded struct {
	text string
	err  error
}

func (e *worded) Error() string { return e.text }
func (e *worded) Unwrap() error { return e.err }

// Bug is a panic of the library, which is returned as an error: everything that
// is undone after an error has been undone. Stack is for a debug log.
type Bug = bug.Error

// Failure is one failed step: the field of config.json that asked for it, what
// was being done, and the system call that failed.
type Failure = engine.Failure

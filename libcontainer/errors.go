package libcontainer

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/seccomp"
)

// Errors that callers branch on. Engines match the texts: containerd's shim looks for
// "does not exist", "container not running", "no such process" and "process already
// finished".
var (
	// ErrNotExist means that the state root has no container of that id.
	ErrNotExist = state.ErrNotExist
	// ErrExist means that the id is in use.
	ErrExist = state.ErrExist
	// ErrInvalidID means that the id is empty, longer than 255 bytes, "." or "..",
	// or has a character outside [A-Za-z0-9_+.-].
	ErrInvalidID = state.ErrInvalidID
	// ErrRoot means that the state root exists and cannot be used: it cannot be read,
	// or another user could replace directories in it.
	ErrRoot = state.ErrRoot
	// ErrNotRunning means that the method needs a live container.
	ErrNotRunning = errors.New("container not running")
	// ErrNotStopped means that Delete without force has found a live container.
	ErrNotStopped = errors.New("container is not stopped")
	// ErrPaused means that the method needs a container that is not paused.
	ErrPaused = errors.New("container is paused")
	// ErrNotPaused means that Resume needs a paused container.
	ErrNotPaused = errors.New("container not paused")
	// ErrNotCreated means that the container does not wait to be started: it runs, has
	// stopped, or is still being created.
	ErrNotCreated = state.ErrNotCreated
	// ErrNoStatus means that a process has ended and its exit status is not known; see
	// Container.Wait.
	ErrNoStatus = proc.ErrNoStatus
	// ErrNoConsole means that the process asks for a terminal, and the options name
	// neither a Console nor a ConsoleSocket.
	ErrNoConsole = errors.New("cannot allocate tty if the runtime will detach without setting console socket")
)

// worded is a sentinel error with a text of its own.
type worded struct {
	text string
	err  error
}

func (e *worded) Error() string { return e.text }
func (e *worded) Unwrap() error { return e.err }

// Bug is a panic of the library, returned as an error after the usual clean-up. Stack is
// meant for a debug log.
type Bug = bug.Error

// Failure is one failed step: the field of config.json that asks for it (a JSON
// pointer), the action, the system call that failed, and its errno.
type Failure = engine.Failure

// nameLimit adds the limit of open files to an error for want of descriptors. It
// is deferred.
func nameLimit(err *error) {
	var limit unix.Rlimit
	if !errors.Is(*err, unix.EMFILE) || unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	hint := fmt.Sprintf("the limit of open files, RLIMIT_NOFILE, is %d for the runtime: raise it", limit.Cur)
	f := (*Failure)(nil)
	if !errors.As(*err, &f) {
		*err = &Failure{Hint: hint, Err: *err}
	} else if f.Hint == "" {
		f.Hint = hint
	}
}

// oneLine puts the lines of a joined error on one line.
func oneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	return &lineError{err}
}

// ofField turns an error of package cgroup or seccomp about a field of config.json into a
// Failure.
func ofField(err error) error {
	field, rest := cgroup.SplitField(err)
	if e, ok := err.(*seccomp.FieldError); ok {
		field, rest = e.Field, e.Err
	}
	if field == "" {
		return err
	}
	return &Failure{Field: field, Err: oneLine(rest)}
}

type lineError struct{ err error }

func (e *lineError) Error() string { return strings.ReplaceAll(e.err.Error(), "\n", "; ") }

func (e *lineError) Unwrap() error { return e.err }

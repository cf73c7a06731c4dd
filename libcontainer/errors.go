package libcontainer

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Sentinels for what callers branch on. The texts are matched by engines:
// containerd's shim looks for "does not exist", "container not running",
// "no such process" and "process already finished".
var (
	// ErrNotExist: no container of that id under the state root.
	ErrNotExist = errors.New("container does not exist")
	// ErrExist: the id is in use.
	ErrExist = errors.New("container with given ID already exists")
	// ErrInvalidID: the id is empty, too long, "." or "..", or has a
	// character outside [A-Za-z0-9_+.-].
	ErrInvalidID = errors.New("invalid container ID format")
	// ErrNotRunning: the verb needs a live container.
	ErrNotRunning = errors.New("container not running")
	// ErrNotStopped: delete of a live container without force.
	ErrNotStopped = errors.New("container is not stopped")
	// ErrPaused: the verb needs a container that is not paused.
	ErrPaused = errors.New("container is paused")
)

// Failure is one failed step: what was being done, for which field of
// config.json, and the call that failed. It prints as one line with the
// errno's text last.
type Failure struct {
	Field   string     // JSON pointer into config.json, "" where none applies
	Step    string     // what was being done, e.g. `mount "proc" at "/proc"`
	Syscall string     // the call with its arguments, e.g. `openat2(5</>, "proc", O_PATH, RESOLVE_IN_ROOT)`
	Errno   unix.Errno // 0 where no syscall failed
	Hint    string     // what to do about it, "" where nothing useful is known
	Err     error      // the cause where it is not an errno
}

// Error prints `field: step: syscall: errno`, leaving out what is not known.
func (f *Failure) Error() string {
	var b strings.Builder
	for _, s := range []string{f.Field, f.Step, f.Syscall} {
		if s != "" {
			b.WriteString(s)
			b.WriteString(": ")
		}
	}
	switch {
	case f.Err != nil:
		b.WriteString(f.Err.Error())
	default:
		b.WriteString(f.Errno.Error())
	}
	return b.String()
}

// Unwrap gives the errno, or the cause where no syscall failed.
func (f *Failure) Unwrap() error {
	if f.Err != nil {
		return f.Err
	}
	return f.Errno
}

// Package bug turns a panic into an error, so that everything that is undone
// after an error is undone after a panic too.
//
// Its one rule: a function that others clean up after defers Caught.
package bug

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// Error is a panic that was caught.
type Error struct {
	Value any    // what panic was called with
	At    string // file:line of the function that panicked
	Stack []byte // for a debug log
}

// Error says that the program is to blame, in one line.
func (e *Error) Error() string {
	text := strings.TrimPrefix(fmt.Sprint(e.Value), "BUG: ")
	return "BUG: " + strings.Join(strings.Fields(text), " ") + " (at " + e.At + "): please report it"
}

// Unwrap gives the error that panic was called with, if it was one.
func (e *Error) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Caught is to be deferred: it ends a panic and puts an *Error into *err, joined
// with the error that is there already. Without a panic it does nothing.
func Caught(err *error) {
	v := recover()
	if v == nil {
		return
	}
	caught := error(&Error{Value: v, At: place(), Stack: stack()})
	if *err != nil {
		caught = fmt.Errorf("%w: after %w", caught, *err)
	}
	*err = caught
}

// Is tells whether err comes from a panic.
func Is(err error) bool {
	var e *Error
	return errors.As(err, &e)
}

// stack is as much of the stack as a debug log has room for.
func stack() []byte {
	p := make([]byte, 16<<10)
	return p[:runtime.Stack(p, false)]
}

// place is where the panic was: the first function above the Go runtime's.
func place() string {
	var pcs [32]uintptr
	const own = 3 // runtime.Callers, place, Caught
	frames := runtime.CallersFrames(pcs[:runtime.Callers(own, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") && f.File != "" {
			return short(f.File) + fmt.Sprintf(":%d", f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// short leaves the last two names of a path.
func short(path string) string {
	names := strings.Split(path, "/")
	return strings.Join(names[max(0, len(names)-2):], "/")
}

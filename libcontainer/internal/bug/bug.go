// Package bug turns a panic into an error. So the cleanup after an error also happens
// after a panic.
//
// Its one rule: a function whose callers clean up after an error defers Caught.
package bug

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// Error is a caught panic.
type Error struct {
	Value any    // the argument of panic
	At    string // file:line of the panic
	Stack []byte // for a debug log
}

// Error returns one line that blames the program and asks for a report.
func (e *Error) Error() string {
	text := strings.TrimPrefix(fmt.Sprint(e.Value), "BUG: ")
	return "BUG: " + strings.Join(strings.Fields(text), " ") + " (at " + e.At + "): please report it"
}

// Unwrap returns the argument of panic if it was an error.
func (e *Error) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Caught must be deferred. It ends a panic and stores an *Error in *err, joined with the
// error already there. Without a panic it does nothing.
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

// Is reports whether err comes from a panic.
func Is(err error) bool {
	var e *Error
	return errors.As(err, &e)
}

// stack returns the stack, cut to a size that fits a debug log.
func stack() []byte {
	p := make([]byte, 16<<10)
	return p[:runtime.Stack(p, false)]
}

// place returns the place of the panic: the first function outside of the Go runtime.
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

// short returns the last two components of a path.
func short(path string) string {
	names := strings.Split(path, "/")
	return strings.Join(names[max(0, len(names)-2):], "/")
}

package engine

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// Failure is one failed step: the field of config.json that asked for it, what
// was being done, and the call that failed. It prints as one line with the
// errno's text last.
type Failure struct {
	Field   string     // JSON pointer, "" where no field asks for the step
	Step    string     // what was being done, e.g. "mount proc on /proc"
	Syscall string     // the call with its arguments, "" where none failed
	Errno   unix.Errno // 0 where no syscall failed
	Hint    string     // what to do about it, "" where nothing useful is known
	Err     error      // the cause where it is more than an errno
}

// Error prints `field: step: syscall: errno`, leaving out what is not known;
// a hint stands before the errno, whose text engines look for.
func (f *Failure) Error() string {
	var parts []string
	for _, s := range []string{f.Field, f.Step, f.Syscall} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	cause := f.Errno.Error()
	if f.Err != nil {
		cause = f.Err.Error()
	}
	if f.Hint != "" {
		parts = append(parts, "("+f.Hint+")")
	}
	return strings.Join(append(parts, cause), ": ")
}

// Unwrap gives the cause.
func (f *Failure) Unwrap() error {
	if f.Err != nil {
		return f.Err
	}
	return f.Errno
}

// others is an error of what is done during a step and has nothing to do with
// it.
type others struct{ error }

func (o others) Unwrap() error { return o.error }

// failed puts err down to the step of an item.
func failed(it plan.Item, err error) error {
	if o := (others{}); errors.As(err, &o) {
		return o.error
	}
	if f := (*Failure)(nil); errors.As(err, &f) {
		if f.Field == "" {
			f.Field = it.Field
		}
		return err
	}
	f := &Failure{Field: it.Field, Step: it.Step.String()}
	if c := (*remote.CallError)(nil); errors.As(err, &c) {
		f.Syscall, f.Errno = c.Call, c.Errno
		return f
	}
	f.Err = err
	_ = errors.As(err, &f.Errno)
	return f
}

// hint is failed with advice.
func hint(it plan.Item, err error, advice string) error {
	err = failed(it, err)
	if f := (*Failure)(nil); errors.As(err, &f) && f.Hint == "" {
		f.Hint = advice
	}
	return err
}

// Killed tells whether err is the death of the first process, and whether
// that was by SIGKILL.
func Killed(err error) (died, killed bool) {
	var d *remote.DeathError
	if !errors.As(err, &d) {
		return false, false
	}
	return true, d.Status.Signaled() && d.Status.Signal() == unix.SIGKILL
}

// Stillborn tells whether err is the first process's being killed before it has
// done anything.
func Stillborn(err error) bool {
	var d *remote.DeathError
	_, killed := Killed(err)
	return killed && errors.As(err, &d) && d.Silent
}

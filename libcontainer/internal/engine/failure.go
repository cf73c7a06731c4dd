package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// Failure is the error of one step: the field of config.json that requests the
// step, the action, and the call that failed. It prints as one line; the text of
// the errno is last.
type Failure struct {
	Field   string     // JSON pointer; "" if no field requests the step
	Step    string     // the action, e.g. "mount proc on /proc"
	Syscall string     // the call with its arguments; "" if no call failed
	Errno   unix.Errno // 0 if no call failed
	Hint    string     // advice; "" if there is none
	Err     error      // the cause, if it is more than an errno
}

// Error returns `field: step: syscall: (hint): errno` without the unknown parts.
// The errno comes last, because engines look for its text. Without a system call,
// the step stands beside the errno and the hint before it, as in runc's
// "exec /run.sh: no such file or directory".
func (f *Failure) Error() string {
	hint, cause := "", f.Errno.Error()
	if f.Hint != "" {
		hint = "(" + f.Hint + ")"
	}
	if f.Err != nil {
		cause = f.Err.Error()
	}
	parts := []string{f.Field, f.Step, f.Syscall, hint, cause}
	if f.Syscall == "" {
		parts = []string{f.Field, hint, f.Step, cause}
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error {
	if f.Err != nil {
		return f.Err
	}
	return f.Errno
}

// unrelated wraps an error that occurred during a step but was not caused by it.
type unrelated struct{ error }

func (o unrelated) Unwrap() error { return o.error }

// failed attributes err to the step of an item. An error that is attributed to a
// step already keeps its step.
func failed(it plan.Item, err error) error {
	if o := (unrelated{}); errors.As(err, &o) {
		return o.error
	}
	if f := (*Failure)(nil); errors.As(err, &f) {
		if f.Field == "" {
			f.Field = it.Field
		}
		return err
	}
	f := &Failure{Field: it.Field, Step: doing(it.Step)}
	if c := (*remote.CallError)(nil); errors.As(err, &c) {
		f.Syscall, f.Errno = c.Call, c.Errno
		if m, ok := it.Step.(plan.Mount); ok && m.Ordinary && (c.Errno == unix.ELOOP || c.Errno == unix.ENOTDIR) {
			f.Hint = fmt.Sprintf("filesystem %q must be mounted on ordinary directory", m.Type)
		}
		return f
	}
	f.Err = err
	_ = errors.As(err, &f.Errno)
	return f
}

// doing returns the text of a step in an error. Mounts, sysctls and the working
// directory use runc's words: people search for them.
func doing(s plan.Step) string {
	switch s := s.(type) {
	case plan.Bind:
		if !s.CopySymlink {
			return fmt.Sprintf("error mounting %q to rootfs at %q: %s", s.Source, s.At.Path, s)
		}
	case plan.Mount:
		return fmt.Sprintf("error mounting %q to rootfs at %q: %s", cmp.Or(s.Source, s.Type), s.At.Path, s)
	case plan.Sysctl:
		return fmt.Sprintf("failed to write sysctl %s = %q", strings.Join(s.Path, "."), s.Value)
	case plan.Cwd:
		return fmt.Sprintf("chdir to cwd (%q) set in config.json failed", s.Path)
	}
	return s.String()
}

// hint is like failed, and adds advice. An earlier hint stays.
func hint(it plan.Item, err error, advice string) error {
	err = failed(it, err)
	if f := (*Failure)(nil); errors.As(err, &f) && f.Hint == "" {
		f.Hint = advice
	}
	return err
}

// Killed reports whether err is the death of the first process, and whether
// SIGKILL caused it.
func Killed(err error) (died, killed bool) {
	var d *remote.DeathError
	if !errors.As(err, &d) {
		return false, false
	}
	return true, d.Status.Signaled() && d.Status.Signal() == unix.SIGKILL
}

// Denied reports whether err is the death of a stub by a signal with which a seccomp
// filter ends it: the filter's own SIGSYS, or the trap behind a refused exit_group.
func Denied(err error) bool {
	var d *remote.DeathError
	if !errors.As(err, &d) || !d.Status.Signaled() {
		return false
	}
	switch d.Status.Signal() {
	case unix.SIGSYS, unix.SIGILL, unix.SIGTRAP, unix.SIGSEGV:
		return true
	}
	return false
}

// KilledAtBirth reports whether the first process was killed by SIGKILL before it
// answered anything.
func KilledAtBirth(err error) bool {
	var d *remote.DeathError
	_, killed := Killed(err)
	return killed && errors.As(err, &d) && d.Silent
}

// answered reports whether the stub can execute more batches.
func answered(err error) bool {
	var ce *remote.CallError
	return err == nil || errors.As(err, &ce)
}

// textError is an errno with another text.
type textError struct {
	text  string
	errno unix.Errno
}

func (e *textError) Error() string { return e.text }

func (e *textError) Unwrap() error { return e.errno }

func isErrno(err error, list ...unix.Errno) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

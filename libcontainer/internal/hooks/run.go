package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// Options apply to all hooks of one call.
type Options struct {
	Dir string // working directory
	// Stdout and Stderr receive the output, which is then not kept.
	Stdout, Stderr *os.File
	// Start creates the process. With nil, the runtime side creates it.
	Start func(Command) (*Process, error)
	// KeepGoing makes RunAll continue after a failed hook.
	KeepGoing bool
	Trace     *timeline.Recorder
}

// Command describes the program to execute. The three files belong to Run, which
// may close them after Start has returned.
type Command struct {
	Path                  string
	Args                  []string // with argv[0]
	Env                   []string // nil where config.json has none: see Inherited
	Dir                   string
	Stdin, Stdout, Stderr *os.File
}

// Process is a started hook, a child of this process.
type Process struct {
	Pid   int
	Pidfd *os.File // closed by Run
}

// Error is the failure of a hook.
type Error struct {
	Pointer        string // JSON pointer into config.json
	Kind           string
	Index          int
	Path           string
	After          time.Duration // 0 for a hook that did not start
	Err            error
	Stdout, Stderr []byte // the end of each stream
}

// Error returns the pointer, the step and the reason.
func (e *Error) Error() string { return e.Pointer + ": " + e.Step() + ": " + e.Reason() }

// Step names the hook, and how long it ran if it started.
func (e *Error) Step() string {
	if e.After == 0 {
		return fmt.Sprintf("hook %q", e.Path)
	}
	return fmt.Sprintf("hook %q ended after %v", e.Path, round(e.After))
}

// Reason uses runc's words, on one line. Engines and scripts match them.
func (e *Error) Reason() string {
	msg := fmt.Sprintf("error running %s hook #%d: %v", e.Kind, e.Index, e.Err)
	if e.After == 0 {
		return msg
	}
	return msg + ", stdout: " + lastLines(e.Stdout) + ", stderr: " + lastLines(e.Stderr)
}

// Unwrap returns the cause: an errno, the context's error, a TimeoutError or an
// ExitError.
func (e *Error) Unwrap() error { return e.Err }

// ExitError is the bad end of a hook that ended by itself.
type ExitError struct {
	Code   int
	Signal unix.Signal // the signal that ended it, or 0
}

func (e ExitError) Error() string {
	if e.Signal == 0 {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return "signal: " + e.Signal.String()
}

// TimeoutError is the end of a hook that was killed after its timeout.
type TimeoutError time.Duration

func (e TimeoutError) Error() string {
	return fmt.Sprintf("hook ran past specified timeout of %.1fs", time.Duration(e).Seconds())
}

// RunAll runs the hooks of one kind ("prestart", ...) in order. It stops at the
// first failure, unless o.KeepGoing is set.
func RunAll(ctx context.Context, kind string, hooks []specs.Hook, state []byte, o Options) error {
	var errs []error
	for i, h := range hooks {
		span := o.Trace.Begin(timeline.Wait, h.Path)
		err := Run(ctx, kind, i, h, state, o)
		span.EndWith(err)
		if err != nil && !o.KeepGoing {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Run runs one hook and waits for it. The error is an *Error.
func Run(ctx context.Context, kind string, index int, h specs.Hook, state []byte, o Options) error {
	begin := time.Now()
	e := &Error{Pointer: fmt.Sprintf("/hooks/%s/%d", kind, index), Kind: kind, Index: index, Path: h.Path}
	started, err := e.run(ctx, h, state, o)
	if err == nil {
		return nil
	}
	e.Err = err
	if started {
		e.After = time.Since(begin)
	}
	return e
}

// run runs the hook and keeps the end of its output in e.
func (e *Error) run(ctx context.Context, h specs.Hook, state []byte, o Options) (started bool, err error) {
	if err := check(h); err != nil {
		return false, err
	}
	io, err := openStdio(o)
	if err != nil {
		return false, err
	}
	defer io.close()
	p, err := start(command(h, o, io), o.Start)
	if err != nil {
		return false, err
	}
	defer p.Pidfd.Close()
	io.closeTheirs()
	w := watch{Process: p, stdio: io, state: state}
	err = w.untilEnd(ctx, h.Timeout)
	e.Stdout, e.Stderr = w.out.tail.bytes(), w.err.tail.bytes()
	return true, err
}

func check(h specs.Hook) error {
	if !filepath.IsAbs(h.Path) {
		return errors.New("path is not absolute")
	}
	if h.Timeout != nil && *h.Timeout <= 0 {
		return fmt.Errorf("timeout %d is not greater than zero", *h.Timeout)
	}
	return nil
}

func command(h specs.Hook, o Options, io *stdio) Command {
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	return Command{
		Path: h.Path, Args: args, Env: h.Env, Dir: o.Dir,
		Stdin: io.stdin, Stdout: io.stdout, Stderr: io.stderr,
	}
}

// Inherited is the environment of a hook on the runtime side: its own, or the
// runtime's where config.json has no env. An empty env is an empty environment.
func (c Command) Inherited() []string {
	if c.Env == nil {
		return os.Environ()
	}
	return c.Env
}

func start(c Command, how func(Command) (*Process, error)) (*Process, error) {
	if how == nil {
		how = startHere
	}
	return how(c)
}

// untilEnd waits for the process. It kills the process after the timeout, or when
// ctx is done.
func (w *watch) untilEnd(ctx context.Context, timeout *int) error {
	if timeout != nil {
		limit := time.Duration(*timeout) * time.Second
		over := TimeoutError(limit)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, over)
		defer cancel()
	}
	if err := w.loop(ctx); err != nil {
		if killErr := w.kill(); killErr != nil {
			err = fmt.Errorf("%w; %w", err, killErr)
		}
		return err
	}
	code, sig, err := proc.ReapStatus(context.Background(), w.Pidfd)
	if err == nil && (code != 0 || sig != 0) {
		err = ExitError{code, sig}
	}
	return err
}

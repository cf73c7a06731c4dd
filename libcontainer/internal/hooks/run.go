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

// Options are what the hooks of one call share.
type Options struct {
	Dir string // working directory
	// Stdout and Stderr are used instead of keeping the output.
	Stdout, Stderr *os.File
	// Start replaces how the process is made; nil is on the runtime side.
	Start func(Command) (*Process, error)
	// KeepGoing makes RunAll run the hooks after a failed one.
	KeepGoing bool
	Trace     *timeline.Recorder
}

// Command is what is to be executed. The three files are the runtime's, and
// closed when Start has returned.
type Command struct {
	Path                  string
	Args                  []string // with argv[0]
	Env                   []string
	Dir                   string
	Stdin, Stdout, Stderr *os.File
}

// Process is a hook that was started: a child of this process.
type Process struct {
	Pid   int
	Pidfd *os.File // closed by Run
}

// Error is a hook that did not do its work.
type Error struct {
	Pointer string // JSON pointer into config.json
	Path    string
	After   time.Duration
	Err     error  // what became of it
	Output  []byte // the end of what it printed
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("%s: hook %q: %v", e.Pointer, e.Path, e.Err)
	if e.After > 0 {
		msg += fmt.Sprintf(" after %v", round(e.After))
	}
	if last := lastLines(e.Output); last != "" {
		msg += ": " + last
	}
	return msg
}

// Unwrap gives the errno, the context's error or an ExitError.
func (e *Error) Unwrap() error { return e.Err }

// ExitError is how a hook ended that ended by itself, if not well.
type ExitError struct {
	Code   int
	Signal unix.Signal // not 0: the signal that ended it
}

func (e ExitError) Error() string {
	if e.Signal == 0 {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return "killed by " + proc.SignalName(e.Signal)
}

// TimeoutError is a hook that was killed because its timeout was over.
type TimeoutError time.Duration

func (e TimeoutError) Error() string {
	return fmt.Sprintf("killed at its timeout of %v", time.Duration(e))
}

// RunAll runs the hooks of one kind ("prestart", ...) in their order. It stops
// at the first that fails unless o.KeepGoing is set.
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
	output, started, err := run(ctx, h, state, o)
	if err == nil {
		return nil
	}
	e := &Error{Pointer: fmt.Sprintf("/hooks/%s/%d", kind, index), Path: h.Path, Err: err, Output: output}
	if started {
		e.After = time.Since(begin)
	}
	return e
}

func run(ctx context.Context, h specs.Hook, state []byte, o Options) (output []byte, started bool, err error) {
	if err := check(h); err != nil {
		return nil, false, err
	}
	io, err := openStdio(o)
	if err != nil {
		return nil, false, err
	}
	defer io.close()
	p, err := start(command(h, o, io), o.Start)
	if err != nil {
		return nil, false, err
	}
	defer p.Pidfd.Close()
	io.closeTheirs()
	w := watch{Process: p, stdio: io, state: state}
	err = w.untilEnd(ctx, h.Timeout)
	return w.tail.bytes(), true, err
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

func start(c Command, how func(Command) (*Process, error)) (*Process, error) {
	if how == nil {
		how = startHere
	}
	return how(c)
}

// untilEnd waits for the process, and kills it when the timeout or ctx is
// over.
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

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/libcontainer/console"
)

// A foreground connects the caller of run or exec with the process that the command
// waits for: signals and the terminal.
type foreground struct {
	std     stdio
	signals *console.Signals
	caught  chan error              // result of catching all signals, sent once
	cancel  context.CancelCauseFunc // ends the work that is done before the process runs

	master *os.File       // terminal of the process, until it is relayed
	relay  *console.Relay // nil without a terminal

	mu     sync.Mutex
	target process       // nil until the process runs
	early  []unix.Signal // signals that came before that
	child  func()        // called when children have ended; may be nil
}

// process is the process that a foreground waits for.
type process interface {
	Signal(unix.Signal) error
	Wait(context.Context) (int, error)
}

// newForeground catches signals from here on. As long as there is no process that could
// get them, a signal that asks a program to end cancels the context.
func newForeground(parent context.Context, std stdio) (context.Context, *foreground, error) {
	signals, err := console.Catch()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(parent)
	f := &foreground{std: std, signals: signals, cancel: cancel, caught: make(chan error, 1)}
	go f.forward(parent)
	return ctx, f, nil
}

// forward catches the rarely sent signals too, while another goroutine sets the container
// up. Then it passes all signals on.
func (f *foreground) forward(ctx context.Context) {
	f.caught <- f.signals.CatchAll()
	f.signals.Forward(ctx, console.Handlers{Send: f.signal, Resize: f.resize, Child: f.childEnded})
}

// ready waits until all signals are caught. So none is lost once the program runs.
func (f *foreground) ready() error { return <-f.caught }

// watchChildren calls ended whenever children have ended.
func (f *foreground) watchChildren(ended func()) error {
	f.mu.Lock()
	f.child = ended
	f.mu.Unlock()
	return f.signals.CatchChildren()
}

func (f *foreground) childEnded() {
	f.mu.Lock()
	ended := f.child
	f.mu.Unlock()
	if ended != nil {
		ended()
	}
}

// signal passes a signal on, or keeps it until there is a process.
func (f *foreground) signal(sig unix.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.target == nil {
		f.early = append(f.early, sig)
		if endsProgram(sig) {
			f.cancel(interrupted(sig))
		}
		return
	}
	// The process may have ended just now; then the signal has no receiver.
	_ = f.target.Signal(sig)
}

// endsProgram reports whether people and service managers send this signal to make a
// program end.
func endsProgram(sig unix.Signal) bool {
	switch sig {
	case unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT:
		return true
	}
	return false
}

// console returns take if onggi has a terminal to connect the process's terminal with, else
// nil. One of the standard streams is enough, or the controlling terminal, as with runc.
// Keys are read from standard input in any case.
func (f *foreground) console(take func(*os.File) error) func(*os.File) error {
	if isTerminal(f.std.in) || isTerminal(f.std.out) || isTerminal(f.std.err) {
		return take
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	tty.Close()
	return take
}

// noTerminal adds a hint to err if that is ErrNoConsole.
func noTerminal(err error) error {
	var failure *libcontainer.Failure
	if errors.Is(err, libcontainer.ErrNoConsole) && errors.As(err, &failure) {
		failure.Hint = "none of standard input, output and error is a terminal, and there is no /dev/tty"
	}
	return err
}

// keepConsole keeps the terminal of a process that does not run yet.
func (f *foreground) keepConsole(master *os.File) error {
	f.master = master
	return nil
}

// relayConsole connects a terminal with the caller's at once.
func (f *foreground) relayConsole(master *os.File) (err error) {
	runtime.GOMAXPROCS(busyProcs)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.relay, err = console.NewRelay(master, f.std.in, f.std.out)
	return err
}

// busyProcs is enough for both directions of a terminal, the signals, and the wait for the
// program (see main), so that no key waits for another.
const busyProcs = 4

// relayKept connects the terminal that was kept, if there is one.
func (f *foreground) relayKept() error {
	if f.master == nil {
		return nil
	}
	master := f.master
	f.master = nil
	return f.relayConsole(master)
}

// resize gives the process's terminal the size of the caller's.
func (f *foreground) resize() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.relay != nil {
		// The loss of a terminal ends the process, so an error needs no action.
		_ = f.relay.Resize()
	}
}

// wait waits until the process has ended and all its output is written. It restores the
// caller's terminal and returns the exit status.
func (f *foreground) wait(ctx context.Context, p process) (int, error) {
	f.runs(p)
	status, err := p.Wait(ctx)
	if f.relay != nil {
		err = errors.Join(err, unread(f.relay.Drain(ctx)))
	}
	return status, errors.Join(err, f.disconnect())
}

// unread returns nil if output is lost because nobody reads it: the next program of a pipe has
// ended, or the terminal has hung up. The status of the process counts then.
func unread(err error) error {
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EIO) {
		return nil
	}
	return err
}

// runs makes signals go to the process, and passes the early ones on.
func (f *foreground) runs(p process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = p
	for _, sig := range f.early {
		_ = p.Signal(sig)
	}
}

// over records that the process has ended. It returns the context of the remaining work:
// from here on, signals that ask a program to end are for onggi and cancel it.
func (f *foreground) over(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancel(nil)
	f.target, f.cancel = nil, cancel
	return ctx
}

// disconnect restores the caller's terminal.
func (f *foreground) disconnect() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	relay := f.relay
	f.relay = nil
	if relay == nil {
		return nil
	}
	return relay.Close()
}

// close releases everything of a process that has not come to run. Signals stay caught: from
// here on they could only keep a container from being deleted.
func (f *foreground) close() {
	f.cancel(nil)
	if f.master != nil {
		f.master.Close()
	}
	// The caller gets the error that kept the process from running.
	_ = f.disconnect()
}

// interruptible returns a context that ends with the signals that ask a program to end, so
// that onggi can undo its work. A signal that was ignored at the start of onggi stays
// ignored: shell scripts do that for background processes. The other signals stay caught,
// so interruptible is for the last work of a command.
func interruptible(parent context.Context) (context.Context, error) {
	signals, err := console.CatchEnd()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(parent)
	go signals.Forward(parent, console.Handlers{Send: func(sig unix.Signal) { cancel(interrupted(sig)) }})
	return ctx, nil
}

// whole runs do so that a signal that asks onggi to end does not leave it half done.
func whole(parent context.Context, do func(context.Context) error) error {
	ctx, err := interruptible(parent)
	if err != nil {
		return err
	}
	return because(ctx, do(ctx))
}

// interrupted returns the error of work that a signal has ended.
func interrupted(sig unix.Signal) error {
	return fmt.Errorf("interrupted by %s", unix.SignalName(sig))
}

// because puts the reason for the end of ctx in front of err.
func because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

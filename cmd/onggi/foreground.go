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

// A foreground connects the caller of run or exec with the process that they
// wait for: signals and the terminal.
type foreground struct {
	std     stdio
	signals *console.Signals
	caught  chan error              // of catching them all, once
	cancel  context.CancelCauseFunc // of what is being done before the process runs

	master *os.File       // the process's terminal, until it is relayed
	relay  *console.Relay // nil without a terminal

	mu     sync.Mutex
	target process       // nil until it runs
	early  []unix.Signal // came before that
	child  func()        // for children that have ended, nil: nobody wants to know
}

// process is what a foreground waits for.
type process interface {
	Signal(unix.Signal) error
	Wait(context.Context) (int, error)
}

// newForeground catches the signals from here on. The context is cancelled by
// those that ask a program to end, as long as there is no process yet that they
// can be passed on to.
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

// forward catches the signals that are rarely sent while others set the
// container up, and then passes all of them on.
func (f *foreground) forward(ctx context.Context) {
	f.caught <- f.signals.CatchAll()
	f.signals.Forward(ctx, console.Handlers{Send: f.signal, Resize: f.resize, Child: f.childEnded})
}

// ready waits until all signals are caught: from when the program runs on,
// none is lost.
func (f *foreground) ready() error { return <-f.caught }

// watchChildren has ended called when children have ended.
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
	// The process may have ended just now; then there is nothing to tell it.
	_ = f.target.Signal(sig)
}

// endsProgram says whether people and service managers send this signal to
// make a program end.
func endsProgram(sig unix.Signal) bool {
	switch sig {
	case unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT:
		return true
	}
	return false
}

// console is take where there is a terminal to connect another one with, else
// nil. As runc does it, one of the standard streams is enough, or the terminal
// that controls us: what is typed then comes from standard input all the same.
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

// noTerminal explains why nobody takes the process's terminal, if that is err.
func noTerminal(err error) error {
	var failure *libcontainer.Failure
	if errors.Is(err, libcontainer.ErrNoConsole) && errors.As(err, &failure) {
		failure.Hint = "none of standard input, output and error is a terminal, and there is no /dev/tty"
	}
	return err
}

// keepConsole takes the terminal of a process that does not run yet.
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

// busyProcs is for both directions of a terminal, the signals, and the wait for
// the program (see main): no key waits for another.
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
		// A terminal that is gone ends the process; there is no more to do.
		_ = f.relay.Resize()
	}
}

// wait stays with the process until it has ended and all that it printed is
// out, gives the caller's terminal back, and returns the exit status.
func (f *foreground) wait(ctx context.Context, p process) (int, error) {
	f.runs(p)
	status, err := p.Wait(ctx)
	if f.relay != nil {
		err = errors.Join(err, f.relay.Drain(ctx))
	}
	return status, errors.Join(err, f.disconnect())
}

// runs says that signals can be passed on, and does so with the early ones.
func (f *foreground) runs(p process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = p
	for _, sig := range f.early {
		_ = p.Signal(sig)
	}
}

// over says that the process has ended, and gives the context of what is left to
// do: the signals that ask a program to end are for us from here on.
func (f *foreground) over(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancel(nil)
	f.target, f.cancel = nil, cancel
	return ctx
}

// disconnect gives the caller's terminal back.
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

// close undoes what a process that did not come to run has left. Signals stay
// caught: from here on they could only keep a container from being deleted.
func (f *foreground) close() {
	f.cancel(nil)
	if f.master != nil {
		f.master.Close()
	}
	// What kept the process from running is what the caller is told.
	_ = f.disconnect()
}

// interruptible is a context that ends with the signals that ask a program to
// end, so that what was begun is undone. One that was ignored when we were
// started, as scripts do for what runs in the background, stays ignored. The
// others stay caught: it is for what a command does last.
func interruptible(parent context.Context) (context.Context, error) {
	signals, err := console.CatchEnd()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(parent)
	go signals.Forward(parent, console.Handlers{Send: func(sig unix.Signal) { cancel(interrupted(sig)) }})
	return ctx, nil
}

// whole does what must not be left half done by a signal that asks us to end.
func whole(parent context.Context, do func(context.Context) error) error {
	ctx, err := interruptible(parent)
	if err != nil {
		return err
	}
	return because(ctx, do(ctx))
}

// interrupted is why something was not done after all.
func interrupted(sig unix.Signal) error {
	return fmt.Errorf("interrupted by %s", unix.SignalName(sig))
}

// because puts the reason why ctx ended in front of what that led to.
func because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

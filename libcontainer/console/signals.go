package console

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/sigaction"
)

// Signals holds the signals that this process has received since Catch.
type Signals struct{ pipe *sigaction.Pipe }

// Catch catches the signals that people and programs send to each other. They lose
// their usual effect on this process and wait for Forward. A signal that was ignored
// at the start of this process (nohup) stays ignored.
//
// Package os/signal no longer sees these signals. Only one Catch may be active at a
// time; a second one returns EBUSY.
func Catch() (*Signals, error) {
	return catch([]unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT, unix.SIGWINCH})
}

// CatchAll also catches all other signals, except those that concern this process
// itself. These are SIGPIPE, SIGURG (which the Go runtime sends to its threads) and
// those of job control, which a terminal sends to the job of this process. SIGCHLD
// is left to CatchChildren. CatchAll makes one system call for each signal.
func (s *Signals) CatchAll() error { return s.pipe.Catch(passedOn()...) }

// CatchEnd catches only the signals that ask a program to end, SIGINT and SIGTERM.
func CatchEnd() (*Signals, error) { return catch([]unix.Signal{unix.SIGINT, unix.SIGTERM}) }

func catch(list []unix.Signal) (*Signals, error) {
	pipe, err := sigaction.Open()
	if err != nil {
		return nil, err
	}
	if err := pipe.Catch(list...); err != nil {
		pipe.Close()
		return nil, err
	}
	return &Signals{pipe}, nil
}

// passedOn returns the signals that CatchAll catches.
func passedOn() []unix.Signal {
	// NSIG-1; 32 and 33 are internal to glibc and mean nothing to other processes.
	const last, firstLibc, lastLibc = 64, 32, 33
	list := make([]unix.Signal, 0, last)
	for sig := unix.Signal(1); sig <= last; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		default:
			if sig < firstLibc || sig > lastLibc {
				list = append(list, sig)
			}
		}
	}
	return list
}

// CatchChildren also catches SIGCHLD from now on.
func (s *Signals) CatchChildren() error { return s.pipe.Catch(unix.SIGCHLD) }

// Handlers are the functions that Forward calls, one at a time.
type Handlers struct {
	Send   func(unix.Signal)
	Resize func() // called for SIGWINCH; nil: SIGWINCH goes to Send
	Child  func() // called for SIGCHLD; nil: SIGCHLD goes to Send
}

// Forward calls the handlers for each signal, in order, until ctx is done.
func (s *Signals) Forward(ctx context.Context, h Handlers) {
	defer context.AfterFunc(ctx, s.pipe.Wake)()
	for sig := s.pipe.Next(); sig != 0; sig = s.pipe.Next() {
		h.deliver(sig)
	}
}

func (h Handlers) deliver(sig unix.Signal) {
	switch {
	case sig == unix.SIGWINCH && h.Resize != nil:
		h.Resize()
	case sig == unix.SIGCHLD && h.Child != nil:
		h.Child()
	default:
		h.Send(sig)
	}
}

// Stop restores the effect of the signals. Call it after Forward has returned.
func (s *Signals) Stop() { s.pipe.Close() }

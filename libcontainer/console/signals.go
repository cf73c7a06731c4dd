package console

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/caught"
)

// Signals are those that this process got since Catch.
type Signals struct{ pipe *caught.Pipe }

// Catch keeps the signals that people and programs send to each other from
// having their usual effect on this process; they wait for Forward. What was
// ignored when this process was started (nohup) stays ignored.
//
// Package os/signal does not see them any more. There is one Catch at a time;
// the error of a second is EBUSY.
func Catch() (*Signals, error) {
	return catch([]unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT, unix.SIGWINCH})
}

// CatchAll is Catch for all other signals too, but for those that are about
// this process itself: SIGPIPE, SIGURG (which the Go runtime sends to its
// threads), and those of job control, which a terminal sends to the job that we
// are. It takes a system call for each.
func (s *Signals) CatchAll() error { return s.pipe.Catch(passedOn()...) }

// CatchEnd is Catch for those signals alone that ask a program to end, SIGINT
// and SIGTERM.
func CatchEnd() (*Signals, error) { return catch([]unix.Signal{unix.SIGINT, unix.SIGTERM}) }

func catch(list []unix.Signal) (*Signals, error) {
	pipe, err := caught.Open()
	if err != nil {
		return nil, err
	}
	if err := pipe.Catch(list...); err != nil {
		pipe.Close()
		return nil, err
	}
	return &Signals{pipe}, nil
}

// passedOn lists what CatchAll catches.
func passedOn() []unix.Signal {
	// NSIG-1; 32 and 33 are glibc's own, and mean nothing to others.
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

// CatchChildren is for SIGCHLD as well, from now on.
func (s *Signals) CatchChildren() error { return s.pipe.Catch(unix.SIGCHLD) }

// Handlers are what Forward calls, one after the other.
type Handlers struct {
	Send   func(unix.Signal)
	Resize func() // in the place of SIGWINCH; nil: that is sent like others
	Child  func() // in the place of SIGCHLD
}

// Forward calls the handlers for each signal, in order, until ctx is over or
// Stop is called.
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

// Stop gives the signals their effect back. Forward has to have returned.
func (s *Signals) Stop() { s.pipe.Close() }

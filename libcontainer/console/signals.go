package console

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Signals are those that this process got since Catch.
type Signals struct{ ch chan os.Signal }

// maxSignals may arrive before Forward: more than there are different ones.
const maxSignals = 128

// Catch keeps the signals that people and programs send to each other from
// having their usual effect on this process; they wait for Forward. What was
// ignored when this process was started (nohup) stays ignored.
func Catch() *Signals {
	s := &Signals{ch: make(chan os.Signal, maxSignals)}
	signal.Notify(s.ch, notIgnored(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT, unix.SIGWINCH)...)
	return s
}

// CatchAll is Catch for all other signals too, but for those that are about
// this process itself: SIGCHLD, SIGPIPE, SIGURG (which the Go runtime sends to
// its threads), and those of job control, which a terminal sends to the job
// that we are. It takes Go about a millisecond, a thread's turn for each
// signal, and so is for when nothing else is urgent.
func (s *Signals) CatchAll() { signal.Notify(s.ch, notIgnored(passedOn()...)...) }

// passedOn lists what CatchAll catches.
func passedOn() []unix.Signal {
	// NSIG-1; 32 and 33 are glibc's own, and mean nothing to others.
	const last, firstLibc, lastLibc = 64, 32, 33
	var list []unix.Signal
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

func notIgnored(list ...unix.Signal) []os.Signal {
	var out []os.Signal
	for _, sig := range list {
		if !signal.Ignored(sig) {
			out = append(out, sig)
		}
	}
	return out
}

// Forward calls send for each signal, in order, and resize in the place of
// SIGWINCH if it is not nil, until ctx is over or Stop is called.
func (s *Signals) Forward(ctx context.Context, send func(unix.Signal), resize func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig, ok := <-s.ch:
			if !ok {
				return
			}
			deliver(sig.(unix.Signal), send, resize)
		}
	}
}

func deliver(sig unix.Signal, send func(unix.Signal), resize func()) {
	if sig == unix.SIGWINCH && resize != nil {
		resize()
		return
	}
	send(sig)
}

// Stop gives the signals their effect back.
func (s *Signals) Stop() {
	signal.Stop(s.ch)
	close(s.ch)
}

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

// Catch keeps every signal from having its usual effect on this process, but
// for those that are about the process itself: SIGCHLD, SIGPIPE, SIGURG
// (which the Go runtime sends to its threads) and what it was started with as
// ignored (nohup). They wait for Forward.
func Catch() *Signals {
	s := &Signals{ch: make(chan os.Signal, maxSignals)}
	signal.Notify(s.ch, caught()...)
	return s
}

func caught() []os.Signal {
	// NSIG-1; 32 and 33 are glibc's own, and mean nothing to others.
	const last, firstLibc, lastLibc = 64, 32, 33
	var all []os.Signal
	for sig := unix.Signal(1); sig <= last; sig++ {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG:
			continue
		}
		if sig >= firstLibc && sig <= lastLibc || signal.Ignored(sig) {
			continue
		}
		all = append(all, sig)
	}
	return all
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

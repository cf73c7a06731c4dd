package proc

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Poll is poll(2) without a timeout. It returns when one of fds is ready, with
// Revents filled in, or with the error of ctx. It reports a ready descriptor even
// if ctx has ended already.
func Poll(ctx context.Context, fds []unix.PollFd) error { return PollFor(ctx, -1, fds) }

// PollFor is Poll with a time limit: context.DeadlineExceeded after d, no limit
// if d is negative. A context with a deadline would start Go's poller for its
// timer.
func PollFor(ctx context.Context, d time.Duration, fds []unix.PollFd) error {
	if n, err := poll(fds, 0); n > 0 || err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if ctx.Done() == nil {
		return pollFor(fds, d)
	}
	return pollOrDone(ctx, d, fds)
}

// pollOrDone also polls an eventfd, which becomes readable at the end of ctx. No
// other means interrupts a thread in poll.
func pollOrDone(ctx context.Context, d time.Duration, fds []unix.PollFd) error {
	efd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	defer unix.Close(efd)
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		unix.Write(efd, binary.NativeEndian.AppendUint64(nil, 1))
	})
	defer func() {
		if !stop() {
			<-told // the descriptor must outlive the write to it
		}
	}()
	all := append(append(make([]unix.PollFd, 0, len(fds)+1), fds...), unix.PollFd{Fd: int32(efd), Events: unix.POLLIN})
	if err := pollFor(all, d); err != nil {
		return err
	}
	if ready := copyRevents(fds, all); !ready {
		return context.Cause(ctx)
	}
	return nil
}

func copyRevents(fds, from []unix.PollFd) (ready bool) {
	for i := range fds {
		fds[i].Revents = from[i].Revents
		ready = ready || from[i].Revents != 0
	}
	return ready
}

func pollFor(fds []unix.PollFd, d time.Duration) error {
	if d < 0 {
		_, err := poll(fds, -1)
		return err
	}
	n, err := poll(fds, d)
	if err == nil && n == 0 {
		err = context.DeadlineExceeded
	}
	return err
}

// poll goes on with the remaining time after a signal.
func poll(fds []unix.PollFd, d time.Duration) (int, error) {
	began := time.Now()
	for timeout := d; ; timeout = max(0, d-time.Since(began)) {
		ms := -1
		if d >= 0 {
			ms = int(timeout.Milliseconds())
		}
		n, err := unix.Poll(fds, ms)
		if err == nil {
			return n, nil
		}
		if err != unix.EINTR {
			return 0, fmt.Errorf("poll: %w", err)
		}
	}
}

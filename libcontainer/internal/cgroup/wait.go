package cgroup

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// poll waits until one of fds is ready or ctx ends. It uses poll(2) because cgroupfs
// announces changes as POLLPRI, which Go's own poller does not request.
func poll(ctx context.Context, fds ...unix.PollFd) error { return pollAtMost(ctx, -1, fds...) }

// pollAtMost is like poll, but returns nil after ms milliseconds. -1 is no timeout.
func pollAtMost(ctx context.Context, ms int, fds ...unix.PollFd) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Done() == nil {
		return pollFor(fds, ms)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return &FileError{Op: "eventfd", Path: "for a wait", Err: err}
	}
	// The end of ctx is written to a descriptor that is polled with the others. The
	// descriptor is closed after that write, or after it can no longer happen.
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		close(stopped)
	})
	err = pollFor(append(fds, unix.PollFd{Fd: int32(wake), Events: unix.POLLIN}), ms)
	if !stop() {
		<-stopped
	}
	unix.Close(wake)
	if err != nil {
		return err
	}
	return ctx.Err()
}

// pollFor calls poll(2) with a timeout in milliseconds (-1: none), and again after
// EINTR.
func pollFor(fds []unix.PollFd, ms int) error {
	for {
		_, err := unix.Poll(fds, ms)
		if err != unix.EINTR {
			return err
		}
	}
}

// pause waits for d or the end of ctx. It is for changes that the kernel does not
// announce.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// notify is a cgroupfs file that announces its changes (cgroup.events,
// memory.events).
type notify struct {
	fd   int
	path string
}

func (g group) notify(file string) (notify, error) {
	fd, err := openat(g.fd, file, unix.O_RDONLY)
	if err != nil {
		return notify{}, &FileError{Op: "open", Path: g.join(file), Err: err}
	}
	return notify{fd, g.join(file)}, nil
}

func (n notify) close() { unix.Close(n.fd) }

func (n notify) pollFd() unix.PollFd { return unix.PollFd{Fd: int32(n.fd), Events: unix.POLLPRI} }

// read returns the file's present text. A change after this read wakes the next poll.
func (n notify) read() (string, error) {
	if _, err := unix.Seek(n.fd, 0, 0); err != nil {
		return "", &FileError{Op: "seek", Path: n.path, Err: err}
	}
	s, err := readAll(n.fd)
	if err != nil {
		return "", &FileError{Op: "read", Path: n.path, Err: err}
	}
	return s, nil
}

// unannounced is the number of milliseconds after which await looks again without an
// announcement. The kernel announces changes at most every 10 ms and delays the last
// one (cgroup_file_notify). If another process, such as systemd, removes the cgroup
// during the delay, the kernel announces neither the change nor the removal.
const unannounced = 50

// await polls file of g until key has the value want. If the cgroup is removed, it
// returns the error of the read.
func (g group) await(ctx context.Context, file, key string, want uint64) error {
	n, err := g.notify(file)
	if err != nil {
		return err
	}
	defer n.close()
	for {
		text, err := n.read()
		if err != nil {
			return err
		}
		if flatKeyed(text)[key] == want {
			return nil
		}
		if err := pollAtMost(ctx, unannounced, n.pollFd()); err != nil {
			return err
		}
	}
}

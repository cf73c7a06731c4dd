package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// What a Container holds, for all who call its methods at once.

// calls counts who is in a method, so that what the methods use is closed behind
// the last of them: the number of a closed descriptor is another file's at once.
type calls struct {
	mu   sync.Mutex
	n    int
	over error // why there are no more: after Close, or Delete
}

// enter begins a call of a method, which ends with leave.
func (c *Container) enter() error {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	if c.calls.over != nil {
		return fmt.Errorf("container %s: %w", c.record.ID, c.calls.over)
	}
	c.calls.n++
	return nil
}

func (c *Container) leave() {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	c.calls.n--
	c.letGo()
}

// finish lets go once nobody is in a method any more.
func (c *Container) finish(why error) {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	if c.calls.over == nil {
		c.calls.over = why
	}
	c.letGo()
}

// letGo closes what there is, when it is time; after that, nothing is opened.
func (c *Container) letGo() {
	if c.calls.over == nil || c.calls.n > 0 {
		return
	}
	c.first.close()
	c.notify.close()
	c.dir.Close()
}

// handle is a process as this one knows it.
type handle struct {
	mu     sync.Mutex
	pidfd  *os.File // nil until it is needed, where this process has not started it
	known  bool     // its exit status is, which the kernel tells once
	status int
}

// isKnown tells whether the process has ended, and been collected here.
func (h *handle) isKnown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known
}

// toWait is what to wait with, nil where the status is known already.
func (h *handle) toWait(id proc.Identity) (*os.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known {
		return nil, nil
	}
	if h.pidfd == nil {
		var err error
		if h.pidfd, err = id.Open(); err != nil {
			return nil, err
		}
	}
	return h.pidfd, nil
}

// reap takes the status of a process that has ended, most likely a child.
func (h *handle) reap(ctx context.Context, pid int) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known {
		return h.status, nil
	}
	status, err := proc.Reap(ctx, h.pidfd)
	if errors.Is(err, proc.ErrNoStatus) { // of another's child the kernel may tell while it is a zombie
		if of, ok := proc.ExitStatus(pid, h.pidfd); ok {
			status, err = of, nil
		}
	}
	if err == nil {
		h.status, h.known = status, true
	}
	return status, err
}

// open gives a pidfd of the caller's. It needs no proof that the process is the
// one where this process has held a pidfd all the time.
func (h *handle) open(id proc.Identity) (*os.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pidfd == nil {
		return id.Open()
	}
	fd, err := unix.FcntlInt(h.pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
	}
	return os.NewFile(uintptr(fd), h.pidfd.Name()), nil
}

// collect is reap for who does not want to know, of a process that was started
// here, or waited for: most likely our child, and nobody else's to collect.
func (h *handle) collect(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pidfd == nil || h.known {
		return
	}
	status, err := proc.Reap(ctx, h.pidfd)
	h.status, h.known = status, err == nil
}

func (h *handle) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pidfd.Close() // again, perhaps, or of nil: then it does nothing
}

// configuration is config.json as it was at create, once it was needed. Nobody
// changes it.
type configuration struct {
	mu     sync.Mutex
	config *specconv.Config
}

// read gives the configuration as far as this package uses it.
func (s *configuration) read(dir *state.Dir) (*specconv.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config != nil {
		return s.config, nil
	}
	raw, err := dir.Config()
	if err != nil {
		return nil, err
	}
	config, err := specconv.Reparse(snapshotName, raw)
	if err == nil {
		s.config = config
	}
	return config, err
}

// readiness is the socket on which the container says that it is ready, from
// Start on.
type readiness struct {
	mu     sync.Mutex
	socket *os.File
}

// take gives the socket away, nil if there is none.
func (r *readiness) take() *os.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	socket := r.socket
	r.socket = nil
	return socket
}

func (r *readiness) isThere() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.socket != nil
}

func (r *readiness) listen(dir *state.Dir) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.socket == nil {
		r.socket, err = dir.ListenNotify()
	}
	return err
}

func (r *readiness) close() { r.take().Close() }

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

// This file has the parts of a Container that all concurrent callers of its methods share.

// calls counts the methods in progress. The last one closes the descriptors that the
// methods use: the number of a closed descriptor belongs to another file at once.
type calls struct {
	mu   sync.Mutex
	n    int
	over error // error of all further calls; set by Close and Delete
}

// acquire counts a call of a method until release. It fails after Close and Delete.
func (c *Container) acquire() error {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	if c.calls.over != nil {
		return fmt.Errorf("container %s: %w", c.record.ID, c.calls.over)
	}
	c.calls.n++
	return nil
}

func (c *Container) release() {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	c.calls.n--
	c.letGo()
}

// finish makes all further calls fail with why. The descriptors are closed when no
// method is in progress any more.
func (c *Container) finish(why error) {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	if c.calls.over == nil {
		c.calls.over = why
	}
	c.letGo()
}

// letGo closes the descriptors if finish was called and no method is in progress.
// Nothing is opened after that.
func (c *Container) letGo() {
	if c.calls.over == nil || c.calls.n > 0 {
		return
	}
	c.first.close()
	c.notify.close()
	c.dir.Close()
}

// handle is this program's knowledge of one process.
type handle struct {
	mu     sync.Mutex
	pidfd  *os.File // nil until needed, unless this program has started the process
	known  bool     // status is valid; the kernel tells it only once
	status int
}

// isKnown reports whether the process has ended and its exit status is known here.
func (h *handle) isKnown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known
}

// toWait returns the pidfd to wait on, or nil if the exit status is known already. The
// handle keeps the ownership of the pidfd.
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

// reap takes the exit status of a process that has ended. Most likely it is a child.
func (h *handle) reap(ctx context.Context, pid int) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known {
		return h.status, nil
	}
	status, err := proc.Reap(ctx, h.pidfd)
	if errors.Is(err, proc.ErrNoStatus) { // not our child, but the kernel may know
		if of, ok := proc.ExitStatus(pid, h.pidfd); ok {
			status, err = of, nil
		}
	}
	if err == nil {
		h.status, h.known = status, true
	}
	return status, err
}

// open returns a pidfd that belongs to the caller. A pidfd that this program has held
// all the time needs no check that it is the right process.
func (h *handle) open(id proc.Identity) (*os.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pidfd == nil {
		return id.Open()
	}
	return duplicate(h.pidfd)
}

// duplicate returns a duplicate of the pidfd, which the handle has.
func (h *handle) duplicate() (*os.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return duplicate(h.pidfd)
}

func duplicate(file *os.File) (*os.File, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	closed := conn.Control(func(from uintptr) { fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 3) })
	if closed != nil {
		return nil, os.ErrClosed
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

// collect reaps like reap, without a result. It reaps only a process that this program
// has started or waited for. Such a process is most likely our child, which nobody else
// collects.
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
	h.pidfd.Close() // no effect on nil or a closed file
}

// configuration is config.json as it was at create, read when it is first needed.
// Nobody changes it.
type configuration struct {
	mu     sync.Mutex
	config *specconv.Config
}

// read returns the configuration, as far as this package uses it.
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
	if err != nil {
		return nil, err
	}
	specconv.KeepMountsPrivate(config.Spec)
	s.config = config
	return config, nil
}

// readiness is the socket on which the container says that it is ready. It exists from
// Start on.
type readiness struct {
	mu     sync.Mutex
	socket *os.File
}

// take returns the socket, which then belongs to the caller, or nil if there is none.
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

package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

const (
	startFIFO  = "start"
	statusFIFO = "status"
)

// ErrNotCreated: the container has been started, or was never made ready.
var ErrNotCreated = errors.New("container is not waiting to be started")

// Gate is the container's side of the two FIFOs, for handing over to the first
// process: it reads one byte from Start, and writes the errno of a failed
// execve to Status as four bytes of the machine's order. Both are read-write,
// so that neither opening nor writing ever waits for a peer or meets SIGPIPE,
// and close-on-exec, so that a successful execve is the end of the file.
type Gate struct{ Start, Status *os.File }

// Close lets go of the runtime's copies. Start could not tell a dead first
// process from a live one while they are open.
func (g *Gate) Close() error { return errors.Join(g.Start.Close(), g.Status.Close()) }

// MakeGate makes the FIFOs and opens them for the container's side.
func (d *Dir) MakeGate() (*Gate, error) {
	start, err := d.makeFIFO(startFIFO)
	if err != nil {
		return nil, err
	}
	status, err := d.makeFIFO(statusFIFO)
	if err != nil {
		start.Close()
		return nil, err
	}
	return &Gate{Start: start, Status: status}, nil
}

func (d *Dir) makeFIFO(name string) (*os.File, error) {
	if err := unix.Mkfifoat(d.fd, name, 0o600); err != nil {
		return nil, d.fail("mkfifo", name, err)
	}
	fd, err := openRetry(d.fd, name, unix.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Gated tells whether the first process waits at the gate. It asks the FIFO:
// one that nobody has open for reading was passed by a start that was killed
// before it could remove it, or its process is dead.
func (d *Dir) Gated() (bool, error) {
	fd, err := d.openFIFO(startFIFO, unix.O_WRONLY)
	switch err {
	case nil:
		return true, unix.Close(fd)
	case unix.ENOENT, unix.ENXIO:
		return false, nil
	}
	return false, d.fail("open", startFIFO, err)
}

// openFIFO never waits, whatever has been put there.
func (d *Dir) openFIFO(name string, flags int) (int, error) {
	fd, err := openRetry(d.fd, name, flags|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(fd)
		return -1, errors.Join(err, errors.New("not a FIFO"))
	}
	return fd, nil
}

// OpenGate lets the first process go, once: ErrNotCreated where it has gone
// before, proc.ErrGone where it is dead. What it gives is for asking how the
// execve went. It never waits but for the lock.
func (d *Dir) OpenGate(ctx context.Context) (*Passage, error) {
	var p *Passage
	err := d.locked(ctx, func() (err error) {
		p, err = d.openGate()
		return err
	})
	return p, err
}

func (d *Dir) openGate() (*Passage, error) {
	// The reading end comes first: what is written from now on has a reader.
	status, err := d.openFIFO(statusFIFO, unix.O_RDONLY)
	if err != nil {
		return nil, d.gateError(statusFIFO, err)
	}
	p := &Passage{status: status}
	if err := d.release(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (d *Dir) release() error {
	fd, err := d.openFIFO(startFIFO, unix.O_WRONLY)
	if err != nil {
		return d.gateError(startFIFO, err)
	}
	defer unix.Close(fd)
	if err := writeAll(fd, []byte{0}); err != nil {
		return d.gateError(startFIFO, err)
	}
	return errors.Join(unlink(d.fd, startFIFO, 0), unlink(d.fd, statusFIFO, 0))
}

func (d *Dir) gateError(name string, err error) error {
	switch err {
	case unix.ENOENT:
		return fmt.Errorf("%w: %q", ErrNotCreated, d.id)
	case unix.ENXIO, unix.EPIPE:
		return fmt.Errorf("container %q died before it was started: %w", d.id, proc.ErrGone)
	}
	return d.fail("open", name, err)
}

// Passage is the runtime's side of a gate that has been opened.
type Passage struct{ status int }

// Close stops listening; the container is not affected.
func (p *Passage) Close() error { return unix.Close(p.status) }

// Wait tells how the execve went: errno 0 when it succeeded, or when the
// process died before it; the pidfd then tells which. It is bounded by ctx
// and the time.
func (p *Passage) Wait(ctx context.Context, d time.Duration) (unix.Errno, error) {
	if err := proc.PollFor(ctx, d, []unix.PollFd{{Fd: int32(p.status), Events: unix.POLLIN}}); err != nil {
		return 0, err
	}
	var buf [4]byte
	n, err := unix.Read(p.status, buf[:])
	for err == unix.EINTR {
		n, err = unix.Read(p.status, buf[:])
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("read status of execve: %w", err)
	case n == 0:
		return 0, nil
	case n != len(buf):
		return 0, fmt.Errorf("read status of execve: %d bytes; want 4", n)
	}
	return unix.Errno(binary.NativeEndian.Uint32(buf[:])), nil
}

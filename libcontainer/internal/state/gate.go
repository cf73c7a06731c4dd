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

// ErrNotCreated means that the container has been started, or was never made ready.
var ErrNotCreated = errors.New("container is not waiting to be started")

// Gate is the container side of the two FIFOs, which the runtime hands over to the
// first process. That process reads one byte from Start. If execve fails, it writes the
// errno to Status: four bytes in the machine's order. Both are open for reading and
// writing, so neither an open nor a write waits for a peer or gets SIGPIPE. Both are
// close-on-exec, so a successful execve closes Status and its reader gets the end of the
// file.
type Gate struct{ Start, Status *os.File }

// Close closes the runtime's copies. While they are open, Start has a reader even if the
// first process is dead.
func (g *Gate) Close() error { return errors.Join(g.Start.Close(), g.Status.Close()) }

// MakeGate makes the FIFOs and opens them for the container side.
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

// Gated reports whether the first process waits at the gate. The FIFO tells: if nobody has
// it open for reading, the first process is dead, or a start opened the gate and was
// killed before it could remove the FIFO.
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

// openFIFO opens a FIFO without waiting, whatever file is in its place.
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

// OpenGate lets the first process go, once. The error is ErrNotCreated if it was let go
// before, and proc.ErrGone if it is dead. The Passage tells the result of the execve.
// OpenGate waits only for the lock.
func (d *Dir) OpenGate(ctx context.Context) (*Passage, error) {
	var p *Passage
	err := d.locked(ctx, func() (err error) {
		p, err = d.openGate()
		return err
	})
	return p, err
}

func (d *Dir) openGate() (*Passage, error) {
	// The reading end is opened first, so that everything written later has a reader.
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

// Passage is the runtime side of a gate that has been opened.
type Passage struct{ status int }

// Close closes the status FIFO. The container is not affected.
func (p *Passage) Close() error { return unix.Close(p.status) }

// Wait returns the result of the execve: its errno, or 0. It also returns 0 if the process
// has died before the execve; its pidfd tells the difference. ctx and d bound the wait.
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

package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Relay connects the caller's input and output with the pty of a container.
type Relay struct {
	master, in, out *os.File
	saved           *unix.Termios // of in; nil where that is no terminal, and once it is restored

	ended  *event // the container has: drain and stop
	closed *event // stop at once

	drained  chan struct{} // closed at the end of the output
	writeErr error         // why it ended early; read it after drained
	released chan struct{} // closed when the descriptors are

	closeOnce sync.Once
	closeErr  error
}

// NewRelay takes over master. If in is a terminal it is in raw mode from here
// to Close, and the container's terminal gets its size.
func NewRelay(master, in, out *os.File) (*Relay, error) {
	r := &Relay{master: master, in: in, out: out, drained: make(chan struct{}), released: make(chan struct{})}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.restore(), r.release())
	}
	r.start()
	return r, nil
}

func (r *Relay) open() (err error) {
	if r.ended, err = newEvent(); err != nil {
		return err
	}
	if r.closed, err = newEvent(); err != nil {
		return err
	}
	// Only the relay uses this open file description.
	if err := unix.SetNonblock(fdOf(r.master), true); err != nil {
		return fmt.Errorf("fcntl(pty, O_NONBLOCK): %w", err)
	}
	if err := keepNewlines(fdOf(r.master)); err != nil {
		return err
	}
	if r.saved, err = makeRaw(fdOf(r.in)); err != nil {
		return err
	}
	return r.Resize()
}

// start starts the pumps. The last one to end closes the descriptors.
func (r *Relay) start() {
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		r.copyInput()
	}()
	go func() {
		r.writeErr = r.copyOutput()
		close(r.drained)
		<-fed
		_ = wait([]unix.PollFd{in(r.closed.fd)}) // released it is in any case
		_ = r.release()
		close(r.released)
	}()
}

// Resize gives the container's terminal the size of the caller's, and its
// foreground processes a SIGWINCH if that is another. Where neither input nor
// output is a terminal with a size it does nothing: a size of 0x0 is none, and
// process.consoleSize holds.
func (r *Relay) Resize() error {
	size := sizeOf(r.in)
	if size == nil {
		size = sizeOf(r.out)
	}
	if size == nil {
		return nil
	}
	if err := unix.IoctlSetWinsize(fdOf(r.master), unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("ioctl(pty, TIOCSWINSZ): %w", err)
	}
	return nil
}

// sizeOf is the size of a terminal, nil where there is none.
func sizeOf(f *os.File) *unix.Winsize {
	size, err := unix.IoctlGetWinsize(fdOf(f), unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 && size.Col == 0 {
		return nil
	}
	return size
}

// Drain is called when the container's process has ended: it returns when what
// that has printed is written out. Processes that live on and have the
// terminal open are not waited for.
func (r *Relay) Drain(ctx context.Context) error {
	if err := r.ended.set(); err != nil {
		return err
	}
	select {
	case <-r.drained:
		return r.writeErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close restores the caller's terminal and hangs up the container's. It is for
// every path; the second call does nothing. It does not wait for a pump that is
// held up in writing to a terminal, which Ctrl-S can do.
func (r *Relay) Close() error {
	r.closeOnce.Do(func() { r.closeErr = errors.Join(r.restore(), r.closed.set()) })
	return r.closeErr
}

// keepNewlines has the container's terminal pass "\n" on as it is. The caller's
// terminal turns it into "\r\n"; a file or a pipe in its place gets "\n" alone.
func keepNewlines(master int) error {
	modes, err := unix.IoctlGetTermios(master, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("ioctl(pty, TCGETS): %w", err)
	}
	modes.Oflag &^= unix.ONLCR
	if err := unix.IoctlSetTermios(master, unix.TCSETS, modes); err != nil {
		return fmt.Errorf("ioctl(pty, TCSETS): %w", err)
	}
	return nil
}

// makeRaw switches the input of a terminal to raw mode and returns the modes
// before; nil where fd is no terminal. Output processing stays: see
// keepNewlines.
func makeRaw(fd int) (*unix.Termios, error) {
	saved, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, nil
	}
	raw := *saved
	// cfmakeraw of termios(3), but for OPOST.
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag |= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("ioctl(terminal, TCSETS): %w", err)
	}
	return saved, nil
}

func (r *Relay) restore() error {
	if r.saved == nil {
		return nil
	}
	if err := unix.IoctlSetTermios(fdOf(r.in), unix.TCSETS, r.saved); err != nil {
		return fmt.Errorf("restore the terminal: ioctl(TCSETS): %w", err)
	}
	r.saved = nil
	return nil
}

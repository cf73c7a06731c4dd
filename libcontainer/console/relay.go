package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Relay connects the caller's input and output with a container's pty.
type Relay struct {
	master, in, out *os.File
	saved           *unix.Termios // modes of in; nil if in is no terminal, and after the restore

	ended  *event // the container has ended: drain and stop
	closed *event // stop at once

	drained  chan struct{} // closed at the end of the output
	writeErr error         // why output was lost; valid after drained
	released chan struct{} // closed after the descriptors are closed

	closeOnce sync.Once
	closeErr  error
}

// NewRelay takes ownership of master. If in is a terminal, it stays in raw mode
// until Close, and the container's terminal gets its size.
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
	// No other code uses this open file description.
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
		_ = wait([]unix.PollFd{in(r.closed.fd)}) // after an error, release all the same
		_ = r.release()
		close(r.released)
	}()
}

// Resize gives the container's terminal the size of the caller's. If the size
// changes, the kernel sends SIGWINCH to the foreground processes there. Resize does
// nothing if neither input nor output is a terminal with a size. A size of 0x0 does
// not count; process.consoleSize then stays in effect.
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

// sizeOf returns the size of a terminal, or nil.
func sizeOf(f *os.File) *unix.Winsize {
	size, err := unix.IoctlGetWinsize(fdOf(f), unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 && size.Col == 0 {
		return nil
	}
	return size
}

// Drain ends the output after the container's process has ended. It returns when
// all output of that process is written, or the reason why some is lost: EPIPE if the
// reader has gone, EIO if the caller's terminal has hung up. It does not wait for other
// processes that still have the terminal open.
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

// Close restores the caller's terminal and hangs up the container's. Call it on
// every path; the second call does nothing. It does not wait for a pump that blocks
// in a write to a terminal, which Ctrl-S can cause.
func (r *Relay) Close() error {
	r.closeOnce.Do(func() { r.closeErr = errors.Join(r.restore(), r.closed.set()) })
	return r.closeErr
}

// keepNewlines makes the container's terminal pass "\n" on unchanged. The caller's
// terminal converts it to "\r\n". A file or a pipe as the output gets "\n" alone.
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

// makeRaw switches the input of a terminal to raw mode and returns the previous
// modes, or nil if fd is no terminal. Output processing stays on, see keepNewlines.
func makeRaw(fd int) (*unix.Termios, error) {
	saved, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, nil
	}
	raw := *saved
	// As cfmakeraw of termios(3), except for OPOST.
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

// restore sets the modes of the caller's terminal, unless that has hung up (EIO): then
// it is nobody's terminal any more.
func (r *Relay) restore() error {
	if r.saved == nil {
		return nil
	}
	if err := unix.IoctlSetTermios(fdOf(r.in), unix.TCSETS, r.saved); err != nil && err != unix.EIO {
		return fmt.Errorf("restore the terminal: ioctl(TCSETS): %w", err)
	}
	r.saved = nil
	return nil
}

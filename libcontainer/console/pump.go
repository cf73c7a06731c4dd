package console

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// chunk is the size of one copy. The kernel's tty buffers hold that much, and a
// pipe that polls as writable takes it without blocking (PIPE_BUF).
const chunk = 4096

// The caller's descriptors stay in blocking mode: every program that shares the
// terminal would see the flag. So a poll precedes each read and write of them. It
// also waits for the events that end the pump.

// copyOutput copies from the pty until it hangs up, or until it is empty after the
// end of the container. It returns only errors of the caller's output. After such an
// error it still reads: a program whose terminal is full would block for ever.
func (r *Relay) copyOutput() (lost error) {
	buf := make([]byte, chunk)
	for {
		fds := []unix.PollFd{in(fdOf(r.master)), in(r.ended.fd), in(r.closed.fd)}
		if err := wait(fds); err != nil || fds[2].Revents != 0 {
			return errors.Join(lost, err)
		}
		if fds[0].Revents == 0 {
			return lost // ended; poll(2) of a pty flushes its work queue first, so no output is left
		}
		n, err := unix.Read(fdOf(r.master), buf)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			continue
		case n <= 0: // EIO: no process has the other side open
			return lost
		}
		if lost == nil {
			lost = r.writeOut(buf[:n])
		}
	}
}

func (r *Relay) writeOut(data []byte) error {
	for len(data) > 0 {
		fds := []unix.PollFd{out(fdOf(r.out)), in(r.closed.fd)}
		if err := wait(fds); err != nil || fds[1].Revents != 0 {
			return err
		}
		n, err := unix.Write(fdOf(r.out), data)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("write to %s: %w", r.out.Name(), err)
		default:
			data = data[n:]
		}
	}
	return nil
}

// copyInput copies to the pty until the container has ended. At the end of the
// caller's input it sends the end-of-file character of a terminal.
func (r *Relay) copyInput() {
	buf := make([]byte, chunk)
	newline := true
	for {
		fds := []unix.PollFd{in(fdOf(r.in)), in(r.ended.fd), in(r.closed.fd)}
		if wait(fds) != nil || fds[1].Revents|fds[2].Revents != 0 {
			return
		}
		n, err := unix.Read(fdOf(r.in), buf)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			continue
		case n <= 0:
			r.writeMaster(endOfInput(fdOf(r.master), newline))
			return
		}
		newline = buf[n-1] == '\n'
		if !r.writeMaster(buf[:n]) {
			return
		}
	}
}

// writeMaster reports whether it wrote everything and the pump may continue.
func (r *Relay) writeMaster(data []byte) bool {
	for len(data) > 0 {
		fds := []unix.PollFd{out(fdOf(r.master)), in(r.ended.fd), in(r.closed.fd)}
		if wait(fds) != nil || fds[1].Revents|fds[2].Revents != 0 {
			return false
		}
		n, err := unix.Write(fdOf(r.master), data)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			return false
		default:
			data = data[n:]
		}
	}
	return true
}

// endOfInput returns the terminal's VEOF character, Ctrl-D. In an unfinished line
// it returns two: the first one only ends the line (termios(3)).
func endOfInput(master int, newline bool) []byte {
	t, err := unix.IoctlGetTermios(master, unix.TCGETS) // the modes of the container's side
	if err != nil {
		return nil
	}
	eof := t.Cc[unix.VEOF]
	if !newline && t.Lflag&unix.ICANON != 0 {
		return []byte{eof, eof}
	}
	return []byte{eof}
}

func in(fd int) unix.PollFd  { return unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} }
func out(fd int) unix.PollFd { return unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT} }

func wait(fds []unix.PollFd) error { return proc.Poll(context.Background(), fds) }

// fdOf returns the descriptor's number without a side effect. File.Fd would switch
// the descriptor to blocking mode.
func fdOf(f *os.File) int {
	fd := -1
	if c, err := f.SyscallConn(); err == nil {
		if c.Control(func(u uintptr) { fd = int(u) }) != nil {
			return -1
		}
	}
	return fd
}

// event is an eventfd that is set once and wakes all pollers.
type event struct{ fd int }

func newEvent() (*event, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &event{fd}, nil
}

func (e *event) set() error {
	_, err := unix.Write(e.fd, binary.NativeEndian.AppendUint64(nil, 1))
	return err
}

func (e *event) close() error {
	if e == nil {
		return nil
	}
	return unix.Close(e.fd)
}

// release closes the descriptors of the pumps.
func (r *Relay) release() error {
	return errors.Join(r.master.Close(), r.ended.close(), r.closed.close())
}

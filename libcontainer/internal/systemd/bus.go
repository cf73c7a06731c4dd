package systemd

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds for a caller whose context has none. A working systemd answers in
// milliseconds and finishes a job in tens of milliseconds, under a storm of mounts
// in seconds.
const (
	callTime = 10 * time.Second
	jobTime  = 30 * time.Second
)

// CallError is a refusal by the other side.
type CallError struct {
	Method string
	Name   string // org.freedesktop.systemd1.NoSuchUnit, ...
	Text   string
}

func (e *CallError) Error() string {
	return fmt.Sprintf("systemd: %s: %s (%s)", e.Method, e.Text, e.Name)
}

// bus is a connection. One goroutine at a time may use it.
type bus struct {
	address string
	private bool // systemd itself is at the other end, not a message bus
	file    *os.File
	in      *bufio.Reader
	serial  uint32
	signals []*message // that came while a reply was waited for
}

// connect opens a unix socket and authenticates.
func connect(ctx context.Context, address string, private bool) (*bus, error) {
	fd, err := dial(address)
	if err != nil {
		return nil, err
	}
	b := &bus{address: address, private: private, file: os.NewFile(uintptr(fd), address)}
	b.in = bufio.NewReader(b.file)
	err = b.within(ctx, callTime, "connecting", b.authenticate)
	if err == nil && !private {
		err = b.hello(ctx)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// dial connects to a unix socket. Many callers at once can fill the socket's queue.
// Then dial waits, with a limit (unix(7), SO_SNDTIMEO).
func dial(address string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	limit := unix.NsecToTimeval(callTime.Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	if err == nil {
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: address})
		}
	}
	if err == unix.EAGAIN {
		err = fmt.Errorf("systemd does not answer: its queue of connections is full: %w", err)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "connect", Path: address, Err: err}
	}
	return fd, nil
}

func (b *bus) close() { b.file.Close() }

// within calls f, bounded by a deadline and by ctx. After either of them the
// connection is useless.
func (b *bus) within(ctx context.Context, limit time.Duration, what string, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = b.file.SetDeadline(time.Unix(1, 0)) })
	err := f()
	if !stop() {
		return fmt.Errorf("systemd (%s) does not answer: %s: %w", b.address, what, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("systemd (%s): %s: %w", b.address, what, err)
	}
	return nil
}

// authenticate lets the other side read the socket's credentials. A user id in the
// message would be wrong in a user namespace. The whole handshake is one write, as
// in systemd's own clients: a systemd that reads the end of the handshake together
// with a message leaves that message alone until another one arrives.
func (b *bus) authenticate() error {
	if _, err := b.file.WriteString("\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"); err != nil {
		return err
	}
	for _, want := range []string{"DATA", "OK "} {
		line, err := b.in.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("it does not accept us: %q", strings.TrimSpace(line))
		}
	}
	return nil
}

// hello is the first message to a message bus. It also subscribes to the needed
// signals, and tells systemd to send them.
func (b *bus) hello(ctx context.Context) error {
	const name, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"
	if _, err := b.call(ctx, name, path, name, "Hello", ""); err != nil {
		return err
	}
	const match = "type='signal',sender='" + destination + "',interface='" + managerInterface + "',member='JobRemoved'"
	if _, err := b.call(ctx, name, path, name, "AddMatch", "s", match); err != nil {
		return err
	}
	_, err := b.call(ctx, destination, managerPath, managerInterface, "Subscribe", "")
	return err
}

// call calls a method and waits for the answer.
func (b *bus) call(ctx context.Context, to, path, iface, method, sig string, args ...any) (reply *message, err error) {
	header := map[int]any{fieldPath: path, fieldInterface: iface, fieldMember: method}
	if !b.private {
		header[fieldDestination] = to
	}
	m, err := newMessage(methodCall, header, sig, args...)
	if err != nil {
		return nil, err
	}
	err = b.within(ctx, callTime, method, func() error {
		reply, err = b.exchange(m)
		return err
	})
	if err == nil && reply.kind == methodError {
		e := &CallError{Method: method, Name: reply.text(fieldErrorName)}
		if text, err := reply.values("s"); err == nil {
			e.Text, _ = text[0].(string)
		}
		return nil, e
	}
	return reply, err
}

func (b *bus) exchange(m *message) (*message, error) {
	b.serial++
	m.serial = b.serial
	data, err := m.encode()
	if err != nil {
		return nil, err
	}
	if _, err := b.file.Write(data); err != nil {
		return nil, err
	}
	for {
		reply, err := readMessage(b.in)
		switch {
		case err != nil:
			return nil, err
		case reply.kind == signal:
			b.signals = append(b.signals, reply)
		case reply.header[fieldReplySerial] == m.serial && reply.kind != methodCall:
			return reply, nil
		}
	}
}

// nextSignal waits for the next signal.
func (b *bus) nextSignal(ctx context.Context, what string) (m *message, err error) {
	if len(b.signals) > 0 {
		m, b.signals = b.signals[0], b.signals[1:]
		return m, nil
	}
	err = b.within(ctx, jobTime, what, func() error {
		for {
			if m, err = readMessage(b.in); err != nil || m.kind == signal {
				return err
			}
		}
	})
	return m, err
}

package systemd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeBus plays systemd: it calls answer for each method.
type fakeBus struct {
	t      *testing.T
	path   string
	greet  func(c net.Conn, in *bufio.Reader) bool
	answer func(b *fakeBus, call *message)

	conn net.Conn

	mu  sync.Mutex
	log []string // methods called
}

// newFakeBus listens for one connection. Its handshake is greet, or the one that is
// given.
func newFakeBus(t *testing.T, answer func(b *fakeBus, call *message), other ...func(net.Conn, *bufio.Reader) bool) *fakeBus {
	t.Helper()
	b := &fakeBus{t: t, path: filepath.Join(t.TempDir(), "bus"), greet: append(other, greet)[0], answer: answer}
	l, err := net.Listen("unix", b.path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b.conn = c
		b.serve()
	}()
	return b
}

// greet is the handshake of sd-bus: it reads the credentials of the socket. Like
// systemd's private socket, it forgets a message that arrives together with the end
// of the handshake.
func greet(c net.Conn, _ *bufio.Reader) bool {
	const want = "\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
	got := make([]byte, 4096)
	n, err := c.Read(got)
	fmt.Fprint(c, "DATA\r\nOK 0123456789abcdef\r\n")
	return err == nil && string(got[:n]) == want
}

func (b *fakeBus) serve() {
	in := bufio.NewReader(b.conn)
	if !b.greet(b.conn, in) {
		return
	}
	for {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.log = append(b.log, m.text(fieldMember))
		b.mu.Unlock()
		b.answer(b, m)
	}
}

// called checks the called methods and their order.
func (b *fakeBus) called(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.log, want) {
		b.t.Errorf("calls = %v; want %v", b.log, want)
	}
}

func (b *fakeBus) send(kind byte, header map[int]any, sig string, body ...any) {
	m, err := newMessage(kind, header, sig, body...)
	if err == nil {
		m.serial = 1
		var data []byte
		if data, err = m.encode(); err == nil {
			_, err = b.conn.Write(data)
		}
	}
	if err != nil {
		b.t.Error(err)
	}
}

func (b *fakeBus) reply(call *message, sig string, body ...any) {
	b.send(methodReturn, map[int]any{fieldReplySerial: call.serial}, sig, body...)
}

func (b *fakeBus) refuse(call *message, name string) {
	b.send(methodError, map[int]any{fieldReplySerial: call.serial, fieldErrorName: destination + "." + name}, "s", "refused for "+name)
}

func (b *fakeBus) jobRemoved(job, result string) {
	b.send(signal, map[int]any{fieldPath: managerPath, fieldInterface: managerInterface, fieldMember: "JobRemoved"}, "uoss", uint32(1), job, "x.scope", result)
}

func (b *fakeBus) manager(private bool) *Manager {
	b.t.Helper()
	c, err := connect(b.t.Context(), b.path, private)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.close)
	return &Manager{c}
}

func TestStart(t *testing.T) {
	want := []Property{{"Slice", Variant{"s", "a.slice"}}, {"PIDs", Variant{"au", []any{uint32(7)}}}}
	b := newFakeBus(t, func(b *fakeBus, call *message) {
		expected, err := newMessage(methodCall, nil, "ssa(sv)a(sa(sv))", "x.scope", "replace", arguments(want), []any{})
		if err != nil || string(call.body) != string(expected.body) || call.text(fieldSignature) != "ssa(sv)a(sa(sv))" {
			b.t.Errorf("StartTransientUnit with %q, %q", call.text(fieldSignature), call.body)
		}
		if call.text(fieldPath) != managerPath || call.text(fieldInterface) != managerInterface || call.text(fieldDestination) != "" {
			b.t.Errorf("call with the header %v", call.header)
		}
		b.jobRemoved("/job/1", "failed") // another one's
		b.send(signal, map[int]any{fieldPath: "/x", fieldInterface: "y.z", fieldMember: "Other"}, "a(sv)", []any{[]any{"p", Variant{"b", true}}})
		b.reply(call, "o", "/job/2")
		b.jobRemoved("/job/3", "failed")
		b.jobRemoved("/job/2", "done")
	})
	if err := b.manager(true).Start(t.Context(), "x.scope", want); err != nil {
		t.Error(err)
	}
}

func TestStartWhereOneHasFailed(t *testing.T) {
	reset := false
	b := newFakeBus(t, func(b *fakeBus, call *message) {
		switch {
		case call.text(fieldMember) == "ResetFailedUnit":
			reset = true
			b.reply(call, "")
		case !reset:
			b.refuse(call, "UnitExists")
		default:
			b.reply(call, "o", "/job/2")
			b.jobRemoved("/job/2", "done")
		}
	})
	if err := b.manager(true).Start(t.Context(), "x.scope", nil); err != nil {
		t.Error(err)
	}
	b.called("StartTransientUnit", "ResetFailedUnit", "StartTransientUnit")
}

func TestStartThatFails(t *testing.T) {
	b := newFakeBus(t, func(b *fakeBus, call *message) {
		b.reply(call, "o", "/job/2")
		b.jobRemoved("/job/2", "timeout")
	})
	err := b.manager(true).Start(t.Context(), "x.scope", nil)
	if err == nil || !strings.Contains(err.Error(), "x.scope: timeout") {
		t.Errorf("Start = %v; want the unit and the result", err)
	}
	b = newFakeBus(t, func(b *fakeBus, call *message) { b.refuse(call, "UnitExists") })
	err = b.manager(true).Start(t.Context(), "x.scope", nil)
	var e *CallError
	if !errors.As(err, &e) || e.Name != destination+".UnitExists" || e.Text != "refused for UnitExists" {
		t.Errorf("Start = %v; want the refusal", err)
	}
}

func TestStop(t *testing.T) {
	b := newFakeBus(t, func(b *fakeBus, call *message) { b.refuse(call, "NoSuchUnit") })
	if err := b.manager(true).Stop(t.Context(), "x.scope"); err != nil {
		t.Errorf("Stop of a unit that is not there = %v", err)
	}
	b = newFakeBus(t, func(b *fakeBus, call *message) { b.refuse(call, "AccessDenied") })
	if err := b.manager(true).Stop(t.Context(), "x.scope"); err == nil {
		t.Error("Stop that is refused is no error")
	}
}

func TestOverAMessageBus(t *testing.T) {
	b := newFakeBus(t, func(b *fakeBus, call *message) {
		switch call.text(fieldMember) {
		case "Hello":
			b.reply(call, "s", ":1.1")
		case "Get":
			args, err := call.values("ss")
			if err != nil || call.text(fieldDestination) != destination {
				b.t.Errorf("Get of %v, %v from %q", args, err, call.text(fieldDestination))
			}
			b.reply(call, "v", Variant{"s", map[any]string{"Version": "252.39-1~deb12u1", "ControlGroup": "/user"}[args[1]]})
		default:
			b.reply(call, "")
		}
	})
	m := b.manager(false)
	if v, err := m.Version(t.Context()); v != 252 || err != nil {
		t.Errorf("Version = %d, %v; want 252", v, err)
	}
	if root, err := m.Root(t.Context()); root != "/user" || err != nil {
		t.Errorf("Root = %q, %v", root, err)
	}
	if err := m.Set(t.Context(), "x.scope", []Property{{"TasksMax", Variant{"t", uint64(5)}}}); err != nil {
		t.Error(err)
	}
	if err := m.Set(t.Context(), "x.scope", nil); err != nil {
		t.Error(err)
	}
	b.called("Hello", "AddMatch", "Subscribe", "Get", "Get", "SetUnitProperties")
}

// A systemd that does not answer becomes an error within the limit, at each step.
func TestSilence(t *testing.T) {
	mute := func(_ net.Conn, in *bufio.Reader) bool { in.ReadString('x'); return false }
	steps := []struct {
		name   string
		greet  func(net.Conn, *bufio.Reader) bool
		answer func(b *fakeBus, call *message)
	}{
		{"the greeting", mute, nil},
		{"a call", greet, func(*fakeBus, *message) {}},
		{"a job", greet, func(b *fakeBus, call *message) { b.reply(call, "o", "/job/1") }},
		{"half of it", greet, func(b *fakeBus, call *message) { b.conn.Write([]byte("l\x02")) }},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			b := newFakeBus(t, step.answer, step.greet)
			ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer stop()
			began := time.Now()
			c, err := connect(ctx, b.path, true)
			if err == nil {
				defer c.close()
				err = (&Manager{c}).Start(ctx, "x.scope", nil)
			}
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not answer") {
				t.Errorf("error = %v; want that it does not answer", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// dial waits for a queue that is full for a moment.
func TestAFullQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	first, err := dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(first)
	second := make(chan error, 1)
	go func() {
		fd, err := dial(path)
		if err == nil {
			unix.Close(fd)
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("with a full queue: %v; want a wait", err)
	case <-time.After(50 * time.Millisecond):
	}
	accepted, _, err := unix.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(accepted)
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// If one socket is silent and the other is missing, the error is about the silence.
func TestWorst(t *testing.T) {
	silent := fmt.Errorf("systemd (/a) does not answer: %w", context.DeadlineExceeded)
	absent := fmt.Errorf("connect /b: %w", unix.ENOENT)
	for _, errs := range [][]error{{silent, absent}, {absent, silent}, {silent}} {
		if got := worst(errs); got != silent {
			t.Errorf("worst(%v) = %v; want the silence", errs, got)
		}
	}
	if got := worst([]error{absent}); got != absent {
		t.Errorf("worst(absent) = %v", got)
	}
}

func TestOtherSidesThatAreWrong(t *testing.T) {
	greetings := map[string]func(c net.Conn, in *bufio.Reader) bool{
		"rejected": func(c net.Conn, in *bufio.Reader) bool {
			in.ReadString('\n')
			fmt.Fprint(c, "REJECTED\r\n")
			return true
		},
		"closed": func(net.Conn, *bufio.Reader) bool { return false },
	}
	for name, f := range greetings {
		t.Run(name, func(t *testing.T) {
			b := newFakeBus(t, nil, f)
			if c, err := connect(t.Context(), b.path, true); err == nil {
				c.close()
				t.Error("connected")
			}
		})
	}
	answers := map[string]func(b *fakeBus, call *message){
		"garbage": func(b *fakeBus, _ *message) { b.conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) },
		"too much": func(b *fakeBus, _ *message) {
			b.conn.Write([]byte("l\x02\x00\x01\xff\xff\xff\x7f\x01\x00\x00\x00\x00\x00\x00\x00"))
		},
		"another type": func(b *fakeBus, call *message) { b.reply(call, "u", uint32(1)) },
		"closed":       func(b *fakeBus, _ *message) { b.conn.Close() },
		"no text": func(b *fakeBus, call *message) {
			b.send(methodError, map[int]any{fieldReplySerial: call.serial, fieldErrorName: "a.b"}, "")
		},
		"broken signal": func(b *fakeBus, call *message) {
			b.reply(call, "o", "/job/1")
			b.send(signal, map[int]any{fieldMember: "JobRemoved"}, "s", "x")
		},
		"another's reply": func(b *fakeBus, call *message) {
			b.send(methodReturn, map[int]any{fieldReplySerial: call.serial + 1}, "")
			b.conn.Close()
		},
	}
	for name, f := range answers {
		t.Run(name, func(t *testing.T) {
			if err := newFakeBus(t, f).manager(true).Start(t.Context(), "x.scope", nil); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := connect(t.Context(), "/no/such/socket", true); err == nil {
		t.Error("connected to nothing")
	}
}

// The protocol of the reference implementation.
func TestWithARealBus(t *testing.T) {
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("no dbus-daemon: apt-get install dbus")
	}
	path := filepath.Join(t.TempDir(), "bus")
	cmd := exec.Command(daemon, "--session", "--nofork", "--nopidfile", "--address=unix:path="+path, "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	// There is no systemd on the bus. It says so after Hello and AddMatch.
	_, err = connect(t.Context(), path, false)
	var e *CallError
	if !errors.As(err, &e) || e.Method != "Subscribe" || !strings.HasPrefix(e.Name, "org.freedesktop.DBus.Error.") {
		t.Errorf("connect = %v; want a refusal of Subscribe", err)
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]int{"252.39-1~deb12u1": 252, "v245": 245, "260": 260} {
		if got, err := parseVersion(text); got != want || err != nil {
			t.Errorf("parseVersion(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	if got, err := parseVersion("next"); err == nil {
		t.Errorf("parseVersion(next) = %d", got)
	}
}

package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty opens a pair of terminals in the kernel's default modes. They are in blocking
// mode, like those with which a program starts.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := open("/dev/ptmx")
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetPointerInt(fdOf(master), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fdOf(master), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = open(fmt.Sprintf("/dev/pts/%d", n)); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func open(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// terminals has the caller's terminal, seen from the keyboard, and the container's,
// seen from the program. A relay connects them.
type terminals struct {
	keyboard, caller *os.File
	relay            *Relay
	program          *os.File
}

func connect(t *testing.T) *terminals {
	t.Helper()
	var x terminals
	x.keyboard, x.caller = pty(t)
	master, program := pty(t)
	x.program = program
	x.setSize(t, 30, 100)
	var err error
	if x.relay, err = NewRelay(master, x.caller, x.caller); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		x.relay.Close()
		waitFor(t, "release of the descriptors", x.relay.released)
		x.program.Close()
		x.caller.Close()
		x.keyboard.Close()
	})
	return &x
}

func (x *terminals) setSize(t *testing.T, rows, cols uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(fdOf(x.keyboard), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Errorf("no %s", what)
	}
}

func readN(t *testing.T, f *os.File, n int) string {
	t.Helper()
	buf := make([]byte, n)
	got, err := io.ReadFull(f, buf)
	if err != nil {
		t.Errorf("read of %d bytes = %q, %v", n, buf[:got], err)
	}
	return string(buf[:got])
}

func TestBothWays(t *testing.T) {
	x := connect(t)
	x.keyboard.WriteString("typed\r")
	if got := readN(t, x.program, 6); got != "typed\n" {
		t.Errorf("program read %q; want %q", got, "typed\n")
	}
	// The container's terminal echoes; the caller's terminal adds the CR.
	if got := readN(t, x.keyboard, 7); got != "typed\r\n" {
		t.Errorf("echo is %q; want %q", got, "typed\r\n")
	}
	x.program.WriteString("said\n")
	if got := readN(t, x.keyboard, 6); got != "said\r\n" {
		t.Errorf("terminal shows %q; want %q", got, "said\r\n")
	}
}

func TestModesAndSize(t *testing.T) {
	x := connect(t)
	raw := termios(t, x.caller)
	if raw.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || raw.Oflag&unix.OPOST == 0 {
		t.Errorf("modes are %+v; want raw input, and output that is processed", raw)
	}
	if s := size(t, x.program); s.Row != 30 || s.Col != 100 {
		t.Errorf("size is %+v; want 30 rows, 100 columns", s)
	}
	x.setSize(t, 50, 132)
	if err := x.relay.Resize(); err != nil {
		t.Fatal(err)
	}
	if s := size(t, x.program); s.Row != 50 || s.Col != 132 {
		t.Errorf("size is %+v; want 50 rows, 132 columns", s)
	}
	for range 2 {
		if err := x.relay.Close(); err != nil {
			t.Errorf("Close = %v; want nil", err)
		}
	}
	other, fresh := pty(t)
	defer other.Close()
	defer fresh.Close()
	if got, want := termios(t, x.caller), termios(t, fresh); *got != *want {
		t.Errorf("modes after Close are %+v; want %+v", got, want)
	}
}

func termios(t *testing.T, f *os.File) *unix.Termios {
	t.Helper()
	tios, err := unix.IoctlGetTermios(fdOf(f), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return tios
}

func size(t *testing.T, f *os.File) *unix.Winsize {
	t.Helper()
	s, err := unix.IoctlGetWinsize(fdOf(f), unix.TIOCGWINSZ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain opens a relay without a terminal on the caller's side.
func plain(t *testing.T) (r *Relay, stdin *os.File, stdout *os.File, program *os.File) {
	t.Helper()
	master, program := pty(t)
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if r, err = NewRelay(master, inR, outW); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		waitFor(t, "release of the descriptors", r.released)
		for _, f := range []*os.File{inR, inW, outR, outW, program} {
			f.Close()
		}
	})
	return r, inW, outR, program
}

func TestDrainGivesAll(t *testing.T) {
	for _, left := range []bool{false, true} {
		r, _, stdout, program := plain(t)
		const lines = 2000
		var got bytes.Buffer
		read := make(chan struct{})
		go func() {
			defer close(read)
			io.CopyN(&got, stdout, lines*int64(len("0000\n")))
		}()
		for i := range lines {
			fmt.Fprintf(program, "%04d\n", i)
		}
		if !left { // the last process with the terminal open is gone
			program.Close()
		}
		if err := r.Drain(t.Context()); err != nil {
			t.Errorf("Drain = %v; want nil", err)
		}
		waitFor(t, "end of the output", read)
		if !strings.HasSuffix(got.String(), "1999\n") {
			t.Errorf("terminal left open %v: the output ends in %q", left, got.Bytes()[max(0, got.Len()-20):])
		}
	}
}

// Output that no process reads blocks neither Close nor, beyond its context, Drain.
func TestStuckOutput(t *testing.T) {
	r, _, stdout, program := plain(t)
	if _, err := unix.FcntlInt(stdout.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(fdOf(program), true)
	for err := error(nil); err == nil; {
		_, err = unix.Write(fdOf(program), make([]byte, 1000))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain = %v; want DeadlineExceeded", err)
	}
	r.Close()
	waitFor(t, "release of the descriptors", r.released)
}

// A program that writes more than its terminal holds ends, although nobody reads its output.
func TestLostOutput(t *testing.T) {
	r, _, stdout, program := plain(t)
	stdout.Close()
	if _, err := program.Write(bytes.Repeat([]byte("to nobody\n"), 20000)); err != nil {
		t.Fatal(err)
	}
	if err := r.Drain(t.Context()); !errors.Is(err, unix.EPIPE) {
		t.Errorf("Drain = %v; want EPIPE", err)
	}
}

func TestEndOfInput(t *testing.T) {
	for _, typed := range []string{"", "line\n", "no newline"} {
		_, stdin, _, program := plain(t)
		stdin.WriteString(typed)
		stdin.Close()
		got, err := io.ReadAll(program) // a read of 0 bytes is the end
		if string(got) != typed || err != nil {
			t.Errorf("program read %q, %v; want %q and the end", got, err, typed)
		}
	}
}

func TestForward(t *testing.T) {
	s, err := Catch()
	if err == nil {
		err = s.CatchAll()
	}
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan unix.Signal, 8)
	resized := make(chan struct{}, 8)
	ctx, cancel := context.WithCancel(t.Context())
	unix.Kill(os.Getpid(), unix.SIGTERM) // before Forward runs
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Forward(ctx, Handlers{Send: func(sig unix.Signal) { got <- sig }, Resize: func() { resized <- struct{}{} }})
	}()
	if sig := <-got; sig != unix.SIGTERM {
		t.Errorf("got %v; want SIGTERM", sig)
	}
	unix.Kill(os.Getpid(), unix.SIGWINCH)
	<-resized
	for _, want := range []unix.Signal{unix.SIGUSR1, unix.SIGUSR2, 40} {
		unix.Kill(os.Getpid(), want)
		if sig := <-got; sig != want {
			t.Errorf("got %v; want %v", sig, want)
		}
	}
	cancel()
	waitFor(t, "end of Forward", done)
	s.Stop()
}

func TestNotCaught(t *testing.T) {
	for _, sig := range passedOn() {
		switch sig {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.Signal(32), unix.Signal(33):
			t.Errorf("%v is caught", sig)
		}
	}
	if n := len(passedOn()); n < 50 {
		t.Errorf("%d signals are caught; want nearly all", n)
	}
}

package sendfd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listen binds a stream socket. If the path is too long for an address it binds
// from inside the directory.
func listen(t *testing.T, path string, backlog int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	short := filepath.Join(t.TempDir(), "s")
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: short}), unix.Listen(fd, backlog)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(short, path); err != nil {
		t.Fatal(err)
	}
	return fd
}

// receive accepts one connection and returns its message and the file of the
// descriptor that came with it.
func receive(t *testing.T, listener int) (string, *os.File) {
	t.Helper()
	conn, _, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(conn)
	buf, oob := make([]byte, 256), make([]byte, 256)
	n, oobn, _, _, err := unix.Recvmsg(conn, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v; want 1", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors, %v; want 1", len(fds), err)
	}
	return string(buf[:n]), os.NewFile(uintptr(fds[0]), "received")
}

func TestSendMaster(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 150))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "sock"), filepath.Join(long, "sock")} {
		listener := listen(t, path, 1)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := Master(t.Context(), path, w, "/dev/pts/7"); err != nil {
			t.Fatalf("Master = %v; want nil", err)
		}
		w.Close()
		payload, f := receive(t, listener)
		f.WriteString("through")
		f.Close()
		buf := make([]byte, 16)
		if n, _ := r.Read(buf); payload != "/dev/pts/7" || string(buf[:n]) != "through" {
			t.Errorf("received %q and a descriptor that gives %q", payload, buf[:n])
		}
	}
}

func TestSendErrors(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
	tests := []struct {
		path string
		want error
	}{
		{filepath.Join(dir, "nothing"), unix.ENOENT},
		{filepath.Join(dir, "file"), unix.ECONNREFUSED},
		{filepath.Join(dir, strings.Repeat("x", 200), "y"), unix.ENOENT},
	}
	for _, tt := range tests {
		err := Master(t.Context(), tt.path, os.Stderr, "x")
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.path) {
			t.Errorf("Master(%s) = %v; want %v and the path", tt.path, err, tt.want)
		}
	}
}

// The backlog of the listener is full: it has stopped accepting.
func TestSendHasADeadline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	listen(t, path, 0)
	var err error
	for range 3 { // the first ones fit
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		err = Send(ctx, path, os.Stderr, "x")
		cancel()
		if d := time.Since(begin); d > 5*time.Second {
			t.Fatalf("Send with a deadline of 50ms took %v", d)
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("Send = %v; want a timeout", err)
	}
}

// A sender that gives up closes its file while its thread may still be about to
// send it: run with -race. The listener gets that file or none.
func TestSendIsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	listener := listen(t, path, 0)
	given := 0
	for given == 0 { // the first ones fit
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := Send(ctx, path, w, "x"); err != nil {
			given++
		}
		cancel()
		w.Close()
		r.Close()
	}
	if err := unix.SetNonblock(listener, true); err != nil {
		t.Fatal(err)
	}
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 500); n == 0 || err != nil {
			return
		}
		conn, _, err := unix.Accept(listener)
		if err != nil {
			t.Fatal(err)
		}
		checkPipe(t, conn)
		unix.Close(conn)
	}
}

// checkPipe checks the descriptor that comes with a message, if there is one.
func checkPipe(t *testing.T, conn int) {
	t.Helper()
	buf, oob := make([]byte, 16), make([]byte, 64)
	_, oobn, _, _, err := unix.Recvmsg(conn, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || oobn == 0 {
		return
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v; want 1", len(messages), err)
	}
	fds, _ := unix.ParseUnixRights(&messages[0])
	for _, fd := range fds {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
			t.Errorf("a file of mode %#o was sent, %v; want a pipe", st.Mode, err)
		}
		unix.Close(fd)
	}
}

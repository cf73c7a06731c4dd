package libcontainer

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

func TestIsReady(t *testing.T) {
	for msg, want := range map[string]bool{
		"READY=1":                  true,
		"READY=1\n":                true,
		"STATUS=up\nREADY=1\nX=y":  true,
		"READY=0":                  false,
		"NOTREADY=1":               false,
		"STATUS=READY=1":           false,
		"":                         false,
		"READY=1 ":                 false,
		"STOPPING=1\nRELOADING=1":  false,
		"READY=11":                 false,
		"STATUS=x READY=1\nREADY=": false,
	} {
		if got := isReady([]byte(msg)); got != want {
			t.Errorf("isReady(%q) = %t; want %t", msg, got, want)
		}
	}
}

// manager returns a socket like that of a service manager.
func manager(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn, path
}

func TestSendReady(t *testing.T) {
	conn, path := manager(t)
	done := make(chan error, 1)
	go func() { done <- sendReady(t.Context(), path, 4711) }()
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, err := conn.Read(buf)
	if got := string(buf[:n]); err != nil || got != "MAINPID=4711\nREADY=1" {
		t.Errorf("message = %q, %v", got, err)
	}
	n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if got := string(buf[:n]); err != nil || got != "BARRIER=1" {
		t.Fatalf("message = %q, %v; want the barrier", got, err)
	}
	select {
	case err := <-done:
		t.Fatalf("sendReady returned before the barrier was lifted: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	msgs, _ := unix.ParseSocketControlMessage(oob[:oobn])
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fds[0])
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSendReadyFails(t *testing.T) {
	if err := sendReady(t.Context(), filepath.Join(t.TempDir(), "nobody"), 1); !errors.Is(err, unix.ENOENT) {
		t.Errorf("sendReady to nobody = %v; want ENOENT", err)
	}
	_, path := manager(t) // never reads
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := sendReady(ctx, path, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sendReady to one who does not read = %v; want the deadline", err)
	}
}

func TestAwaitReady(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	pidfd, err := proc.OpenPid(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()

	conn, path := manager(t)
	socket, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	send := func(msg string) {
		t.Helper()
		c, err := net.Dial("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(msg)); err != nil {
			t.Fatal(err)
		}
	}
	send("STATUS=starting")
	send("READY=1")
	if ready, err := awaitReady(t.Context(), socket, pidfd); !ready || err != nil {
		t.Errorf("awaitReady = %t, %v; want true", ready, err)
	}

	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, os.ErrDeadlineExceeded)
	defer cancel()
	if ready, err := awaitReady(ctx, socket, pidfd); ready || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("awaitReady without a message = %t, %v; want the deadline", ready, err)
	}
	cmd.Process.Kill()
	if ready, err := awaitReady(t.Context(), socket, pidfd); ready || err != nil {
		t.Errorf("awaitReady of a dead process = %t, %v; want false", ready, err)
	}
}

package seccomp

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// listen serves one connection: all its bytes, and its descriptors.
func listen(t *testing.T, path string) (received func() (message []byte, fds []int)) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	type result struct {
		message []byte
		fds     []int
	}
	results := make(chan result, 1)
	go func() {
		var r result
		defer func() { results <- r }()
		c, err := l.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		r.message, r.fds = drain(t, c)
	}()
	return func() ([]byte, []int) {
		r := <-results
		return r.message, r.fds
	}
}

func drain(t *testing.T, c *net.UnixConn) (message []byte, fds []int) {
	b, oob := make([]byte, 4096), make([]byte, 4096)
	for {
		n, m, _, _, err := c.ReadMsgUnix(b, oob)
		if n == 0 || err != nil {
			return message, fds
		}
		message = append(message, b[:n]...)
		controls, err := unix.ParseSocketControlMessage(oob[:m])
		if err != nil {
			t.Error(err)
		}
		for i := range controls {
			rights, err := unix.ParseUnixRights(&controls[i])
			if err != nil {
				t.Error(err)
			}
			fds = append(fds, rights...)
		}
	}
}

func inode(t *testing.T, fd int) (st unix.Stat_t) {
	t.Helper()
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestSendListener(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	check(t, os.Mkdir(long, 0o700))
	// net cannot listen at a long path either, so the test makes the socket here and moves it.
	tests := []struct {
		name       string
		path, move string
		metadata   string
	}{
		{"plain", filepath.Join(t.TempDir(), "s"), "", "some\nmetadata"},
		{"long path", filepath.Join(t.TempDir(), "s"), filepath.Join(long, "socket"), ""},
		{"large state", filepath.Join(t.TempDir(), "s"), "", strings.Repeat("m", 1<<20)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			received := listen(t, tt.path)
			if tt.move != "" {
				check(t, os.Rename(tt.path, tt.move))
				tt.path = tt.move
			}
			file, err := os.Open(os.DevNull)
			check(t, err)
			defer file.Close()
			state := specs.ContainerProcessState{
				Version: "1.3.0", Pid: 42, Metadata: tt.metadata,
				State: specs.State{Version: "1.3.0", ID: "c", Status: specs.StateCreating, Pid: 42, Bundle: "/b"},
			}
			if err := SendListener(context.Background(), tt.path, state, file); err != nil {
				t.Fatalf("SendListener() = %v", err)
			}
			message, fds := received()
			var got specs.ContainerProcessState
			if err := json.Unmarshal(message, &got); err != nil {
				t.Fatalf("message %.200q: %v", message, err)
			}
			state.Fds = []string{"seccompFd"}
			if !reflect.DeepEqual(got, state) {
				t.Errorf("state = %+v; want %+v", got, state)
			}
			if len(fds) != 1 || inode(t, fds[0]) != inode(t, int(file.Fd())) {
				t.Errorf("descriptors = %v; want one, of %s", fds, file.Name())
			}
			for _, fd := range fds {
				unix.Close(fd)
			}
		})
	}
}

func TestSendListenerErrors(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	check(t, err)
	l.SetUnlinkOnClose(false)
	l.Close()
	tests := []struct{ name, path, want string }{
		{"nothing there", filepath.Join(dir, "none"), "connect: no such file or directory"},
		{"nobody there", dead, "connect: connection refused"},
		{"no directory", filepath.Join(dir, strings.Repeat("x", 120), "s"), "no such file or directory"},
	}
	for _, tt := range tests {
		err := SendListener(context.Background(), tt.path, specs.ContainerProcessState{}, os.Stdin)
		if err == nil || !strings.HasPrefix(err.Error(), "/linux/seccomp/listenerPath: "+tt.path+": ") || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%s: SendListener() = %v; want ...%s", tt.name, err, tt.want)
		}
	}
}

// A listener that does not accept, and one that does not read.
func TestSendListenerDeadline(t *testing.T) {
	tests := []struct {
		name    string
		backlog bool // fill it first
		size    int
	}{
		{"does not accept", true, 1},
		{"does not read", false, 8 << 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			silent(t, path, tt.backlog)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := SendListener(ctx, path, specs.ContainerProcessState{Metadata: strings.Repeat("m", tt.size)}, os.Stdin)
			if err == nil || time.Since(start) > 5*time.Second {
				t.Errorf("SendListener() = %v after %v; want an error at the deadline", err, time.Since(start))
			}
			t.Log(err)
			reason := errors.New("no longer wanted")
			ctx, give := context.WithCancelCause(context.Background())
			defer time.AfterFunc(50*time.Millisecond, func() { give(reason) }).Stop()
			start = time.Now()
			err = SendListener(ctx, path, specs.ContainerProcessState{Metadata: strings.Repeat("m", tt.size)}, os.Stdin)
			if !errors.Is(err, reason) || time.Since(start) > 5*time.Second {
				t.Errorf("SendListener() = %v after %v; want %v", err, time.Since(start), reason)
			}
		})
	}
}

// silent listens and does nothing else.
func silent(t *testing.T, path string, fill bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	check(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	check(t, unix.Listen(fd, 0))
	for fill {
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		check(t, err)
		t.Cleanup(func() { unix.Close(c) })
		fill = unix.Connect(c, &unix.SockaddrUnix{Name: path}) == nil
	}
}

package watch

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWatch(t *testing.T) {
	set, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fd := int(r.Fd())
	calls := make(chan byte, 10)
	stop, err := set.Add(unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}, func() bool {
		var b [1]byte
		_, _ = unix.Read(fd, b[:])
		calls <- b[0]
		return b[0] != 'z'
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range "abz" {
		if _, err := w.Write([]byte{byte(c)}); err != nil {
			t.Fatal(err)
		}
		if got := <-calls; got != byte(c) {
			t.Errorf("read %q; want %q", got, c)
		}
	}
	if _, err := w.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-calls:
		t.Errorf("called for %q after the last", got)
	case <-time.After(20 * time.Millisecond):
	}
	stop() // has no effect
}

// TestProcess checks that the end of a process wakes the set.
func TestProcess(t *testing.T) {
	set, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	cmd := exec.Command("sleep", "0.05")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	ended := make(chan struct{})
	if _, err := set.Add(unix.PollFd{Fd: int32(pidfd), Events: unix.POLLIN}, func() bool { return false }, func() { close(ended) }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the end of the process was not seen")
	}
	_ = cmd.Wait()
}

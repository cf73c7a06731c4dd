package main

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenFDs(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		fds, pid string
		want     int
		fails    bool
	}{
		{"", "", 0, false},
		{"", self, 0, false},
		{"2", self, 2, false},
		{"2", "", 2, false},
		{"2", "1", 0, false},
		{"0", self, 0, false},
		{"x", self, 0, true},
		{"-1", self, 0, true},
		{"65536", self, 0, true},
	} {
		got, err := listenFDs(func(name string) string {
			return map[string]string{"LISTEN_FDS": tt.fds, "LISTEN_PID": tt.pid}[name]
		})
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("listenFDs(LISTEN_FDS=%s LISTEN_PID=%s) = %d, %v; want %d", tt.fds, tt.pid, got, err, tt.want)
		}
	}
}

// The descriptors of the test itself are close-on-exec, like all that Go opens.
func TestOpenFilesRefusesOurOwn(t *testing.T) {
	flags, err := unix.FcntlInt(firstExtraFD, unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC == 0 {
		t.Skip("the test inherited descriptor 3")
	}
	const want = "unable to stat preserved-fd 0 (of 1): descriptor 3 is not open"
	if files, err := openFiles(1); err == nil || err.Error() != want {
		t.Errorf("openFiles(1) = %v, %v; want %s", files, err, want)
	}
}

func TestOpenFilesNone(t *testing.T) {
	if files, err := openFiles(0); len(files) != 0 || err != nil {
		t.Errorf("openFiles(0) = %v, %v; want none", files, err)
	}
}

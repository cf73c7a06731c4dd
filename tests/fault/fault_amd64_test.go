package fault

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// command makes a directory, by a program that makes few other calls.
func command(dir string) Command {
	null, _ := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	return Command{Path: "/bin/mkdir", Args: []string{dir}, Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}, Limit: 10 * time.Second}
}

func TestRun(t *testing.T) {
	at := Point{Nr: unix.SYS_MKDIR, Turn: 1}
	for _, tt := range []struct {
		name   string
		at     Point
		do     Action
		hit    bool
		exit   int // -1: by a signal
		exists bool
	}{
		{"no point", Point{}, Action{}, false, 0, true},
		{"errno", at, Action{Errno: unix.EIO}, true, 1, false},
		{"killed before", at, Action{Kill: TheCommand}, true, -1, false},
		{"killed after", at, Action{Kill: TheCommand, After: true}, true, -1, true},
		{"caller killed", at, Action{Kill: TheCaller}, true, -1, false},
		{"a turn too far", Point{Nr: unix.SYS_MKDIR, Turn: 2}, Action{Errno: unix.EIO}, false, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made")
			o, err := Run(command(dir), tt.at, tt.do)
			if err != nil {
				t.Fatal(err)
			}
			_, err = os.Stat(dir)
			if exists := err == nil; o.Hit != tt.hit || o.Status.ExitStatus() != tt.exit || exists != tt.exists {
				t.Errorf("Run = hit %t, exit status %d, directory %t; want %t, %d, %t", o.Hit, o.Status.ExitStatus(), exists, tt.hit, tt.exit, tt.exists)
			}
			if o.Peak == 0 && !tt.hit || o.Peak > 100<<10 {
				t.Errorf("Run = a peak of %d KiB", o.Peak)
			}
			if seen := slices.Contains(o.Points, at); seen != (tt.at == Point{}) {
				t.Errorf("Run noted mkdir: %t", seen)
			}
		})
	}
}

func TestRunEndsAtItsLimit(t *testing.T) {
	c := command("")
	c.Path, c.Args, c.Limit = "/bin/sleep", []string{"100"}, 500*time.Millisecond
	o, err := Run(c, Nowhere, Action{})
	if err != nil {
		t.Fatal(err)
	}
	if !o.Late || o.Status.Signal() != syscall.SIGKILL {
		t.Errorf("Run = late %t, status %v; want true, SIGKILL", o.Late, o.Status)
	}
}

// A thread of the Go runtime that has started a process before must not become the tracer's: the tracer would take
// the exit status that the test waits for.
func TestRunReapsNoOtherChild(t *testing.T) {
	done := make(chan struct{})
	go onOwnThread(func() {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, nil)
		if err != nil {
			t.Error(err)
		}
		ran := false
		onOwnThread(func() { ran = childless() })
		if !ran {
			t.Error("the tracer's thread has a child already")
		}
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			t.Error(err)
		}
		close(done)
	})
	<-done
}

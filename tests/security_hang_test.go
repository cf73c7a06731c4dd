package tests

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A frozen cgroup freezes every process that enters it. In a v1 freezer, even SIGKILL has to wait. The runtime itself must
// stay outside.
func TestExecIntoAPausedContainerEndsWhenAsked(t *testing.T) {
	peerFails(t, "runc", "hangs")
	c := newContainer(t)
	c.up()
	c.must("pause", c.id)
	refused(t, c.exec(nil, "true"), 255, "paused")

	i := c.begin("exec", "--ignore-paused", c.id, "true")
	time.AfterFunc(time.Second, func() { i.Process.Signal(unix.SIGTERM) })
	if r := i.end(); r.code == 0 || r.took > slowly(6*time.Second) {
		t.Errorf("asked to end after a second: %v, %v", r.took, r)
	}
	t.Run("detached", func(t *testing.T) {
		c := c.in(t)
		i := c.begin("exec", "--ignore-paused", "--detach", c.id, "true")
		time.AfterFunc(time.Second, func() { i.Process.Signal(unix.SIGTERM) })
		if r := i.end(); r.code != 255 || !strings.Contains(r.err, "interrupted by SIGTERM") || r.took > 6*time.Second {
			t.Errorf("asked to end after a second: %v, %v", r.took, r)
		}
	})
	t.Run("and waits for resume", func(t *testing.T) {
		c := c.in(t)
		i := c.begin("exec", "--ignore-paused", c.id, "echo", "resumed")
		time.AfterFunc(500*time.Millisecond, func() { c.verb("resume", c.id) })
		if r := i.end(); r.out != "resumed\n" {
			t.Error(r)
		}
	})
	t.Run("and does not keep others from killing", func(t *testing.T) {
		c := c.in(t)
		c.must("pause", c.id)
		i := c.begin("exec", "--ignore-paused", c.id, "sleep", "1000")
		time.Sleep(300 * time.Millisecond)
		if r := c.must("delete", "--force", c.id); r.took > slowly(5*time.Second) {
			t.Errorf("delete took %v", r.took)
		}
		if r := i.end(); r.code == 0 || r.took > slowly(8*time.Second) {
			t.Errorf("%v, %v", r.took, r)
		}
	})
}

// A container that signals every process that enters it can make an exec fail. It must not block exec, nor learn from it.
func TestExecWhileTheContainerSignalsWhatEntersIt(t *testing.T) {
	for _, sig := range []string{"STOP", "KILL", "QUIT", "SEGV"} {
		t.Run(sig, func(t *testing.T) {
			c := newContainer(t, args("probe", "stop", sig), caps("CAP_KILL"))
			i := c.create()
			c.start()
			eventually(t, "the attacker is ready", func() bool { return strings.Contains(contents(i.out), "ready") })
			before := children()
			for range 6 {
				i := c.begin("exec", "--detach", c.id, "sleep", "1000")
				// A process that is stopped before its execve makes exec wait, but not for ever.
				asked := time.AfterFunc(2*time.Second, func() { i.Process.Signal(unix.SIGTERM) })
				r := i.end()
				if strings.Contains(r.err, "goroutine") || !asked.Stop() && sig != "STOP" || r.took > slowly(4*time.Second) {
					t.Errorf("%v, %v", r.took, r)
				}
			}
			for _, pid := range children() { // the pid namespace does not end before they are reaped
				if !slices.Contains(before, pid) {
					awaitExit(pid)
				}
			}
			if r := c.must("delete", "--force", c.id); r.took > slowly(5*time.Second) {
				t.Errorf("delete took %v", r.took)
			}
			if entries := treeOf(t, c.rootfs); strings.Contains(entries, "core") {
				t.Errorf("a core dump is left:\n%s", entries)
			}
		})
	}
}

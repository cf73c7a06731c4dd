package tests

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/tests/fault"
)

// TestExecWhoseStubDiesBehindTheClone kills the stub between the clone and its report. The new process has sent a message of
// its own, and the kernel adds the sender's pid to it. So exec still knows the pid.
func TestExecWhoseStubDiesBehindTheClone(t *testing.T) {
	if !fault.Supported {
		t.Skip("system calls can be changed on amd64 alone")
	}
	peerFails(t, "runc", "has no such stub")
	peerFails(t, "crun", "has no such stub")
	for name, with := range map[string]edit{
		"without a filter": func(*specs.Spec) {},
		"with a filter":    seccomp(specs.LinuxSyscall{Names: []string{"acct"}, Action: specs.ActErrno}),
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, args("sleep", "1000"), with)
			c.up()
			pidFile := filepath.Join(c.bundle, "pid")
			line := []string{"exec", "--detach", "--pid-file", pidFile, c.id, "sleep", "1234"}
			o, _, errs := c.traceVerb(line, fault.Point{}, fault.Action{})
			if o.Status.ExitStatus() != 0 {
				t.Fatalf("control: exec says %d: %s", o.Status.ExitStatus(), errs)
			}
			c.endExec(pidFile)
			var clone fault.Point
			for _, p := range o.Points {
				if p.Side == fault.Stub && p.Nr == unix.SYS_CLONE {
					clone = p
				}
			}
			if clone == (fault.Point{}) {
				t.Fatalf("control: the stub has made no clone: %v", o.Points)
			}
			o, _, errs = c.traceVerb(line, clone, fault.Action{Kill: fault.TheCaller, After: true})
			if !o.Hit {
				t.Fatalf("control: %v did not occur", clone)
			}
			if o.Status.ExitStatus() != 0 {
				t.Errorf("exec says %d: %s; want 0", o.Status.ExitStatus(), errs)
			}
			c.endExec(pidFile)
			if n := strings.Count(c.must("exec", c.id, "ps").out, "sleep 1234"); n != 0 {
				t.Errorf("%d processes of exec are left; want 0", n)
			}
		})
	}
}

// endExec ends the process of a pid file and reaps it.
func (c *container) endExec(pidFile string) {
	c.t.Helper()
	data, err := os.ReadFile(pidFile)
	if err != nil {
		c.t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(data))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		c.t.Errorf("kill the process of exec, %d: %v", pid, err)
	}
	_, _ = unix.Wait4(pid, nil, 0, nil)
	os.Remove(pidFile)
}

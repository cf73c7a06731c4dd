package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/tests/fault"
)

// TestExecWhoseStubDiesBehindTheClone: the stub is killed right after the clone. The clone reports itself, so exec knows it.
// If the clone dies too before its report, exec fails, and nothing is left.
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
			clone, report := c.cloneAndReport(line)
			c.endExec(pidFile)
			for _, tt := range []struct {
				name string
				at   fault.Point
				code int
			}{
				{"the stub dies behind the clone", clone, 0},
				{"the clone dies before its report", report, 255},
			} {
				o, _, errs := c.traceVerb(line, tt.at, fault.Action{Kill: fault.TheCaller, After: tt.at == clone})
				if !o.Hit {
					t.Fatalf("control: %v did not occur", tt.at)
				}
				if o.Status.ExitStatus() != tt.code || tt.code != 0 && !strings.Contains(errs, "killed by SIGKILL") {
					t.Errorf("%s: exec says %d: %s; want %d", tt.name, o.Status.ExitStatus(), errs, tt.code)
				}
				if tt.code == 0 {
					c.endExec(pidFile)
				}
				if n := strings.Count(c.must("exec", c.id, "ps").out, "sleep 1234"); n != 0 {
					t.Errorf("%s: %d processes of exec are left; want 0", tt.name, n)
				}
			}
		})
	}
}

// cloneAndReport runs an exec and returns the points of the last clone and of the clone's first call.
func (c *container) cloneAndReport(line []string) (clone, report fault.Point) {
	c.t.Helper()
	o, _, errs := c.traceVerb(line, fault.Point{}, fault.Action{})
	if o.Status.ExitStatus() != 0 {
		c.t.Fatalf("control: exec says %d: %s", o.Status.ExitStatus(), errs)
	}
	for _, p := range o.Points {
		switch {
		case p.Side == fault.Stub && p.Nr == unix.SYS_CLONE:
			clone, report = p, fault.Point{}
		case p.Side == fault.Stub && p.Nr == unix.SYS_WRITE && report == fault.Point{}:
			report = p
		}
	}
	if clone == (fault.Point{}) || report == (fault.Point{}) {
		c.t.Fatalf("control: the stub has made no clone, or that no report: %v", o.Points)
	}
	return clone, report
}

// endExec ends the process of a pid file and reaps it.
func (c *container) endExec(pidFile string) {
	c.t.Helper()
	data, err := os.ReadFile(pidFile)
	if err != nil {
		c.t.Fatal(err)
	}
	pid := atoi(c.t, string(data))
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		c.t.Errorf("kill the process of exec, %d: %v", pid, err)
	}
	_, _ = unix.Wait4(pid, nil, 0, nil)
	os.Remove(pidFile)
}

// TestCreateWhoseStubDiesBehindTheClone: the first process of a container that joins a pid namespace is such a clone, too.
func TestCreateWhoseStubDiesBehindTheClone(t *testing.T) {
	if !fault.Supported {
		t.Skip("system calls can be changed on amd64 alone")
	}
	peerFails(t, "runc", "has no such stub")
	peerFails(t, "crun", "has no such stub")
	pid := newContainer(t).up()
	c := newContainer(t, args("sleep", "1000"), without(specs.PIDNamespace), func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace, Path: fmt.Sprintf("/proc/%d/ns/pid", pid)})
	})
	line := c.withFlags("create")
	clone, _ := c.cloneAndReport(line)
	c.must("delete", "--force", c.id)
	o, _, errs := c.traceVerb(line, clone, fault.Action{Kill: fault.TheCaller, After: true})
	if !o.Hit {
		t.Fatalf("control: %v did not occur", clone)
	}
	if o.Status.ExitStatus() != 0 {
		t.Fatalf("create says %d: %s; want 0", o.Status.ExitStatus(), errs)
	}
	c.start()
	if got := c.status(); got != "running" {
		t.Errorf("the container is %s; want running", got)
	}
}

// TestStartWhoseStubDiesBehindTheGate: start must not report success if the first process dies before its execve. The end of
// the status file looks like success.
func TestStartWhoseStubDiesBehindTheGate(t *testing.T) {
	if !fault.Supported {
		t.Skip("system calls can be changed on amd64 alone")
	}
	peerFails(t, "runc", "has no such stub")
	peerFails(t, "crun", "has no such stub")
	for _, tt := range []struct {
		name string
		nr   int
		code int
	}{
		{"before the execve", unix.SYS_EXECVE, 1},
		{"control: behind the execve", unix.SYS_EXIT_GROUP, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t, args("/bin/true"))
			c.create()
			killed, err := fault.KillBefore(c.state().Pid, tt.nr)
			if err != nil {
				t.Fatal(err)
			}
			r := c.verb("start", c.id)
			if err := <-killed; err != nil {
				t.Fatalf("control: it was not killed: %v", err)
			}
			if r.code != tt.code || tt.code != 0 && !strings.Contains(r.err, "was killed by SIGKILL before it executed the program") {
				t.Errorf("%v; want exit status %d", r, tt.code)
			}
			if got := c.status(); got != "stopped" {
				t.Errorf("the container is %s; want stopped", got)
			}
		})
	}
}

package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// programPlan executes a program of the host, with or without a gate.
func programPlan(gate bool, path string, args []string, more ...plan.Step) *plan.Plan {
	list := append([]plan.Step{plan.Spawn{}, plan.Harden{}}, more...)
	list = append(list, plan.FindProgram{Name: path}, plan.CloseFiles{First: 3})
	if gate {
		list = append(list, plan.Gate{})
	}
	list = append(list, plan.Execute{Args: args, Env: []string{"A=b"}})
	p := &plan.Plan{}
	for _, s := range list {
		p.Items = append(p.Items, plan.Item{Step: s})
	}
	return p
}

// ends are the test's ends of the program's standard output, its gate and its
// status.
type ends struct {
	out, start, status *os.File
	job                *Job
}

func newEnds(t *testing.T, gate bool) *ends {
	t.Helper()
	e := &ends{}
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	out, stdout := pipe()
	status, report := pipe()
	e.out, e.status = out, status
	e.job = &Job{Stdio: [3]*os.File{nil, stdout, nil}, Status: report, Timeout: 10 * time.Second, Name: "test"}
	if gate {
		e.job.Start, e.start = pipe()
	}
	return e
}

// letGo closes the test's copies of descriptors that the program has now.
func (e *ends) letGo() {
	e.job.Stdio[1].Close()
	e.job.Status.Close()
}

func (e *ends) wait(t *testing.T, p *Process) int {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	status, err := proc.Reap(ctx, p.Pidfd)
	if err != nil {
		t.Fatal(err)
	}
	p.Pidfd.Close()
	p.Reap()
	return status
}

func TestRun(t *testing.T) {
	e := newEnds(t, false)
	p, err := Run(t.Context(), programPlan(false, "/bin/echo", []string{"echo", "hello"}), e.job)
	if err != nil {
		t.Fatal(err)
	}
	e.letGo()
	out, err := io.ReadAll(e.out)
	if err != nil || string(out) != "hello\n" {
		t.Errorf("the program wrote %q, %v", out, err)
	}
	if report, err := io.ReadAll(e.status); err != nil || len(report) != 0 {
		t.Errorf("the status is %x, %v; want its end", report, err)
	}
	if got := e.wait(t, p); got != 0 {
		t.Errorf("exit status = %d; want 0", got)
	}
}

func TestRunWaitsAtTheGate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the stub's descriptors can be seen by root only")
	}
	e := newEnds(t, true)
	p, err := Run(t.Context(), programPlan(true, "/bin/cat", []string{"cat", "/proc/self/environ"}), e.job)
	if err != nil {
		t.Fatal(err)
	}
	e.letGo()
	n := openOf(t, p.Pid)
	for end := time.Now().Add(5 * time.Second); n != 3 && time.Now().Before(end); n = openOf(t, p.Pid) {
		time.Sleep(time.Millisecond) // it has not arrived yet
	}
	if n != 3 {
		t.Errorf("at the gate %d descriptors are open; want stdout, the gate and the status", n)
	}
	if _, err := e.start.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(e.out)
	if err != nil || string(out) != "A=b\x00" {
		t.Errorf("the program wrote %q, %v", out, err)
	}
	if got := e.wait(t, p); got != 0 {
		t.Errorf("exit status = %d; want 0", got)
	}
}

func openOf(t *testing.T, pid int) int {
	t.Helper()
	in := &inside{t: t, walk: newWalk(t.Context(), &plan.Plan{}, &Job{})}
	in.stub = &remote.Stub{Pid: pid}
	return in.descriptors()
}

// TestRunReportsTheErrno: a failed execve is reported through the status.
func TestRunReportsTheErrno(t *testing.T) {
	script := t.TempDir() + "/script"
	if err := os.WriteFile(script, []byte("no script at all"), 0o755); err != nil {
		t.Fatal(err)
	}
	e := newEnds(t, false)
	p, err := Run(t.Context(), programPlan(false, script, []string{"script"}), e.job)
	if err != nil {
		t.Fatal(err)
	}
	e.letGo()
	report, err := io.ReadAll(e.status)
	if err != nil || len(report) != 4 || unix.Errno(-int32(binary.NativeEndian.Uint32(report))) != unix.ENOEXEC {
		t.Errorf("the status is %x, %v; want ENOEXEC", report, err)
	}
	if got := e.wait(t, p); got != exitExec {
		t.Errorf("exit status = %d; want %d", got, exitExec)
	}
}

// TestRunWithALargeEnvironment: arguments that do not fit go before the batch.
func TestRunWithALargeEnvironment(t *testing.T) {
	e := newEnds(t, true)
	large := []string{"A=" + strings.Repeat("a", 100_000), "B=" + strings.Repeat("b", 100_000), "C=c"}
	e.job.Env = func([]string, string) []string { return large }
	p, err := Run(t.Context(), programPlan(true, "/bin/cat", []string{"cat", "/proc/self/environ"}), e.job)
	if err != nil {
		t.Fatal(err)
	}
	e.letGo()
	if _, err := e.start.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(e.out)
	if want := strings.Join(large, "\x00") + "\x00"; err != nil || !bytes.Equal(out, []byte(want)) {
		t.Errorf("the environment has %d bytes, %v; want %d", len(out), err, len(want))
	}
	e.wait(t, p)
}

// TestRunThatFails: a failure leaves no process and no descriptor.
func TestRunThatFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		step plan.Step
		job  func(*Job)
		want error
	}{
		{"a call", plan.Unshare{Flags: 1 << 60}, func(*Job) {}, unix.EINVAL},
		{"a program that is not there", plan.FindProgram{Name: "/nowhere"}, func(*Job) {}, unix.ENOENT},
		{"a hook", plan.Hooks{Kind: "prestart"}, func(j *Job) {
			j.Hooks = func(context.Context, string, int) error { return errEnough }
		}, errEnough},
		{"Spawned", plan.Umask{}, func(j *Job) { j.Spawned = func(int) error { return errEnough } }, errEnough},
		{"an early end", plan.Umask{}, func(j *Job) {
			j.Spawned = func(pid int) error { return unix.Kill(pid, unix.SIGKILL) }
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEnds(t, true)
			tt.job(e.job)
			before := openFiles()
			_, err := Run(t.Context(), programPlan(true, "/bin/true", []string{"true"}, tt.step), e.job)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Run = %v; want %v", err, tt.want)
			}
			if died, killed := Killed(err); died != (tt.want == nil) || killed != died {
				t.Errorf("died %v, killed %v: %v", died, killed, err)
			}
			if n := openFiles(); n != before {
				t.Errorf("%d descriptors before, %d after", before, n)
			}
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("a child is left: wait4 = %d, %v", pid, err)
			}
		})
	}
}

var errEnough = errors.New("enough")

// TestRunHasADeadline: the walk gives up a stopped stub at the deadline.
func TestRunHasADeadline(t *testing.T) {
	e := newEnds(t, true)
	e.job.Timeout = 100 * time.Millisecond
	e.job.Spawned = func(pid int) error { return unix.Kill(pid, unix.SIGSTOP) }
	begin := time.Now()
	_, err := Run(t.Context(), programPlan(true, "/bin/true", []string{"true"}), e.job)
	if !errors.Is(err, remote.ErrTimeout) || time.Since(begin) > 5*time.Second {
		t.Errorf("Run = %v after %v; want %v", err, time.Since(begin), remote.ErrTimeout)
	}
	if err == nil || !strings.Contains(err.Error(), "stopped or frozen") {
		t.Errorf("%v; want a hint", err)
	}
}

// TestRunAClone: with a joined pid namespace the program is a clone. The stub is
// gone, and the clone is a child of this process.
func TestRunAClone(t *testing.T) {
	e := newEnds(t, false)
	p := programPlan(false, "/bin/sh", []string{"sh", "-c", "echo $PPID; ps -o sid= -p $$"})
	last := len(p.Items) - 1
	p.Items = append(p.Items[:last:last], plan.Item{Step: plan.CloneInto{}}, p.Items[last])
	child, err := Run(t.Context(), p, e.job)
	if err != nil {
		t.Fatal(err)
	}
	e.letGo()
	out, err := io.ReadAll(e.out)
	f := strings.Fields(string(out))
	if err != nil || len(f) != 2 || f[0] != strconv.Itoa(os.Getpid()) || f[1] != strconv.Itoa(child.Pid) {
		t.Errorf("parent and session are %q, %v; want %d, %d", out, err, os.Getpid(), child.Pid)
	}
	if got := e.wait(t, child); got != 0 {
		t.Errorf("exit status = %d; want 0", got)
	}
}

// TestRunACloneWithoutDescriptors: if no descriptor is free for the clone's pidfd,
// the clone is killed.
func TestRunACloneWithoutDescriptors(t *testing.T) {
	e := newEnds(t, false)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
	}
	defer limit(before.Cur)
	e.job.Env = func(env []string, _ string) []string { // the last action of this process before the clone
		limit(0)
		return env
	}
	p := programPlan(false, "/bin/sleep", []string{"sleep", "1000"})
	last := len(p.Items) - 1
	p.Items = append(p.Items[:last:last], plan.Item{Step: plan.CloneInto{}}, p.Items[last])
	if _, err := Run(t.Context(), p, e.job); !errors.Is(err, unix.EMFILE) {
		t.Errorf("Run = %v; want EMFILE", err)
	}
	limit(before.Cur)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err == unix.ECHILD {
			return
		} else if time.Now().After(end) {
			t.Fatalf("a child is left: waitid = %v", err)
		}
	}
}

func TestBatchesWithoutAProgramAreABug(t *testing.T) {
	e := newEnds(t, false)
	p := programPlan(false, "/bin/true", []string{"true"})
	p.Items = p.Items[:len(p.Items)-1]
	if _, err := Run(t.Context(), p, e.job); err == nil || !strings.HasPrefix(err.Error(), "BUG: ") {
		t.Errorf("Run = %v; want BUG: …", err)
	}
}

// TestMeanwhileIsNotRepeated: the Job of a failed walk is used again, as after a first
// process that was killed at birth.
func TestMeanwhileIsNotRepeated(t *testing.T) {
	e := newEnds(t, true)
	n := 0
	e.job.Meanwhile = func(context.Context, int) error { n++; return nil }
	for range 2 {
		if _, err := Run(t.Context(), programPlan(true, "/nowhere", []string{"x"}, plan.Unshare{Flags: unix.CLONE_NEWUTS}, plan.FindProgram{Name: "/nowhere"}), e.job); !errors.Is(err, unix.ENOENT) {
			t.Fatalf("Run = %v; want ENOENT", err)
		}
	}
	if n != 1 {
		t.Errorf("Meanwhile was called %d times; want once", n)
	}
}

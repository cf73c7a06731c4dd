package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func shell(script string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"hook", "-c", script}}
}

func TestRun(t *testing.T) {
	one := 1
	zero := 0
	tests := []struct {
		name string
		hook specs.Hook
		want []string // substrings of the error; none for success
		is   error
	}{
		{name: "succeeds", hook: shell("exit 0")},
		{name: "reads the state", hook: shell(`test "$(cat)" = state`)},
		{name: "does not read", hook: shell("exec <&-; exit 0")},
		{
			name: "fails", hook: shell("echo out; echo why it did >&2; exit 3"),
			want: []string{`/hooks/prestart/1: hook "/bin/sh" ended after `, ": error running prestart hook #1: exit status 3, stdout: out, stderr: why it did"}, is: ExitError{Code: 3},
		},
		{name: "status like a signal's", hook: shell("exit 137"), want: []string{"exit status 137"}, is: ExitError{Code: 137}},
		{name: "killed", hook: shell("kill -KILL $$"), want: []string{"signal: killed, stdout: , stderr: "}, is: ExitError{Signal: unix.SIGKILL}},
		{name: "forbidden system call", hook: shell("kill -SYS $$"), want: []string{"signal: bad system call"}, is: ExitError{Signal: unix.SIGSYS}},
		{name: "no args", hook: specs.Hook{Path: "/bin/true"}},
		{name: "relative", hook: specs.Hook{Path: "bin/true"}, want: []string{"path is not absolute"}},
		{name: "not there", hook: specs.Hook{Path: "/nowhere/x"}, want: []string{`error running prestart hook #1: fork/exec /nowhere/x: no such file or directory`}, is: unix.ENOENT},
		{name: "not executable", hook: specs.Hook{Path: "/etc/passwd"}, want: []string{`fork/exec /etc/passwd: permission denied`}, is: unix.EACCES},
		{name: "no timeout", hook: specs.Hook{Path: "/bin/true", Timeout: &zero}, want: []string{"timeout 0 is not greater than zero"}},
		{name: "in time", hook: specs.Hook{Path: "/bin/true", Timeout: &one}},
		{
			name: "too late", hook: specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo begun; sleep 1000"}, Timeout: &one},
			want: []string{"ended after 1", "hook ran past specified timeout of 1.0s, stdout: begun"}, is: TimeoutError(time.Second),
		},
		{name: "control characters", hook: shell(`printf '\033[31mred\r\n\000\n'; exit 1`), want: []string{"stdout: [31mred"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Run(t.Context(), "prestart", 1, tt.hook, []byte("state"), Options{Dir: "/"})
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("Run = %v; want %q", err, tt.want)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Run = %v; want %q in it", err, want)
				}
			}
			if err != nil && strings.ContainsAny(err.Error(), "\n\x1b\x00") {
				t.Errorf("Run = %q; want one line without control characters", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Run = %v; want it to be %v", err, tt.is)
			}
		})
	}
}

// The hook sees only the surroundings that the configuration specifies.
func TestSurroundings(t *testing.T) {
	t.Setenv("OURS", "1")
	leaked, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0) // not close-on-exec, as if inherited
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leaked)
	dir := t.TempDir()
	h := specs.Hook{
		Path: "/usr/bin/env", Args: []string{
			"anything", "/bin/sh", "-c",
			"/usr/bin/env; pwd; printf 'fds '; ls -m /proc/$$/fd; read -r pid _ _ _ pgrp _ </proc/$$/stat; echo group $((pid - pgrp))",
		},
		Env: []string{"A=1", "B=2 3"},
	}
	out := outputOf(t, h, dir)
	for _, want := range []string{"A=1\n", "B=2 3\n", dir + "\n", "fds 0, 1, 2\n", "group 0\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("hook printed %q; want %q in it", out, want)
		}
	}
	if strings.Contains(out, "OURS") {
		t.Errorf("hook printed %q; want nothing of our environment", out)
	}
	if flags, err := unix.FcntlInt(uintptr(leaked), unix.F_GETFD, 0); flags != 0 || err != nil {
		t.Errorf("flags of the inherited descriptor = %d, %v; want them left alone", flags, err)
	}
}

func outputOf(t *testing.T, h specs.Hook, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	Run(t.Context(), "poststart", 0, h, nil, Options{Dir: dir, Stdout: f, Stderr: f})
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWorkingDirectoryGone(t *testing.T) {
	err := Run(t.Context(), "prestart", 0, shell("exit 0"), nil, Options{Dir: "/nowhere"})
	if err == nil || !strings.Contains(err.Error(), `chdir("/nowhere"): no such file`) {
		t.Errorf("Run = %v; want the directory named", err)
	}
}

// The state is larger than a pipe. One hook never reads it, one reads it late, one
// reads all of it.
func TestLargeState(t *testing.T) {
	state := bytes.Repeat([]byte("x"), 1<<20)
	for _, script := range []string{"exit 0", "sleep 0.05; head -c 100 >/dev/null", "test $(wc -c) = 1048576"} {
		if err := Run(t.Context(), "prestart", 0, shell(script), state, Options{Dir: "/"}); err != nil {
			t.Errorf("Run(%q) = %v; want nil", script, err)
		}
	}
}

func TestEndlessOutput(t *testing.T) {
	err := Run(t.Context(), "prestart", 0, shell("yes abcdefg | head -c 3000000; echo; echo end; exit 1"), nil, Options{Dir: "/"})
	var e *Error
	if !errors.As(err, &e) || len(e.Stdout) > tailSize || !strings.HasSuffix(err.Error(), "; end, stderr: ") {
		t.Errorf("Run = %v; want the end of the output", err)
	}
}

// Run does not wait for a background process that keeps the hook's output open.
func TestBackground(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	begin := time.Now()
	err := Run(t.Context(), "prestart", 0, shell("sleep 1000 & echo $! >"+pidFile), nil, Options{Dir: "/"})
	if err != nil || time.Since(begin) > 10*time.Second {
		t.Errorf("Run = %v after %v; want nil at once", err, time.Since(begin))
	}
	data, _ := os.ReadFile(pidFile)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Errorf("kill(%d) of the background process = %v; want it alive", pid, err)
	}
}

// Cancelling kills the whole process group.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		r.Read(make([]byte, 1)) // both processes have started
		cancel()
	}()
	err = Run(ctx, "prestart", 0, shell("(echo up; exec sleep 1000) & wait"), nil, Options{Dir: "/", Stdout: w})
	w.Close()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v; want Canceled", err)
	}
	// The pipe reaches its end when all processes that had it open are gone.
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 16)
	for err = nil; err == nil; {
		_, err = r.Read(buf)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a process of the group is alive")
	}
}

func TestRunAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	trace := func(s string, status int) specs.Hook {
		return shell(fmt.Sprintf("printf %s >>%s; exit %d", s, file, status))
	}
	list := []specs.Hook{trace("a", 0), trace("b", 1), trace("c", 0), trace("d", 2)}
	for _, tt := range []struct {
		keepGoing bool
		want      string
		errs      []string
	}{
		{false, "ab", []string{"/hooks/poststop/1"}},
		{true, "abcd", []string{"/hooks/poststop/1", "/hooks/poststop/3"}},
	} {
		os.Remove(file)
		err := RunAll(t.Context(), "poststop", list, nil, Options{Dir: "/", KeepGoing: tt.keepGoing})
		if got, _ := os.ReadFile(file); string(got) != tt.want {
			t.Errorf("RunAll(KeepGoing %v) ran %q; want %q", tt.keepGoing, got, tt.want)
		}
		for _, want := range tt.errs {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("RunAll(KeepGoing %v) = %v; want %q in it", tt.keepGoing, err, want)
			}
		}
	}
	if err := RunAll(t.Context(), "poststop", nil, nil, Options{}); err != nil {
		t.Errorf("RunAll of none = %v; want nil", err)
	}
}

func TestStartElsewhere(t *testing.T) {
	var got Command
	o := Options{Dir: "/", Start: func(c Command) (*Process, error) {
		got = c
		c.Path, c.Args = "/bin/sh", []string{"sh", "-c", "exit 5"}
		return startHere(c)
	}}
	err := Run(t.Context(), "startContainer", 0, specs.Hook{Path: "/in/container", Env: []string{"X=1"}}, nil, o)
	if got.Path != "/in/container" || len(got.Args) != 1 || got.Args[0] != "/in/container" || len(got.Env) != 1 {
		t.Errorf("Start was given %+v", got)
	}
	if !errors.Is(err, ExitError{Code: 5}) {
		t.Errorf("Run = %v; want exit status 5", err)
	}
}

func TestNoLeak(t *testing.T) {
	fails := Options{Dir: "/", Start: func(Command) (*Process, error) { return nil, errors.New("no") }}
	before := openFiles(t)
	for range 10 {
		Run(t.Context(), "prestart", 0, shell("exit 1"), []byte("state"), Options{Dir: "/"})
		Run(t.Context(), "prestart", 0, specs.Hook{Path: "/nowhere"}, nil, Options{Dir: "/"})
		Run(t.Context(), "prestart", 0, shell("exit 1"), nil, fails)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open; want %d", after, before)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("wait4(-1) = %v; want no child left", err)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestTail(t *testing.T) {
	var tl tail
	var all []byte
	for i := range 100_000 {
		p := fmt.Appendf(nil, "%d,", i)
		tl.add(p)
		all = append(all, p...)
	}
	if got := tl.bytes(); !bytes.Equal(got, all[len(all)-tailSize:]) {
		t.Errorf("tail has %d bytes; want the last %d", len(got), tailSize)
	}
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if err := Run(b.Context(), "prestart", 0, specs.Hook{Path: "/bin/true"}, []byte("{}"), Options{Dir: "/"}); err != nil {
			b.Fatal(err)
		}
	}
}

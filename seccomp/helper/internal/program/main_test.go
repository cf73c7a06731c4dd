//go:build cgo

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/answer"
	"github.com/onggi-dev/onggi/seccomp/helper/internal/wire"
)

// built is the path of the program. The test's own executable would not do: with the
// race detector it needs more memory than the program's limits allow.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "onggi-helper-")
	if err != nil {
		panic(err)
	}
	built = filepath.Join(dir, "helper")
	out, err := exec.Command("go", "build", "-o", built, ".").CombinedOutput()
	status := 1
	if err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// program returns a command that runs some shell and then becomes the program.
func program(t *testing.T, shell string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), "sh", "-c", shell+"\nexec "+built)
}

// profile returns a request with that many rules for one system call. Each rule
// has six conditions.
func profile(rules int) []byte {
	const equal = 4
	var r wire.Request
	r.Number(wire.Filter)
	r.Number(unix.SECCOMP_RET_ERRNO | 1)
	r.Number(0)
	r.Number(1)
	r.Text("read")
	r.Number(uint32(rules))
	for i := range rules {
		r.Number(unix.SECCOMP_RET_ALLOW)
		r.Number(0)
		r.Number(6)
		for argument := range 6 {
			r.Number(uint32(argument))
			r.Number(equal)
			r.Value(uint64(i)<<32 | uint64(argument))
			r.Value(0)
		}
	}
	return r
}

func expression(text string) []byte {
	var r wire.Request
	r.Number(wire.Pattern)
	r.Text(text)
	r.Number(1)
	r.Text("a")
	return r
}

func TestProgramAnswersTheSame(t *testing.T) {
	for name, request := range map[string][]byte{"nothing": nil, "nonsense": {9}, "a profile": profile(20), "an expression": expression("^a")} {
		cmd := program(t, "")
		cmd.Stdin = bytes.NewReader(request)
		if got, err := cmd.Output(); err != nil || !bytes.Equal(got, answer.Answer(request)) {
			t.Errorf("%s: the program replies %x, %v; want %x", name, got, err, answer.Answer(request))
		}
	}
}

// TestProgramFails checks that the program explains a failure in one line.
func TestProgramFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, tt := range []struct {
		name string
		in   io.Reader
		want string
	}{
		{"nowhere to reply to", bytes.NewReader(profile(1)), "reply: write /dev/stdout: no space left on device\n"},
		{"a request without end", zeros{}, "request: more than 16777216 bytes\n"},
	} {
		var complaint bytes.Buffer
		cmd := program(t, "")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tt.in, full, &complaint
		if err := cmd.Run(); err == nil || complaint.String() != tt.want {
			t.Errorf("%s: %v, %q; want %q", tt.name, err, complaint.String(), tt.want)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestProgramIsBounded checks that questions that would take gigabytes or hours
// end in a refusal, or in the program's end by its limit of time or of memory.
func TestProgramIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name    string
		shell   string // lower limits, so that the test ends sooner
		request []byte
	}{
		{"repetitions of repetitions", "", expression("((((a{1,250}){1,250}){1,250}){1,250})")},
		{"a long expression", "", expression(strings.Repeat("(a|b)*", 200000))},
		{"many rules", "ulimit -t 2", profile(30000)},
		{"little memory", "ulimit -d 100000", profile(30000)},
	} {
		cmd := program(t, tt.shell)
		cmd.Stdin = bytes.NewReader(tt.request)
		began := time.Now()
		out, err := cmd.Output()
		if err == nil {
			if reply, err := wire.Parse(out); err != nil || reply.Status == wire.Done {
				t.Errorf("%s: status %d, %v; want a refusal", tt.name, reply.Status, err)
			}
		}
		const limit = 640 << 10 // KiB
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		if usage.Maxrss > limit {
			t.Errorf("%s: the program used %d KiB", tt.name, usage.Maxrss)
		}
		t.Logf("%s: %v, %v, %d KiB", tt.name, cmd.ProcessState, time.Since(began), usage.Maxrss)
	}
}

// TestProgramUnderLimits checks that a limit lower than the program's own stays.
func TestProgramUnderLimits(t *testing.T) {
	cmd := program(t, "ulimit -t 5; ulimit -d 150000")
	cmd.Stdin = bytes.NewReader(profile(20))
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, answer.Answer(profile(20))) {
		t.Errorf("the program replies %x, %v", got, err)
	}
}

// TestProgramClosesDescriptors checks that the program closes inherited
// descriptors: the other end of a pipe shows it while the program still waits.
func TestProgramClosesDescriptors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	request, stdin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer request.Close()
	defer stdin.Close()
	cmd := program(t, "")
	cmd.Stdin, cmd.ExtraFiles = request, []*os.File{nil, w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v; want %v", err, io.EOF)
	}
	if pid, err := unix.Wait4(cmd.Process.Pid, nil, unix.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("wait4 = %d, %v; want the program at work", pid, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

// TestProgramLimits reads the limits of the waiting program.
func TestProgramLimits(t *testing.T) {
	for resource, want := range map[int]uint64{unix.RLIMIT_CPU: 20, unix.RLIMIT_DATA: 512 << 20} {
		var before, after unix.Rlimit
		if err := unix.Getrlimit(resource, &before); err != nil {
			t.Fatal(err)
		}
		request, stdin, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := program(t, "")
		cmd.Stdin, cmd.ExtraFiles = request, []*os.File{w}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		request.Close()
		_, _ = r.Read(make([]byte, 1)) // returns after close_range, which comes just before the limits
		for range 1000 {
			if err := unix.Prlimit(cmd.Process.Pid, resource, nil, &after); err != nil || after.Max == min(before.Max, want) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if after.Max != min(before.Max, want) || after.Cur != min(before.Cur, after.Max) {
			t.Errorf("limit %d is %+v; want %d", resource, after, want)
		}
		stdin.Close()
		_ = cmd.Wait()
		r.Close()
	}
}

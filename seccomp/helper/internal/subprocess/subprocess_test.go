package subprocess

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var request = []byte("a request")

// script returns a helper that is a shell script; the caller sees no difference.
func script(line string) string {
	return "#!/bin/sh\n" + line + "\n"
}

// number returns a shell command that prints a number as a helper does.
func number(n uint32) string {
	text := ""
	for _, b := range binary.NativeEndian.AppendUint32(nil, n) {
		text += fmt.Sprintf(`\%03o`, b)
	}
	return "printf '" + text + "'; "
}

func TestRun(t *testing.T) {
	got, err := Run(context.Background(), script(number(13)+"cat"), request)
	if want := binary.NativeEndian.AppendUint32(nil, 13); err != nil || !bytes.Equal(got, append(want, request...)) {
		t.Errorf("Run() = %q, %v; want its length and %q", got, err, request)
	}
}

func TestRunBadHelper(t *testing.T) {
	tests := []struct {
		name, image, want string
	}{
		{"none", "", "helper: fork/exec /proc/self/fd/3: exec format error"},
		{"not executable", "text", "helper: fork/exec /proc/self/fd/3: exec format error"},
		{"for another machine", "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xff\xff" + strings.Repeat("\x00", 44), "helper: fork/exec /proc/self/fd/3: exec format error"},
		{"fails", script("echo no luck >&2; echo at all >&2; exit 3"), "helper: exit status 3: no luck"},
		{"fails silently", script("exit 3"), "helper: exit status 3"},
		{"dies", script("kill -SEGV $$"), "helper: signal: segmentation fault"},
		{"says too much", script(number(1 << 30)), "helper: reply: 1073741824 bytes"},
		{"talks without end", script("exec yes '      '"), "helper: "},
		{"complains without end", script("yes >&2; exit 1"), "helper: exit status 1: y"},
	}
	for _, tt := range tests {
		_, err := Run(context.Background(), tt.image, request)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: Run() = %v; want %s", tt.name, err, tt.want)
		}
	}
}

// TestRunSaysNothing checks that Run accepts an empty reply. Its caller interprets it.
func TestRunSaysNothing(t *testing.T) {
	if got, err := Run(context.Background(), script(":"), request); err != nil || len(got) != 0 {
		t.Errorf("Run() = %q, %v; want nothing", got, err)
	}
}

// TestRunCollectedByAnother checks Run where the kernel collects the children. The
// helper's exit status is lost then, but its reply is not.
func TestRunCollectedByAnother(t *testing.T) {
	signal.Ignore(unix.SIGCHLD)
	defer func() { // Reset leaves it ignored
		c := make(chan os.Signal, 1)
		signal.Notify(c, unix.SIGCHLD)
		signal.Stop(c)
	}()
	before := descriptors(t)
	if got, err := Run(context.Background(), script(number(4)), request); err != nil || !bytes.Equal(got, binary.NativeEndian.AppendUint32(nil, 4)) {
		t.Errorf("Run() = %q, %v; want its reply", got, err)
	}
	if _, err := Run(context.Background(), script("echo no luck >&2; exit 3"), request); err == nil || err.Error() != "helper: it failed: no luck" {
		t.Errorf("Run() = %v; want what it complains of", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors; want %d", after, before)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, script("exec sleep 60"), request); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run() = %v; want %v", err, context.DeadlineExceeded)
	}
}

// TestRunTakesTooLong checks that the error of an endless request names the cause.
func TestRunTakesTooLong(t *testing.T) {
	_, err := runWithin(context.Background(), 50*time.Millisecond, script("exec sleep 60"), request)
	if want := "helper: no answer within 50ms: context deadline exceeded"; !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
		t.Errorf("runWithin() = %v; want %s", err, want)
	}
}

func TestRunDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Run(ctx, script("exec sleep 60"), request)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run() = %v; want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Run() took %v", took)
	}
}

// TestRunConfinesHelper checks that no process, the helper included, can change
// the helper's executable, and that the helper inherits only its streams.
func TestRunConfinesHelper(t *testing.T) {
	t.Setenv("SECRET", "1")
	// The program closes descriptors that this process has inherited without close-on-exec.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	_, err := Run(context.Background(), script(`
test -z "$SECRET" || { echo environment >&2; exit 1; }
test "$PWD" = / || { echo directory >&2; exit 1; }
for fd in /proc/self/fd/*; do case ${fd##*/} in [4-9]) test ! -e $fd || { echo $fd >&2; exit 1; } ;; esac; done # a shell has its own from 10 on
(echo >/proc/self/fd/3) 2>/dev/null && { echo writable >&2; exit 1; }
`+number(4)), request)
	if err != nil {
		t.Errorf("Run() = %v", err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestRunLeavesNothing(t *testing.T) {
	image := script("exit 1")
	Run(context.Background(), image, request) // makes the Go runtime open its own descriptors
	before := descriptors(t)
	for range 5 {
		Run(context.Background(), image, request)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors; want %d", after, before)
	}
}

// noexecEnv marks the second run of the test below.
const noexecEnv = "SUBPROCESS_TEST_NOEXEC"

// TestRunWhereMemfdsCannotBeExecuted runs a helper where the execution of memfds is
// forbidden (vm.memfd_noexec, of which each pid namespace has its own value).
func TestRunWhereMemfdsCannotBeExecuted(t *testing.T) {
	const knob = "/proc/sys/vm/memfd_noexec"
	if os.Getenv(noexecEnv) == "" {
		if _, err := os.Stat(knob); err != nil || os.Geteuid() != 0 {
			t.Skip("it takes root and a kernel with vm.memfd_noexec: ", err)
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), noexecEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("in a pid namespace of its own: %v\n%s", err, out)
		}
		return
	}
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
		os.WriteFile(knob, []byte("2"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := memfdImage("#!/bin/sh\n"); !errors.Is(err, unix.EACCES) {
		t.Fatalf("a memfd that can be executed = %v; want EACCES", err)
	}
	executable, err := tmpfsImage("#!/bin/sh\n")
	if err != nil {
		t.Fatal(err)
	}
	defer executable.Close()
	if f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", executable.Fd()), os.O_WRONLY, 0); !errors.Is(err, unix.EROFS) {
		t.Errorf("the executable, opened for writing = %v, %v; want %v", f, err, unix.EROFS)
	}
	if _, err := Run(context.Background(), script(number(13)+"cat"), request); err != nil {
		t.Errorf("Run() = %v; want its reply", err)
	}
	if err := unix.Setresuid(-1, 1000, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), script("cat"), request); err == nil || !strings.Contains(err.Error(), "vm.memfd_noexec") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Run() of an ordinary user = %v; want one line that names vm.memfd_noexec", err)
	}
}

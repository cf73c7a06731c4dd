package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

func TestFailureText(t *testing.T) {
	for _, tt := range []struct {
		failure Failure
		want    string
	}{
		{Failure{Field: "/mounts/0", Step: "mount proc on /proc", Syscall: "fsopen(…)", Errno: unix.EPERM}, "/mounts/0: mount proc on /proc: fsopen(…): operation not permitted"},
		{Failure{Step: "s", Errno: unix.ENOENT, Hint: "try it"}, "(try it): s: no such file or directory"},
		{Failure{Field: "/f", Err: errors.New("why")}, "/f: why"},
		{Failure{Step: "s", Errno: unix.ENOENT, Err: errors.New("other words")}, "s: other words"},
	} {
		if got := tt.failure.Error(); got != tt.want {
			t.Errorf("Error() = %q; want %q", got, tt.want)
		}
	}
}

func TestFailureIs(t *testing.T) {
	it := plan.Item{Field: "/f", Step: plan.Cwd{Path: "/"}}
	call := &remote.CallError{Call: "openat2(…)", Errno: unix.ENOENT}
	for _, err := range []error{failed(it, call), failed(it, fmt.Errorf("more: %w", call)), failed(it, unix.ENOENT), hint(it, call, "advice"), hint(it, failed(it, call), "advice")} {
		var f *Failure
		if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, unix.ENOENT) || !errors.As(err, &f) || f.Errno != unix.ENOENT || f.Field != "/f" {
			t.Errorf("%v is not ENOENT of /f", err)
		}
		if strings.Contains(err.Error(), "\n") || !strings.HasSuffix(err.Error(), "no such file or directory") {
			t.Errorf("%q; want one line with the errno last", err)
		}
	}
	// The first attribution and the first hint stay.
	first := &Failure{Field: "/first", Errno: unix.EPERM, Hint: "first"}
	if got := failed(it, first); got != error(first) {
		t.Errorf("failed(failure) = %v; want it as it is", got)
	}
	if hint(it, first, "second"); first.Hint != "first" {
		t.Errorf("the hint is %q; want the first", first.Hint)
	}
}

func TestKilled(t *testing.T) {
	for _, tt := range []struct {
		err          error
		died, killed bool
	}{
		{nil, false, false},
		{unix.ENOENT, false, false},
		{&remote.DeathError{Status: unix.WaitStatus(unix.SIGKILL)}, true, true},
		{&remote.DeathError{Status: unix.WaitStatus(unix.SIGSEGV)}, true, false},
		{fmt.Errorf("x: %w", &remote.DeathError{Status: 111 << 8}), true, false},
		{&Failure{Err: &remote.DeathError{Status: unix.WaitStatus(unix.SIGKILL)}}, true, true},
	} {
		if died, killed := Killed(tt.err); died != tt.died || killed != tt.killed {
			t.Errorf("Killed(%v) = %v, %v; want %v, %v", tt.err, died, killed, tt.died, tt.killed)
		}
	}
}

// TestKilledAtBirth: only a process that has never answered may be replaced.
func TestKilledAtBirth(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{&Failure{Err: &remote.DeathError{Status: unix.WaitStatus(unix.SIGKILL), Silent: true}}, true},
		{&remote.DeathError{Status: unix.WaitStatus(unix.SIGKILL)}, false},
		{&remote.DeathError{Status: 111 << 8, Silent: true}, false},
	} {
		if got := KilledAtBirth(tt.err); got != tt.want {
			t.Errorf("KilledAtBirth(%v) = %v; want %v", tt.err, got, tt.want)
		}
	}
}

func TestUnshareFailureHints(t *testing.T) {
	for _, tt := range []struct {
		flags uint64
		errno unix.Errno
		want  string
	}{
		{unix.CLONE_NEWNET, unix.ENOSPC, "/proc/sys/user/max_"},
		{unix.CLONE_NEWUSER, unix.EPERM, "user namespaces may be restricted"},
		{unix.CLONE_NEWNET, unix.EPERM, "operation not permitted"},
	} {
		s := plan.Unshare{Flags: tt.flags}
		err := unshareFailure(plan.Item{Step: s}, s, &remote.CallError{Call: "unshare(…)", Errno: tt.errno})
		if !strings.Contains(err.Error(), tt.want) || !errors.Is(err, tt.errno) {
			t.Errorf("unshareFailure(%s) = %v; want %q in it", s, err, tt.want)
		}
	}
}

func TestHostSource(t *testing.T) {
	for _, tt := range []struct {
		step plan.Step
		want string
	}{
		{plan.Bind{Source: "/a"}, "/a"},
		{plan.Bind{Source: "/a", Inside: true}, ""},
		{plan.Bind{Source: "/a", CopySymlink: true}, ""},
		{plan.Device{FromHost: "/dev/null"}, "/dev/null"},
		{plan.Device{}, ""},
		{plan.AttachRootfs{MaskSources: true, HostNull: true}, "/dev/null"},
		{plan.AttachRootfs{MaskSources: true}, ""},
		{plan.AttachRootfs{HostNull: true}, ""},
		{plan.Mount{Type: "tmpfs", Source: "/a"}, ""},
	} {
		if got, _, _ := hostSource(tt.step); got != tt.want {
			t.Errorf("hostSource(%s) = %q; want %q", tt.step, got, tt.want)
		}
	}
}

func TestLaunchError(t *testing.T) {
	w := newStubs(t.Context(), []plan.Item{{Step: plan.Spawn{}}}, &Job{Cgroup: os.Stdin})
	for errno, text := range map[unix.Errno]string{
		unix.EAGAIN: "pids.max",
		unix.EACCES: "delegated",
		unix.ENOMEM: "",
	} {
		err := w.launchError(w.items[0], os.NewSyscallError("clone3", errno))
		if !errors.Is(err, errno) || !strings.Contains(err.Error(), text) {
			t.Errorf("launchError(%v) = %v; want a hint of %q", errno, err, text)
		}
	}
}

// TestForkFailure: after a timeout the error says that the child may be frozen.
func TestForkFailure(t *testing.T) {
	w := newStubs(t.Context(), []plan.Item{{Step: plan.ForkInto{}}}, &Job{})
	if err := w.forkFailure(remote.ErrTimeout); !errors.Is(err, remote.ErrTimeout) || !strings.Contains(err.Error(), "frozen") {
		t.Errorf("forkFailure(timeout) = %v; want a hint of a frozen process", err)
	}
}

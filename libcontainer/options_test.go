package libcontainer_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer"
)

// A file that the caller has closed is an error. Otherwise the container would lack a descriptor.
func TestFilesThatAreClosed(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("files")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	closed, err := os.Open(os.DevNull)
	must(t, err)
	must(t, closed.Close())
	for field, o := range map[string]libcontainer.CreateOptions{
		"Stdin":      {Stdin: closed},
		"Stderr":     {Stderr: closed},
		"ExtraFiles": {ExtraFiles: []*os.File{nil, closed}},
	} {
		o.Spec = spec(path, name, "true")
		if c, err := r.Create(t.Context(), name, o); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Create with a closed file in %s = %v; want %v", field, err, os.ErrClosed)
			if err == nil {
				must(t, c.Delete(t.Context(), true))
			}
		}
	}
	check()
	c := running(t, r, path, name)
	if p, err := c.Exec(t.Context(), libcontainer.ExecOptions{Args: []string{"true"}, Stdout: closed}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Exec with a closed file = %v, %v; want %v", p, err, os.ErrClosed)
	}
	if err := c.Update(t.Context(), nil); err == nil {
		t.Error("Update(nil) = nil; want an error")
	}
	must(t, c.Delete(t.Context(), true))
	check()
}

// LISTEN_FDS is a promise to the program, so the descriptors must exist.
func TestListenFDsThatAreNotThere(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("listen")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	for _, n := range []int{-1, 1} {
		c, err := r.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "true"), ListenFDs: n})
		if err == nil {
			must(t, c.Delete(t.Context(), true))
		}
		if err == nil || !strings.Contains(err.Error(), "socket activation") {
			t.Errorf("Create with %d of no descriptors = %v; want an error", n, err)
		}
	}
	check()
}

// A Start whose context has ended leaves the container as it was.
func TestStartTooLate(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("late")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c, err := r.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "sleep", "1000")})
	must(t, err)
	reason := errors.New("no longer wanted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if err := c.Start(ctx); !errors.Is(err, reason) {
		t.Errorf("Start = %v; want %v", err, reason)
	}
	if s, err := c.State(); err != nil || s.Status != "created" {
		t.Errorf("the container is %s, %v; want created", s.Status, err)
	}
	must(t, c.Delete(t.Context(), true))
	check()
}

// The error of a wrong seccomp profile names the field, and names it once.
func TestSeccompFailure(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("seccomp")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	s := spec(path, name, "true")
	when := func(action specs.LinuxSeccompAction) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"personality"}, Action: action, Args: []specs.LinuxSeccompArg{{Value: 8, Op: specs.OpEqualTo}}}
	}
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{when(specs.ActErrno), when(specs.ActLog)}}
	_, err := r.Create(t.Context(), name, libcontainer.CreateOptions{Spec: s})
	var f *libcontainer.Failure
	if !errors.As(err, &f) || !strings.HasPrefix(err.Error(), f.Field+": ") || strings.Count(err.Error(), "/linux/seccomp") != 1 {
		t.Errorf("Create = %v; want a failure that names its field once", err)
	}
	if want := "/linux/seccomp/syscalls/1/names/0"; f != nil && f.Field != want && f.Field != "/linux/seccomp" { // without libseccomp
		t.Errorf("the field is %s; want %s", f.Field, want)
	}
	check()
}

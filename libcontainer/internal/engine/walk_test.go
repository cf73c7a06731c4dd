package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// inside walks the start of a plan, then the steps of a test. The stub is in a
// new mount namespace with an attached root file system. The stub and its mounts
// are gone at the end of the test.
type inside struct {
	*walk
	t      *testing.T
	rootfs string
	masked bool // the steps contain masks
}

// newInside creates the root file system.
func newInside(t *testing.T) *inside {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a mount namespace takes root")
	}
	in := &inside{t: t, rootfs: t.TempDir()}
	if err := os.Chmod(in.rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	in.walk = newWalk(t.Context(), &plan.Plan{}, &Job{Timeout: 10 * time.Second, Name: "test", Status: os.Stderr})
	t.Cleanup(func() {
		in.sources.close()
		if in.stub != nil {
			in.stub.Kill()
		}
		(&Process{dismissed: in.dismissed}).Reap()
	})
	return in
}

func newMountNamespace() []plan.Step {
	return []plan.Step{plan.Unshare{Flags: unix.CLONE_NEWNS}}
}

func newUserNamespace(more uint64) []plan.Step {
	return []plan.Step{plan.Unshare{Flags: unix.CLONE_NEWUSER}, plan.IDMaps{}, plan.BecomeRoot{}, plan.Unshare{Flags: unix.CLONE_NEWNS | more}}
}

// take walks the steps. Then look checks the result while the stub still holds
// it. The argument of look turns a path of the root file system into the stub's
// view of it.
func (in *inside) take(namespaces []plan.Step, steps []plan.Step, look func(path func(string) string)) error {
	in.t.Helper()
	list := append([]plan.Step{plan.Spawn{}, plan.Harden{}, plan.EnterRootfs{Path: in.rootfs}}, namespaces...)
	list = append(list, plan.Propagation{Flags: unix.MS_PRIVATE | unix.MS_REC}, plan.AttachRootfs{Path: in.rootfs, MaskSources: in.masked, HostNull: len(namespaces) > 1})
	list = append(list, steps...)
	list = append(list, plan.Hooks{Kind: "look"})
	for _, s := range list {
		in.items = append(in.items, plan.Item{Step: s})
	}
	in.job.IDMaps = func(pid int, _ plan.IDMaps) error {
		maps := []specs.LinuxIDMapping{{HostID: 0, Size: 1000}}
		return errors.Join(proc.WriteFile(pid, "uid_map", idMapText(maps)), proc.WriteFile(pid, "gid_map", idMapText(maps)))
	}
	looked := errors.New("looked")
	in.job.Hooks = func(_ context.Context, _ string, pid int) error {
		if look != nil {
			root := filepath.Join("/proc", strconv.Itoa(pid), "root", in.rootfs)
			if changesRoot(steps) {
				root = filepath.Join("/proc", strconv.Itoa(pid), "root")
			}
			look(func(p string) string { return filepath.Join(root, p) })
		}
		return looked
	}
	in.layout = newLayout(in.job)
	_, err := in.run()
	if errors.Is(err, looked) {
		return nil
	}
	if err == nil {
		in.t.Fatal("the walk went past its last step")
	}
	return err
}

func changesRoot(steps []plan.Step) bool {
	return slices.ContainsFunc(steps, func(s plan.Step) bool {
		name := plan.Name(s)
		return name == "Pivot" || name == "ChangeRoot"
	})
}

// file creates a file in the root file system: a directory if text is "/", a
// symlink if text starts with "->".
func (in *inside) file(path, text string) {
	in.t.Helper()
	path = filepath.Join(in.rootfs, path)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	target, link := strings.CutPrefix(text, "->")
	switch {
	case err != nil:
	case text == "/":
		err = os.MkdirAll(path, 0o755)
	case link:
		err = os.Symlink(target, path)
	default:
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		in.t.Fatal(err)
	}
}

// descriptors counts the open descriptors of the stub.
func (in *inside) descriptors() int {
	in.t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(in.stub.Pid) + "/fd")
	if err != nil {
		in.t.Fatal(err)
	}
	return len(entries)
}

func place(p string) plan.Place { return plan.Place{Path: p} }

// TestRescueGoesOnWhereItFailed: the walk repeats the failed step. Earlier steps
// are not repeated, later steps follow.
func TestRescueGoesOnWhereItFailed(t *testing.T) {
	in := newInside(t)
	in.file("once", "/")
	err := in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/once")},
		plan.Mount{Type: "tmpfs", At: place("/missing/a")},
		plan.Mount{Type: "tmpfs", At: place("/missing/b")},
	}, func(path func(string) string) {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(in.stub.Pid) + "/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"/once", "/missing/a", "/missing/b"} {
			if n := strings.Count(string(text), " "+in.rootfs+p+" "); n != 1 {
				t.Errorf("%s is mounted %d times; want once", p, n)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRescueLeavesNoDescriptors: the descriptors of a repeated step are closed.
func TestRescueLeavesNoDescriptors(t *testing.T) {
	steps := []plan.Step{plan.Mount{Type: "tmpfs", At: place("/a/b/c")}, plan.Mount{Type: "tmpfs", At: place("/l/x")}}
	count := func(prepare func(*inside)) (n int) {
		in := newInside(t)
		prepare(in)
		if err := in.take(newMountNamespace(), steps, func(func(string) string) { n = in.descriptors() }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	short := count(func(in *inside) { in.file("a/b/c", "/"); in.file("l/x", "/") })
	long := count(func(in *inside) { in.file("a", "->x/../y"); in.file("l", "->/far/away") })
	if short != long {
		t.Errorf("%d descriptors without and %d with a detour; want as many", short, long)
	}
}

func TestRetriesAreBounded(t *testing.T) {
	w := newWalk(t.Context(), &plan.Plan{Items: []plan.Item{{Step: plan.Cwd{Path: "/"}}}}, &Job{})
	again := &remote.CallError{Call: "openat2()", Errno: unix.EAGAIN}
	n := 0
	for ; n < 10*maxRetries; n++ {
		if err := w.rescue(&stopped{call: again}); err != nil {
			break
		}
	}
	if n != maxRetries-1 && n != maxRetries {
		t.Errorf("EAGAIN was retried %d times; want %d", n, maxRetries)
	}
}

func TestEndOfContextBetweenSteps(t *testing.T) {
	in := newInside(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	in.ctx, in.until = ctx, ctx
	cause := errors.New("enough")
	err := in.take([]plan.Step{plan.Hooks{}}, []plan.Step{plan.Mount{Type: "tmpfs", At: place("/x")}}, func(func(string) string) { cancel(cause) })
	if err != nil { // the hook is also look, and ends the context
		t.Fatal(err)
	}
	again := newInside(t)
	again.ctx, again.until = ctx, ctx
	if err := again.take(newMountNamespace(), nil, nil); !errors.Is(err, cause) {
		t.Errorf("a walk after the end = %v; want %v", err, cause)
	}
}

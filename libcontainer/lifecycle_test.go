package libcontainer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/specconv"
)

// TestMain makes the Go runtime open the descriptors that it keeps open, so that the tests can count descriptors.
func TestMain(m *testing.M) {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	r.Close()
	w.Close()
	os.Exit(m.Run())
}

// rootfs returns a root file system with busybox's shell in it.
func rootfs(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers are made as root here")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("no busybox: apt-get install busybox-static")
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "rootfs")
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range []string{"sh", "true", "sleep", "cat", "echo"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(busybox, "true").CombinedOutput(); err != nil || dynamic(data) {
		t.Skipf("busybox is not static (apt-get install busybox-static): %v %s", err, out)
	}
	return dir
}

func dynamic(elf []byte) bool { return bytes.Contains(elf, []byte("/ld-linux")) }

// left is everything that a container can leave behind: descriptors and children of this process, mounts, cgroups, and
// files of the state root.
type left struct {
	descriptors     int
	mounts, cgroups string
	state           []string
}

func look(t *testing.T, root, name string) left {
	t.Helper()
	var l left
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	l.descriptors = len(entries) - 1
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	l.mounts = string(mounts)
	for _, pattern := range []string{"/sys/fs/cgroup/*" + name + "*", "/sys/fs/cgroup/*/*" + name + "*", "/sys/fs/cgroup/*/*/*" + name + "*", "/sys/fs/cgroup/*/*/*/*" + name + "*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		l.cgroups += strings.Join(found, "\n")
	}
	if entries, err = os.ReadDir(root); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "@") { // caches
			l.state = append(l.state, e.Name())
		}
	}
	return l
}

// leavesNothing returns a function that checks that everything is as it is now.
func leavesNothing(t *testing.T, root, name string) func() {
	t.Helper()
	before := look(t, root, name)
	return func() {
		t.Helper()
		after := look(t, root, name)
		if after.descriptors != before.descriptors {
			t.Errorf("%d descriptors before, %d after", before.descriptors, after.descriptors)
		}
		if after.mounts != before.mounts {
			t.Errorf("mounts were\n%s; are\n%s", before.mounts, after.mounts)
		}
		if after.cgroups != "" || len(after.state) > 0 {
			t.Errorf("left are cgroups %q, state %q", after.cgroups, after.state)
		}
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
			t.Errorf("a child is left: wait4 = %d, %v", pid, err)
		}
	}
}

func TestExample(t *testing.T) {
	path := rootfs(t)
	for _, status := range []int{0, 7} {
		got, err := run(t.TempDir(), path, "sh", "-c", fmt.Sprintf("exit %d", status))
		if got != status || err != nil {
			t.Errorf("run = %d, %v; want %d", got, err, status)
		}
	}
}

// spec returns the example with a program and with a cgroup of its own.
func spec(path, name string, args ...string) *specs.Spec {
	s := specconv.Example()
	s.Root.Path = path
	s.Process.Terminal = false
	s.Process.Args = args
	s.Linux.CgroupsPath = "/" + name
	return s
}

func newRuntime(t *testing.T, root string) *libcontainer.Runtime {
	t.Helper()
	r, err := libcontainer.New(libcontainer.Options{Root: root, Warn: func(msg string) { t.Log(msg) }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func unique(what string) string { return fmt.Sprintf("unit-%s-%d", what, os.Getpid()) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestManyContainersInOneProcess(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("many")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	for i := range 50 {
		id := fmt.Sprintf("%s-%d", name, i)
		c, err := runtime.Create(t.Context(), id, libcontainer.CreateOptions{Spec: spec(path, id, "true")})
		must(t, err)
		must(t, c.Start(t.Context()))
		status, err := c.Wait(t.Context())
		if status != 0 || err != nil {
			t.Fatalf("container %d: exit status %d, %v", i, status, err)
		}
		must(t, c.Delete(t.Context(), false))
	}
	check()
}

func TestExecAndListLeaveNothing(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("exec")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "sleep", "1000")})
	must(t, err)
	defer func() {
		must(t, c.Delete(t.Context(), true))
		check()
	}()
	must(t, c.Start(t.Context()))
	before := look(t, root, name).descriptors
	for range 20 {
		p, err := c.Exec(t.Context(), libcontainer.ExecOptions{Args: []string{"sh", "-c", "exit 3"}})
		must(t, err)
		if status, err := p.Wait(t.Context()); status != 3 || err != nil {
			t.Fatalf("exit status %d, %v; want 3", status, err)
		}
		must(t, p.Close())
		if _, err := runtime.List(); err != nil {
			t.Fatal(err)
		}
		again, err := runtime.Load(name)
		must(t, err)
		if s, err := again.State(); err != nil || s.Status != "running" || s.ID != name {
			t.Fatalf("state %+v, %v", s, err)
		}
		must(t, again.Close())
	}
	if after := look(t, root, name).descriptors; after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestSentinelsOfTheLifecycle(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("sentinels")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "sleep", "1000")})
	must(t, err)
	want := func(what string, err, sentinel error) {
		t.Helper()
		if !errors.Is(err, sentinel) {
			t.Errorf("%s = %v; want %v", what, err, sentinel)
		}
	}
	_, err = runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name+"-2", "true")})
	want("create of a name in use", err, libcontainer.ErrExist)
	must(t, c.Start(t.Context()))
	want("delete of a running one", c.Delete(t.Context(), false), libcontainer.ErrNotStopped)
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "already running") {
		t.Errorf("start of a running one = %v", err)
	}
	must(t, c.Pause(t.Context()))
	_, err = c.Exec(t.Context(), libcontainer.ExecOptions{Args: []string{"true"}})
	want("exec in a paused one", err, libcontainer.ErrPaused)
	want("delete of a paused one", c.Delete(t.Context(), false), libcontainer.ErrNotStopped)
	must(t, c.Resume(t.Context()))
	must(t, c.Kill(unix.SIGKILL, false))
	if status, err := c.Wait(t.Context()); status != 128+9 || err != nil {
		t.Errorf("exit status %d, %v; want 137", status, err)
	}
	want("kill of a stopped one", c.Kill(unix.SIGTERM, false), libcontainer.ErrNotRunning)
	_, err = c.Exec(t.Context(), libcontainer.ExecOptions{Args: []string{"true"}})
	want("exec in a stopped one", err, libcontainer.ErrNotRunning)
	want("pause of a stopped one", c.Pause(t.Context()), libcontainer.ErrNotRunning)
	must(t, c.Delete(t.Context(), false))
	_, err = runtime.Load(name)
	want("load of a deleted one", err, libcontainer.ErrNotExist)
	want("delete of a deleted one", runtime.Delete(t.Context(), name, false), libcontainer.ErrNotExist)
	check()
}

// Every Wait gets the exit status, whoever ends the container, and no zombie is left.
func TestWaitWhileDeleted(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("wait")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "sleep", "1000")})
	must(t, err)
	must(t, c.Start(t.Context()))
	type end struct {
		status int
		err    error
	}
	ends := make(chan end)
	for range 3 {
		go func() {
			status, err := c.Wait(t.Context())
			ends <- end{status, err}
		}()
	}
	time.Sleep(20 * time.Millisecond) // until they wait
	must(t, c.Delete(t.Context(), true))
	for range 3 {
		if got := <-ends; got != (end{137, nil}) {
			t.Errorf("Wait = %d, %v; want 137", got.status, got.err)
		}
	}
	if status, err := c.Wait(t.Context()); status != 137 || err != nil {
		t.Errorf("Wait after Delete = %d, %v; want 137", status, err)
	}
	check()
}

// A program that cannot be executed is an error of Create if that can be known by then, and of Start otherwise.
func TestProgramsThatCannotBeExecuted(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("noexec")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	must(t, os.WriteFile(filepath.Join(path, "bin/broken"), []byte("no program"), 0o755))
	_, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "nowhere")})
	var f *libcontainer.Failure
	if !errors.As(err, &f) || f.Field != "/process/args/0" || !strings.HasSuffix(err.Error(), "executable file not found in $PATH") {
		t.Errorf("create = %v; want a failure of /process/args/0", err)
	}
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "broken")})
	must(t, err)
	if err := c.Start(t.Context()); !errors.Is(err, unix.ENOEXEC) {
		t.Errorf("start = %v; want ENOEXEC", err)
	}
	if s, err := c.State(); err != nil || s.Status != "stopped" {
		t.Errorf("state %q, %v; want stopped", s.Status, err)
	}
	_, _ = c.Wait(t.Context())
	must(t, c.Delete(t.Context(), false))
	check()
}

// A Create that is cancelled at any moment leaves nothing behind.
func TestCreateCancelled(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("cancel")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	cause := errors.New("no longer wanted")

	before, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := runtime.Create(before, name, libcontainer.CreateOptions{Spec: spec(path, name, "true")}); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		t.Errorf("create with a cancelled context = %v", err)
	}
	check()

	cancelled, made := 0, 0
	for i := range 80 {
		ctx, cancel := context.WithCancelCause(t.Context())
		timer := time.AfterFunc(time.Duration(i)*60*time.Microsecond, func() { cancel(cause) })
		c, err := runtime.Create(ctx, name, libcontainer.CreateOptions{Spec: spec(path, name, "true")})
		timer.Stop()
		switch {
		case err == nil:
			made++
			must(t, c.Delete(t.Context(), true))
		case errors.Is(err, cause) || errors.Is(err, context.Canceled):
			cancelled++
		default:
			t.Errorf("cancelled after %d: %v", i, err)
		}
		cancel(nil)
	}
	t.Logf("%d cancelled, %d made", cancelled, made)
	check()
}

// Start does not wait for a container that was paused before its start. Its error says that the program runs when the
// container is resumed, and so it does.
func TestStartOfAPausedOne(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("startpaused")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "sh", "-c", "exit 7")})
	must(t, err)
	must(t, c.Pause(t.Context()))
	began := time.Now()
	if err := c.Start(t.Context()); !errors.Is(err, libcontainer.ErrPaused) || time.Since(began) > 10*time.Second {
		t.Errorf("start of a paused one = %v after %v; want %v", err, time.Since(began), libcontainer.ErrPaused)
	}
	must(t, c.Resume(t.Context()))
	if status, err := c.Wait(t.Context()); status != 7 || err != nil {
		t.Errorf("exit status %d, %v; want 7", status, err)
	}
	must(t, c.Delete(t.Context(), false))
	check()
}

// sharingPids returns a spec without a pid namespace, in which the end of a process does not end its children.
func sharingPids(path, name string, args ...string) *specs.Spec {
	s := spec(path, name, args...)
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/proc" })
	return s
}

// Without a cgroup only the first process is known, and it alone gets a signal for all.
func TestKillWithoutACgroup(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("killno")
	runtime, err := libcontainer.New(libcontainer.Options{Root: root, CgroupManager: "disabled"})
	must(t, err)
	check := leavesNothing(t, root, name)
	for _, tt := range []struct {
		sig unix.Signal
		all bool
	}{{unix.SIGKILL, false}, {unix.SIGKILL, true}, {unix.SIGTERM, false}, {unix.SIGTERM, true}} {
		s := sharingPids(path, name, "sleep", "1000")
		s.Linux.Resources = nil
		c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: s})
		must(t, err)
		must(t, c.Start(t.Context()))
		must(t, c.Kill(tt.sig, tt.all))
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		if status, err := c.Wait(ctx); status != 128+int(tt.sig) || err != nil {
			t.Errorf("Kill(%v, %v): exit status %d, %v", tt.sig, tt.all, status, err)
		}
		stop()
		if err := c.Kill(tt.sig, tt.all); !errors.Is(err, libcontainer.ErrNotRunning) {
			t.Errorf("Kill(%v, %v) of one that has ended = %v; want %v", tt.sig, tt.all, err, libcontainer.ErrNotRunning)
		}
		must(t, c.Delete(t.Context(), true))
		check()
	}
}

// A failed poststart hook stops the container (runtime.md, "Lifecycle"): all its processes, not only the first one.
func TestPoststartThatFailsStopsAll(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("poststart")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	s := sharingPids(path, name, "sh", "-c", "sleep 1000 & sleep 1000")
	s.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 0.3; exit 1"}}}}
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: s})
	must(t, err)
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "/hooks/poststart/0") {
		t.Errorf("start = %v; want the hook's failure", err)
	}
	var pids []int
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if pids, err = c.Processes(); len(pids) == 0 {
			break
		}
	}
	if len(pids) > 0 || err != nil {
		t.Errorf("still there: %v, %v", pids, err)
	}
	_, _ = c.Wait(t.Context())
	must(t, c.Delete(t.Context(), true))
	check()
}

// An Exec that is cancelled at any moment leaves no process, neither a running one in the container nor a zombie.
func TestExecCancelled(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("cancelexec")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "sleep", "1000")})
	must(t, err)
	must(t, c.Start(t.Context()))
	cause := errors.New("no longer wanted")
	cancelled, made := 0, 0
	for i := range 150 {
		ctx, cancel := context.WithCancelCause(t.Context())
		timer := time.AfterFunc(time.Duration(i)*20*time.Microsecond, func() { cancel(cause) })
		p, err := c.Exec(ctx, libcontainer.ExecOptions{Args: []string{"sleep", "1000"}})
		timer.Stop()
		switch {
		case err == nil:
			made++
			must(t, p.Signal(unix.SIGKILL))
			_, err := p.Wait(t.Context())
			must(t, err)
			must(t, p.Close())
		case errors.Is(err, cause):
			cancelled++
		default:
			t.Errorf("cancelled after %d: %v", i, err)
		}
		cancel(nil)
		if pids, err := c.Processes(); err != nil || len(pids) != 1 {
			t.Fatalf("cancelled after %d: the container has the processes %v, %v; want one", i, pids, err)
		}
	}
	t.Logf("%d cancelled, %d made", cancelled, made)
	must(t, c.Delete(t.Context(), true))
	check()
}

// Create does not wait for a hook any longer when the context ends.
func TestCreateCancelledInAHook(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("hook")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	for _, kind := range []string{"createRuntime", "createContainer"} {
		s := spec(path, name, "true")
		list := []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "1000"}}}
		if kind == "createRuntime" {
			s.Hooks = &specs.Hooks{CreateRuntime: list}
		} else {
			s.Hooks = &specs.Hooks{CreateContainer: list}
		}
		ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
		begin := time.Now()
		_, err := runtime.Create(ctx, name, libcontainer.CreateOptions{Spec: s})
		stop()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 10*time.Second {
			t.Errorf("%s: create = %v after %v; want %v", kind, err, time.Since(begin), context.DeadlineExceeded)
		}
		check()
	}
}

// In a container without a mount namespace, or without any namespace, the root file system is the root all the same. This
// is also true for the processes of Exec.
func TestWithoutMountNamespace(t *testing.T) {
	for _, keep := range []int{4, 0} {
		t.Run(fmt.Sprintf("%d namespaces", keep), func(t *testing.T) {
			path, root, name := rootfs(t), t.TempDir(), unique(fmt.Sprintf("root-%d", keep))
			must(t, os.WriteFile(filepath.Join(path, "marker"), []byte("inside\n"), 0o644))
			runtime := newRuntime(t, root)
			check := leavesNothing(t, root, name)
			s := spec(path, name, "sleep", "1000")
			s.Linux = &specs.Linux{CgroupsPath: s.Linux.CgroupsPath, Namespaces: s.Linux.Namespaces[:keep]}
			s.Mounts, s.Root.Readonly, s.Hostname, s.Process.Cwd = nil, false, "", "/made/by/create"
			c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: s})
			must(t, err)
			must(t, c.Start(t.Context()))
			out, stdout, err := os.Pipe()
			must(t, err)
			p, err := c.Exec(t.Context(), libcontainer.ExecOptions{Args: []string{"sh", "-c", "cat /marker; pwd"}, Stdout: stdout, Stderr: stdout})
			stdout.Close()
			must(t, err)
			if status, err := p.Wait(t.Context()); status != 0 || err != nil {
				t.Errorf("exit status %d, %v", status, err)
			}
			p.Close()
			got, err := io.ReadAll(out)
			if err != nil || string(got) != "inside\n/made/by/create\n" {
				t.Errorf("the program wrote %q, %v", got, err)
			}
			out.Close()
			must(t, c.Delete(t.Context(), true))
			check()
		})
	}
}

func TestStreamsAndDescriptors(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("streams")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	extra := filepath.Join(t.TempDir(), "extra")
	must(t, os.WriteFile(extra, []byte("three\n"), 0o644))
	file, err := os.Open(extra)
	must(t, err)
	stdin, in, err := os.Pipe()
	must(t, err)
	out, stdout, err := os.Pipe()
	must(t, err)
	pidFile := filepath.Join(t.TempDir(), "pid")
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{
		Spec:  spec(path, name, "sh", "-c", "cat; cat <&3; echo $LISTEN_FDS $LISTEN_PID $HOME; ls /proc/self/fd | wc -l >/dev/null"),
		Stdin: stdin, Stdout: stdout, Stderr: stdout, ExtraFiles: []*os.File{file}, ListenFDs: 1, PidFile: pidFile,
	})
	must(t, err)
	stdin.Close()
	stdout.Close()
	file.Close()
	if text, err := os.ReadFile(pidFile); err != nil || string(text) != fmt.Sprint(c.Pid()) {
		t.Errorf("the pid file holds %q, %v; want %d", text, err, c.Pid())
	}
	must(t, c.Start(t.Context()))
	_, err = in.WriteString("zero\n")
	must(t, err)
	in.Close()
	got, err := io.ReadAll(out)
	if want := "zero\nthree\n1 1 /\n"; err != nil || !strings.HasPrefix(string(got), want) {
		t.Errorf("the program wrote %q, %v; want %q", got, err, want)
	}
	out.Close()
	_, err = c.Wait(t.Context())
	must(t, err)
	must(t, c.Delete(t.Context(), false))
	check()
}

// The terminal is handed to the caller, which owns it.
func TestConsole(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("console")
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	s := spec(path, name, "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size && echo on $(tty)")
	must(t, os.Symlink("busybox", filepath.Join(path, "bin/stty")))
	must(t, os.Symlink("busybox", filepath.Join(path, "bin/tty")))
	s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Height: 24, Width: 80}
	if _, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: s}); err == nil {
		t.Error("a terminal was made for nobody")
	}
	var master *os.File
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: s, Console: func(f *os.File) error { master = f; return nil }})
	must(t, err)
	must(t, c.Start(t.Context()))
	status, err := c.Wait(t.Context())
	if status != 0 || err != nil {
		t.Errorf("exit status %d, %v", status, err)
	}
	shown, _ := io.ReadAll(master) // ends with EIO: the other end is closed
	if got := string(shown); !strings.HasPrefix(got, "24 80\r\non /dev/") {
		t.Errorf("the terminal shows %q", got)
	}
	must(t, master.Close())
	must(t, c.Delete(t.Context(), false))
	check()
	// An error of the caller's Console is the error of Create.
	refused := errors.New("no room on the desk")
	_, err = runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: s, Console: func(f *os.File) error { f.Close(); return refused }})
	if !errors.Is(err, refused) {
		t.Errorf("create = %v; want %v", err, refused)
	}
	check()
}

// A plan needs no privileges and makes nothing.
func TestPlan(t *testing.T) {
	path, root := t.TempDir(), t.TempDir()+"/root"
	r := newRuntime(t, root)
	p, err := r.Plan(libcontainer.CreateOptions{Spec: spec(path, "unit-plan", "sh")}, "plan")
	must(t, err)
	if text := p.String(); !strings.Contains(text, "mount proc on /proc") || !strings.Contains(text, `execute "sh"`) {
		t.Errorf("the plan is\n%s", text)
	}
	if raw, err := p.MarshalJSON(); err != nil || !bytes.HasPrefix(raw, []byte(`[{"step":"Spawn"`)) {
		t.Errorf("as JSON it is %.40s, %v", raw, err)
	}
	if _, err := os.Stat(root); err == nil {
		t.Error("a plan makes the state root")
	}
	if list, err := os.ReadDir(path); err != nil || len(list) != 0 {
		t.Errorf("a plan puts %v into the root file system, %v", list, err)
	}
}

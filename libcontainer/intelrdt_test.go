package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/resctrl"
	"github.com/onggi-dev/onggi/specconv"
)

// fakeResctrl returns a directory in which a new group gets the files that the kernel would make.
func fakeResctrl(t *testing.T) resctrl.Host {
	t.Helper()
	h := resctrl.Host{Root: t.TempDir()}
	h.Mkdir = func(path string, mode uint32) error {
		if err := unix.Mkdir(path, mode); err != nil {
			return err
		}
		for _, name := range []string{"schemata", "tasks"} {
			if err := os.WriteFile(filepath.Join(path, name), nil, 0o644); err != nil {
				return err
			}
		}
		return os.Mkdir(filepath.Join(path, "mon_groups"), 0o755)
	}
	return h
}

// empty removes the files of a group, as the kernel does when the group is removed.
func empty(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"schemata", "tasks", "mon_groups"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func text(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// rdtBundle returns a bundle whose program does not end by itself.
func rdtBundle(t *testing.T, rdt *specs.LinuxIntelRdt) CreateOptions {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("containers are made as root, with busybox")
	}
	bundle := t.TempDir()
	for _, dir := range []string{"bin", "proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(bundle, "rootfs", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(busybox)
	if err == nil {
		err = os.WriteFile(filepath.Join(bundle, "rootfs/bin/sleep"), data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := specconv.Example()
	s.Root.Path, s.Process.Terminal = "rootfs", false
	s.Process.Args = []string{"/bin/sleep", "1000"}
	s.Linux.IntelRdt = rdt
	s.Linux.CgroupsPath = "/onggi-rdt-" + strconv.Itoa(os.Getpid())
	return CreateOptions{Bundle: bundle, Spec: s}
}

// end kills the container's first process, which is a child of the test, and reaps it.
func end(t *testing.T, c *Container) {
	t.Helper()
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestIntelRdt(t *testing.T) {
	o := rdtBundle(t, &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", EnableMonitoring: true})
	r, err := New(Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r.resctrl = fakeResctrl(t)
	ctx := context.Background()
	first, err := r.Create(ctx, "c", o)
	if err != nil {
		t.Fatal(err)
	}
	group, mon := filepath.Join(r.resctrl.Root, "c"), filepath.Join(r.resctrl.Root, "c/mon_groups/c")
	pid := strconv.Itoa(first.Pid())
	for path, want := range map[string]string{group + "/schemata": "L3:0=f", group + "/tasks": pid, mon + "/tasks": pid} {
		if got := text(t, path); got != want {
			t.Errorf("%s = %q; want %q", path, got, want)
		}
	}

	// A Container that is loaded knows the same.
	c, err := r.Load("c")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Exec(ctx, ExecOptions{Args: []string{"/bin/sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, group, "tasks"); got == pid || got == "" {
		t.Errorf("tasks after exec = %q; want the process that becomes the further one", got)
	}
	if err := c.UpdateIntelRdt(&specs.LinuxIntelRdt{MemBwSchema: "MB:0=20"}); err != nil {
		t.Fatal(err)
	}
	if got := text(t, group, "schemata"); got != "MB:0=20" {
		t.Errorf("schemata after update = %q", got)
	}
	if err := c.UpdateIntelRdt(&specs.LinuxIntelRdt{MemBwSchema: "L3:0=1"}); err == nil {
		t.Error("a schema of the wrong kind is taken")
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, _ = p.Wait(ctx)

	empty(t, mon)
	if err := os.Remove(mon); err != nil { // so that its parent directory can be emptied
		t.Fatal(err)
	}
	empty(t, group)
	end(t, first)
	if err := c.Delete(ctx, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(group); !os.IsNotExist(err) {
		t.Errorf("the container's class of service is left: %v", err)
	}
}

func TestIntelRdtKeepsWhatIsNotItsOwn(t *testing.T) {
	o := rdtBundle(t, &specs.LinuxIntelRdt{ClosID: "gold"})
	r, err := New(Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r.resctrl = fakeResctrl(t)
	ctx := context.Background()
	if _, err := r.Create(ctx, "c", o); !errors.Is(err, unix.ENOENT) || !strings.HasPrefix(err.Error(), "/linux/intelRdt: ") {
		t.Fatalf("Create in a class that is not there = %v; want ENOENT", err)
	}
	group := filepath.Join(r.resctrl.Root, "gold")
	if err := r.resctrl.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := r.Create(ctx, "c", o)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, group, "tasks"); got != strconv.Itoa(c.Pid()) {
		t.Errorf("tasks = %q; want %d", got, c.Pid())
	}
	empty(t, group) // from here on rmdir would succeed: the runtime must not call it
	end(t, c)
	if err := c.Delete(ctx, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(group); err != nil {
		t.Errorf("a class of service with a closID is removed: %v", err)
	}
}

// A create that fails after it has made the class of service removes it.
func TestIntelRdtAfterAFailedCreate(t *testing.T) {
	o := rdtBundle(t, &specs.LinuxIntelRdt{})
	o.Spec.Process.Args = []string{"/no/such/program"}
	r, err := New(Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r.resctrl = fakeResctrl(t)
	fill := r.resctrl.Mkdir
	group := filepath.Join(r.resctrl.Root, "c")
	r.resctrl.Mkdir = func(path string, mode uint32) error {
		if err := fill(path, mode); err != nil {
			return err
		}
		return os.Rename(path, path+".full") // rmdir can remove only an empty directory
	}
	_, err = r.Create(context.Background(), "c", o)
	if err == nil || !strings.HasPrefix(err.Error(), "/linux/intelRdt: ") {
		t.Fatalf("Create = %v; want that there are no tasks", err)
	}
	if _, err := os.Stat(group); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
}

// Without intelRdt, the runtime neither looks for resctrl nor makes anything.
func TestNoIntelRdtTouchesNothing(t *testing.T) {
	o := rdtBundle(t, nil)
	r, err := New(Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r.resctrl = fakeResctrl(t)
	list := func() (names []string) {
		entries, err := os.ReadDir(r.resctrl.Root)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, _ := e.Info()
			names = append(names, fmt.Sprint(e.Name(), info.ModTime()))
		}
		return names
	}
	before := list()
	c, err := r.Create(t.Context(), "c", o)
	if err != nil {
		t.Fatal(err)
	}
	end(t, c)
	if err := c.Delete(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if after := list(); !slices.Equal(before, after) {
		t.Errorf("resctrl: %q, then %q", before, after)
	}
}

func TestIntelRdtWithoutResctrl(t *testing.T) {
	if _, err := (resctrl.Host{}).Group("c", &specs.LinuxIntelRdt{}); err == nil {
		t.Skip("this machine has resctrl")
	}
	o := rdtBundle(t, &specs.LinuxIntelRdt{})
	r, err := New(Options{Root: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Create(context.Background(), "c", o)
	if !errors.Is(err, resctrl.ErrNotMounted) || !strings.HasPrefix(err.Error(), "/linux/intelRdt: intelRdt is specified in config, but Intel RDT is not enabled") {
		t.Errorf("Create = %v; want that there is no resctrl", err)
	}
	if _, err := os.Stat(r.options.Root); !os.IsNotExist(err) {
		t.Errorf("something was made: %v", err)
	}
	p, err := r.Plan(o, "c")
	if err != nil || !strings.Contains(p.String(), "enter /sys/fs/resctrl/c") {
		t.Errorf("Plan = %v, %v; want it all the same", p, err)
	}
}

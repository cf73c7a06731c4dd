package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testParent is the cgroup that every kernel test works below.
func testParent() string { return fmt.Sprintf("/onggi-test-%d", os.Getpid()) }

// testTimeout bounds every wait for the kernel; none takes a tenth of it.
const testTimeout = 20 * time.Second

// newPaths is a new cgroup, not created yet, for one test. What is left of it
// fails the test.
func newPaths(t testing.TB, name string) Paths {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	h, err := Detect()
	if err != nil {
		t.Skipf("no cgroups: %v", err)
	}
	p, err := Resolve(h, path.Join(testParent(), name), "id", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, d := range p.dirs() {
			for dir := d.Path; dir != "/"; dir = path.Dir(dir) {
				if abs := path.Join(d.Mountpoint, dir); unix.Access(abs, unix.F_OK) == nil {
					t.Errorf("%s is left behind", abs)
				}
			}
		}
	})
	return p
}

// create makes p for one test and removes it after.
func create(t testing.TB, p Paths, o CreateOptions) (Paths, []string) {
	t.Helper()
	used, made, err := p.Create(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := testContext(t)
		if err := used.Kill(ctx); err != nil {
			t.Error(err)
		}
		if err := used.WaitEmpty(ctx); err != nil {
			t.Error(err)
		}
		if err := used.Remove(ctx, made); err != nil {
			t.Error(err)
		}
	})
	return used, made
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// start runs a command in p and reaps it in the end.
func start(t testing.TB, p Paths, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if f, err := p.OpenUnified(); err != nil {
		t.Fatal(err)
	} else if f != nil {
		defer f.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if err := p.Join(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestCreateRemove(t *testing.T) {
	p := newPaths(t, "a/b")
	missing := p.Missing()
	used, made, err := p.Create(CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(made, " "), strings.Join(missing, " "); got != want {
		t.Errorf("made = %v; want what was missing: %v", got, want)
	}
	if err := used.Remove(testContext(t), made); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	p := newPaths(b, "bench")
	// The parent stays, as an engine's does.
	_, parents, err := newPathsParent(p).Create(CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer newPathsParent(p).Remove(context.Background(), parents)
	var c, r time.Duration
	for b.Loop() {
		t0 := time.Now()
		used, made, err := p.Create(CreateOptions{})
		if err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		if err := used.Remove(context.Background(), made); err != nil {
			b.Fatal(err)
		}
		c += t1.Sub(t0)
		r += time.Since(t1)
	}
	b.ReportMetric(float64(c.Microseconds())/float64(b.N), "create-µs/op")
	b.ReportMetric(float64(r.Microseconds())/float64(b.N), "remove-µs/op")
}

func newPathsParent(p Paths) Paths {
	p = p.clone()
	ds, _ := p.named("")
	for _, d := range ds {
		d.Path = path.Dir(d.Path)
	}
	return p
}

package libcontainer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
)

// running returns a running container, whose program sleeps.
func running(t *testing.T, r *libcontainer.Runtime, path, name string) *libcontainer.Container {
	t.Helper()
	c, err := r.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "sleep", "1000")})
	must(t, err)
	must(t, c.Start(t.Context()))
	return c
}

// Any number of goroutines may use one Container; run this with -race. The container was loaded, so several goroutines
// read its configuration for the first time at once.
func TestOneContainerForMany(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("shared")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	made := running(t, r, path, name)
	defer made.Close()
	c, err := r.Load(name)
	must(t, err)
	pids := int64(100)
	methods := map[string]func() error{
		"Spec":      func() error { _, err := c.Spec(); return err },
		"State":     func() error { _, err := c.State(); return err },
		"OCIState":  func() error { _, err := c.OCIState(); return err },
		"Stats":     func() error { _, err := c.Stats(); return err },
		"Processes": func() error { _, err := c.Processes(); return err },
		"Resources": func() error { _, err := c.Resources(); return err },
		"Update": func() error {
			return c.Update(t.Context(), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &pids}})
		},
		"Kill": func() error { return c.Kill(unix.SIGWINCH, false) },
		"Exec": func() error {
			p, err := c.Exec(t.Context(), libcontainer.ExecOptions{Args: []string{"sh", "-c", "exit 3"}})
			if err != nil {
				return err
			}
			defer p.Close()
			if status, err := p.Wait(t.Context()); status != 3 || err != nil {
				return fmt.Errorf("exit status %d, %w", status, err)
			}
			return nil
		},
	}
	var all sync.WaitGroup
	for name, method := range methods {
		for range 3 {
			all.Go(func() {
				if err := method(); err != nil {
					t.Errorf("%s = %v", name, err)
				}
			})
		}
	}
	all.Wait()

	// Now two goroutines delete the container.
	statuses := make(chan error, 2)
	for range cap(statuses) {
		go func() {
			status, err := c.Wait(t.Context())
			if status != 137 {
				err = fmt.Errorf("exit status %d, %w", status, err)
			}
			statuses <- err
		}()
	}
	time.Sleep(20 * time.Millisecond) // until they wait
	for name, method := range methods {
		all.Go(func() {
			for range 5 {
				if err := method(); errors.Is(err, unix.EBADF) || errors.Is(err, os.ErrClosed) {
					t.Errorf("%s while it is deleted = %v", name, err)
				}
			}
		})
	}
	for range 2 {
		all.Go(func() { must(t, c.Delete(t.Context(), true)) })
	}
	all.Wait()
	for range cap(statuses) {
		if err := <-statuses; err != nil {
			t.Errorf("Wait = %v", err)
		}
	}
	for name, method := range methods {
		if err := method(); !errors.Is(err, libcontainer.ErrNotExist) {
			t.Errorf("%s of a deleted one = %v; want %v", name, err, libcontainer.ErrNotExist)
		}
	}
	must(t, made.Close())
	check()
}

// After Close there is no pidfd to wait on. A Wait must not hang.
func TestClosedContainer(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("closed")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c := running(t, r, path, name)
	p, err := c.Exec(t.Context(), libcontainer.ExecOptions{Args: []string{"sleep", "1000"}})
	must(t, err)

	waiting := make(chan int)
	go func() {
		status, err := c.Wait(t.Context())
		if err != nil {
			t.Error(err)
		}
		waiting <- status
	}()
	time.Sleep(20 * time.Millisecond) // until it waits
	must(t, c.Close())
	must(t, c.Close())
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	_, waitErr := c.Wait(ctx)
	_, stateErr := c.State()
	for name, err := range map[string]error{"Wait": waitErr, "State": stateErr, "Kill": c.Kill(unix.SIGKILL, false), "Delete": c.Delete(ctx, true)} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s of a closed one = %v; want %v", name, err, os.ErrClosed)
		}
	}

	must(t, p.Signal(unix.SIGTERM))
	for range 2 {
		if status, err := p.Wait(t.Context()); status != 128+15 || err != nil {
			t.Errorf("Process.Wait = %d, %v; want %d", status, err, 128+15)
		}
	}
	must(t, p.Close())
	if status, err := p.Wait(ctx); status != 128+15 || err != nil {
		t.Errorf("Process.Wait after Close = %d, %v; want %d, which it knows", status, err, 128+15)
	}

	must(t, r.Delete(t.Context(), name, true))
	if status := <-waiting; status != 137 {
		t.Errorf("exit status %d; want 137", status)
	}
	check()
}

// A refused Delete closes all descriptors that it has opened.
func TestDeleteRefusedLeavesNothing(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("refused")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c := running(t, r, path, name)
	before := look(t, root, name).descriptors
	for range 3 {
		if err := r.Delete(t.Context(), name, false); !errors.Is(err, libcontainer.ErrNotStopped) {
			t.Errorf("Delete = %v; want %v", err, libcontainer.ErrNotStopped)
		}
	}
	if after := look(t, root, name).descriptors; after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	must(t, c.Delete(t.Context(), true))
	must(t, c.Delete(t.Context(), true))
	if err := c.Delete(t.Context(), false); !errors.Is(err, libcontainer.ErrNotExist) {
		t.Errorf("Delete of a deleted one = %v; want %v", err, libcontainer.ErrNotExist)
	}
	check()
}

// Wait also works for a container that another Container has started.
func TestWaitForALoadedOne(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("loaded")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c := running(t, r, path, name)
	loaded, err := r.Load(name)
	must(t, err)
	must(t, c.Kill(unix.SIGKILL, false))
	status, err := c.Wait(t.Context())
	if status != 137 || err != nil {
		t.Errorf("Wait = %d, %v; want 137", status, err)
	}
	if _, err := loaded.Wait(t.Context()); !errors.Is(err, libcontainer.ErrNotRunning) {
		t.Errorf("Wait for one that had been collected = %v; want %v", err, libcontainer.ErrNotRunning)
	}
	must(t, loaded.Close())
	must(t, c.Delete(t.Context(), false))
	check()
}

// A caller that changes the result of Spec does not change the container's configuration.
func TestSpecIsTheCallers(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("spec")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c := running(t, r, path, name)
	s, err := c.Spec()
	must(t, err)
	s.Process.Args[0], s.Process.Cwd, s.Linux.Namespaces = "changed", "/changed", nil
	again, err := c.Spec()
	must(t, err)
	if again.Process.Args[0] != "sleep" || again.Process.Cwd != "/" || len(again.Linux.Namespaces) == 0 {
		t.Errorf("Spec() = %+v; want it as it was", again.Process)
	}
	must(t, c.Delete(t.Context(), true))
	check()
}

// Many concurrent callers, of which each may give up at any moment, leave nothing behind.
func TestManyAtOnce(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("crowd")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	goroutines := runtime.NumGoroutine()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 1 {
				defer time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, cancel).Stop()
			}
			err := live(ctx, r, path, fmt.Sprintf("%s-%d", name, i))
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("container %d: %v", i, err)
			}
		})
	}
	all.Wait()
	check()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // goroutines of ended contexts may still be there
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, n)
	}
}

// live creates, starts and deletes a container, and executes a process in it.
func live(ctx context.Context, r *libcontainer.Runtime, path, id string) (err error) {
	c, err := r.Create(ctx, id, libcontainer.CreateOptions{Spec: spec(path, id, "sleep", "1000")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Delete(context.Background(), true)) }()
	if err := c.Start(ctx); err != nil {
		return err
	}
	p, err := c.Exec(ctx, libcontainer.ExecOptions{Args: []string{"true"}})
	if err != nil {
		return err
	}
	defer p.Close()
	if _, err := p.Wait(context.Background()); err != nil {
		return err
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		return err
	}
	if status, err := c.Wait(context.Background()); status != 137 {
		return fmt.Errorf("exit status %d, %w", status, err)
	}
	return nil
}

func TestStartAndResumeSentinels(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("again")
	r := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c := running(t, r, path, name)
	if err := c.Start(t.Context()); !errors.Is(err, libcontainer.ErrNotCreated) || !strings.Contains(err.Error(), "already running") {
		t.Errorf("Start of a running one = %v; want %v", err, libcontainer.ErrNotCreated)
	}
	if err := c.Resume(t.Context()); !errors.Is(err, libcontainer.ErrNotPaused) {
		t.Errorf("Resume of a running one = %v; want %v", err, libcontainer.ErrNotPaused)
	}
	must(t, c.Pause(t.Context()))
	if s, err := c.OCIState(); err != nil || s.Status != specs.StateRunning || s.Pid != c.Pid() || s.ID != name {
		t.Errorf("OCIState of a paused one = %+v, %v", s, err)
	}
	must(t, c.Kill(unix.SIGKILL, false))
	_, err := c.Wait(t.Context())
	must(t, err)
	if err := c.Start(t.Context()); !errors.Is(err, libcontainer.ErrNotCreated) {
		t.Errorf("Start of a stopped one = %v; want %v", err, libcontainer.ErrNotCreated)
	}
	if s, err := c.OCIState(); err != nil || s.Status != specs.StateStopped || s.Pid != 0 {
		t.Errorf("OCIState of a stopped one = %+v, %v", s, err)
	}
	must(t, c.Delete(t.Context(), false))
	check()
}

package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/options"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// task is one container. Its fields before deleting do not change after Create.
type task struct {
	group     *Group
	id        string
	bundle    string
	options   options.Options
	container *libcontainer.Container
	rootfs    string // directory with the shim's mounts; "" for none
	sharesPID bool   // no pid namespace of its own: processes can outlive the first one
	first     *process

	// The processes of a restored container run when Create returns. Its end is reported
	// only after Start, Kill or Delete have called begin: the start event comes first.
	checkpointed string        // directory of the checkpoint; "" for a new container
	begun        chan struct{} // begin closes it
	begin        func()

	deleting sync.Mutex // held by Delete

	mu    sync.Mutex
	execs map[string]*process
	oom   *libcontainer.OOMWatch
	stop  []func() // functions that end the watches
}

func (t *task) process(execID string) (*process, error) {
	if execID == "" {
		return t.first, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.execs[execID]; p != nil {
		return p, nil
	}
	return nil, ttrpc.Errorf(ttrpc.NotFound, "process %s of container %s does not exist: not found", execID, t.id)
}

// execIDs maps the pids of running Exec processes to their ids.
func (t *task) execIDs() map[int]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := map[int]string{}
	for id, p := range t.execs {
		if s := p.state(); s.Status == wire.Status_RUNNING {
			ids[int(s.Pid)] = id
		}
	}
	return ids
}

// observe watches the first process for its end and the container for OOM kills.
func (t *task) observe() error {
	pidfd, err := t.container.Pidfd()
	if errors.Is(err, libcontainer.ErrNotRunning) { // a restored container may have ended already
		go t.ended()
		return nil
	}
	if err != nil {
		return err
	}
	poll := unix.PollFd{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}
	stop, err := t.group.watch.Add(poll, func() bool { return false }, t.ended)
	if err != nil {
		pidfd.Close()
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop = append(t.stop, func() { stop(); pidfd.Close() })
	return t.observeOOM()
}

// observeOOM watches the container for OOM kills. The caller holds t.mu.
func (t *task) observeOOM() error {
	w, err := t.container.WatchOOM()
	if errors.Is(err, libcontainer.ErrNotRunning) {
		return nil
	}
	if err != nil || w == nil {
		return err
	}
	t.oom = w
	stop, err := t.group.watch.Add(w.Poll(), t.killed, nil)
	if err != nil {
		w.Close()
		t.oom = nil
		return err
	}
	t.stop = append(t.stop, func() { stop(); w.Close() })
	return nil
}

// killed sends an event if there were OOM kills since the last call. It returns false if the
// cgroup no longer exists.
func (t *task) killed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.oom == nil {
		return false
	}
	n, err := t.oom.Kills()
	if n > 0 {
		t.group.send("oom", "TaskOOM", &wire.TaskContainer{ContainerId: t.id})
	}
	return err == nil
}

// start starts the program of the container.
func (t *task) start(ctx context.Context) error {
	p := t.first
	p.life.Lock()
	defer p.life.Unlock()
	if !p.is(wire.Status_CREATED) {
		return ttrpc.Errorf(ttrpc.FailedPrecondition, "cannot start a container that is not created: failed precondition")
	}
	if t.checkpointed == "" {
		if err := t.container.Start(ctx); err != nil {
			return fmt.Errorf("OCI runtime start failed: %w: unknown", err)
		}
	}
	p.set(wire.Status_RUNNING)
	t.begin()
	t.group.send("start", "TaskStart", &wire.TaskStart{ContainerId: t.id, Pid: p.state().Pid})
	return nil
}

// ended handles the end of the first process. It sends the exit event after those of all
// other processes.
func (t *task) ended() {
	<-t.begun
	p := t.first
	ctx, stop := context.WithTimeout(context.Background(), endTime)
	defer stop()
	exit, err := t.container.Wait(ctx)
	if err != nil {
		t.group.warn("exit status of container "+t.id, err)
		exit = 255
	}
	p.life.Lock()
	defer p.life.Unlock()
	if t.sharesPID {
		if err := t.container.Kill(unix.SIGKILL, true); err != nil && !errors.Is(err, libcontainer.ErrNotRunning) && !errors.Is(err, libcontainer.ErrNotExist) {
			t.group.warn("processes that outlive container "+t.id, err)
		}
	}
	t.awaitExecs(ctx)
	t.killed()
	waiters, result := p.end(exit)
	s := p.state()
	t.group.send("exit", "TaskExit", &wire.TaskExit{ContainerId: t.id, Id: t.id, Pid: s.Pid, ExitStatus: s.ExitStatus, ExitedAt: s.ExitedAt})
	for _, w := range waiters {
		w.Reply(result, nil)
	}
	close(p.done)
}

// awaitExecs waits for the exit events of all other processes. They are dead or about to
// die.
func (t *task) awaitExecs(ctx context.Context) {
	t.mu.Lock()
	var running []*process
	for _, e := range t.execs {
		if e.is(wire.Status_RUNNING) {
			running = append(running, e)
		}
	}
	t.mu.Unlock()
	for _, e := range running {
		select {
		case <-e.done:
		case <-ctx.Done():
			return
		}
	}
}

func (t *task) pause(ctx context.Context) error {
	err := t.container.Pause(ctx)
	if err == nil {
		t.first.set(wire.Status_PAUSED)
	}
	return err
}

func (t *task) resume(ctx context.Context) error {
	err := t.container.Resume(ctx)
	if err == nil {
		t.first.set(wire.Status_RUNNING)
	}
	return err
}

// kill sends a signal to one process or, with all, to every process of the container.
func (t *task) kill(p *process, sig unix.Signal, all bool) error {
	switch {
	case p == t.first:
		t.begin()
		return t.container.Kill(sig, all)
	case !p.is(wire.Status_RUNNING):
		return ttrpc.Errorf(ttrpc.NotFound, "process %s is not running: process already finished: not found", p.execID)
	}
	return p.handle.Signal(sig)
}

// close ends the watches.
func (t *task) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, stop := range t.stop {
		stop()
	}
	t.stop, t.oom = nil, nil
}

// awaitEnd waits for the exit event of a process that was killed.
func awaitEnd(p *process) error {
	select {
	case <-p.done:
		return nil
	case <-time.After(endTime):
		return fmt.Errorf("the process has not ended within %s", endTime)
	}
}

package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/stdio"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// exec registers a process. Start runs it.
func (g *Group) exec(_ context.Context, r *wire.ExecProcessRequest) (wire.Message, error) {
	t, err := g.find(r.Id)
	if err != nil {
		return nil, err
	}
	var spec specs.Process
	if r.ExecId == "" || r.Spec == nil {
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "a process needs an id and a description: invalid argument")
	}
	if err := json.Unmarshal(r.Spec.Value, &spec); err != nil {
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "process of type %s: %v: invalid argument", r.Spec.TypeUrl, err)
	}
	spec.Terminal = r.Terminal
	p := newProcess(stdio.Config{
		Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal, UID: t.options.UID, GID: t.options.GID,
		Copy: t.first.config.Copy || copies(&spec), ID: r.Id, Namespace: g.namespace,
	})
	p.execID, p.spec = r.ExecId, &spec
	t.mu.Lock()
	_, used := t.execs[r.ExecId]
	if !used {
		t.execs[r.ExecId] = p
	}
	t.mu.Unlock()
	if used {
		return nil, ttrpc.Errorf(ttrpc.AlreadyExists, "process %s of container %s: already exists", r.ExecId, r.Id)
	}
	g.send("exec-added", "TaskExecAdded", &wire.TaskExecAdded{ContainerId: r.Id, ExecId: r.ExecId})
	return nil, nil
}

// startExec runs a registered process.
func (t *task) startExec(ctx context.Context, p *process) error {
	p.life.Lock()
	defer p.life.Unlock()
	if !p.is(wire.Status_CREATED) {
		return ttrpc.Errorf(ttrpc.FailedPrecondition, "process %s has been started before: failed precondition", p.execID)
	}
	if t.first.is(wire.Status_STOPPED) {
		return ttrpc.Errorf(ttrpc.FailedPrecondition, "container %s init process is not running: failed precondition", t.id)
	}
	t.group.enter()
	defer t.group.leave()
	if err := t.run(ctx, p); err != nil {
		waiters, result := p.end(255)
		for _, w := range waiters { // clients call Wait before Start
			w.Reply(result, nil)
		}
		close(p.done)
		return statusOf(fmt.Errorf("OCI runtime exec failed: exec failed: %w: unknown", err))
	}
	t.group.send("exec-started", "TaskExecStarted", &wire.TaskExecStarted{ContainerId: t.id, ExecId: p.execID, Pid: p.state().Pid})
	return nil
}

func (t *task) run(ctx context.Context, p *process) error {
	streams, err := stdio.Open(ctx, p.config)
	if err != nil {
		return err
	}
	o := libcontainer.ExecOptions{Process: p.spec, Stdin: streams.Stdin, Stdout: streams.Stdout, Stderr: streams.Stderr}
	if p.config.Terminal {
		o.Console = streams.Console
	}
	handle, err := t.container.Exec(ctx, o)
	if err != nil {
		streams.Close()
		return err
	}
	streams.Passed()
	p.handle, p.spec = handle, nil
	p.setIO(streams)
	p.runs(handle.Pid(), wire.Status_RUNNING)
	if err := t.observeExec(p); err != nil {
		return errors.Join(err, endUnseen(handle))
	}
	return nil
}

// endUnseen kills and reaps a process whose watch could not be set up.
func endUnseen(handle *libcontainer.Process) error {
	ctx, stop := context.WithTimeout(context.Background(), endTime)
	defer stop()
	defer handle.Close()
	err := handle.Signal(unix.SIGKILL)
	_, waited := handle.Wait(ctx)
	return errors.Join(err, waited)
}

// observeExec watches a process of Exec for its end.
func (t *task) observeExec(p *process) error {
	pidfd, err := p.handle.Pidfd()
	if err != nil {
		return err
	}
	poll := unix.PollFd{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}
	_, err = t.group.watch.Add(poll, func() bool { return false }, func() {
		pidfd.Close()
		t.execEnded(p)
	})
	if err != nil {
		pidfd.Close()
	}
	return err
}

func (t *task) execEnded(p *process) {
	ctx, stop := context.WithTimeout(context.Background(), endTime)
	defer stop()
	exit, err := p.handle.Wait(ctx)
	if err != nil {
		t.group.warn("exit status of process "+p.execID, err)
		exit = 255
	}
	p.handle.Close()
	p.life.Lock()
	defer p.life.Unlock()
	waiters, result := p.end(exit)
	s := p.state()
	t.group.send("exit", "TaskExit", &wire.TaskExit{ContainerId: t.id, Id: p.execID, Pid: s.Pid, ExitStatus: s.ExitStatus, ExitedAt: s.ExitedAt})
	for _, w := range waiters {
		w.Reply(result, nil)
	}
	close(p.done)
}

package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

func (g *Group) delete(_ context.Context, r *wire.ProcessRequest) (wire.Message, error) {
	t, p, err := g.findProcess(r.Id, r.ExecId)
	if err != nil {
		return nil, err
	}
	if p != t.first {
		return t.deleteExec(p)
	}
	t.deleting.Lock()
	defer t.deleting.Unlock()
	if _, err := g.find(r.Id); err != nil { // another Delete has removed it meanwhile
		return nil, err
	}
	return t.delete()
}

// delete removes the container and everything that create made. After an error it can be
// called again. The client's timeout does not bound it: an engine gives up after some
// seconds and calls again.
func (t *task) delete() (wire.Message, error) {
	if s := t.first.state().Status; s == wire.Status_RUNNING || s == wire.Status_PAUSED {
		return nil, ttrpc.Errorf(ttrpc.FailedPrecondition, "cannot delete a running process: failed precondition")
	}
	t.begin()
	unstarted := t.checkpointed != "" && t.first.is(wire.Status_CREATED) // but its processes run
	if err := t.container.Delete(context.Background(), unstarted); err != nil && !errors.Is(err, libcontainer.ErrNotExist) {
		return nil, statusOf(fmt.Errorf("OCI runtime delete failed: %w", err))
	}
	if err := awaitEnd(t.first); err != nil { // Delete kills the process of a container that was never started
		return nil, err
	}
	t.first.closeIO()
	for _, e := range t.takeExecs() {
		e.closeIO()
	}
	t.close()
	if err := t.unmount(); err != nil {
		return nil, err
	}
	Forget(t.bundle)
	t.group.put(t.id, nil)
	d := t.first.deleted()
	t.group.send("delete", "TaskDelete", &wire.TaskDelete{ContainerId: t.id, Pid: d.Pid, ExitStatus: d.ExitStatus, ExitedAt: d.ExitedAt})
	return d, nil
}

func (t *task) takeExecs() map[string]*process {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.execs
	t.execs = map[string]*process{}
	return all
}

// deleteExec removes a process of Exec that has ended or was never started.
func (t *task) deleteExec(p *process) (wire.Message, error) {
	p.life.Lock()
	defer p.life.Unlock()
	if p.is(wire.Status_RUNNING) {
		return nil, ttrpc.Errorf(ttrpc.FailedPrecondition, "cannot delete a running process: failed precondition")
	}
	p.closeIO()
	t.mu.Lock()
	delete(t.execs, p.execID)
	t.mu.Unlock()
	return p.deleted(), nil
}

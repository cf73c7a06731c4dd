package task

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/metrics"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// method answers one call. A nil message means an empty one.
type method func(g *Group, ctx context.Context, payload []byte) (wire.Message, error)

// methods are the methods of containerd.task.v2.Task and v3.Task. The two services differ
// only in their names. Handle treats Wait separately, because its answer comes later.
var methods = map[string]method{
	"State":      unary((*Group).state),
	"Create":     unary((*Group).create),
	"Start":      unary((*Group).start),
	"Delete":     unary((*Group).delete),
	"Pids":       unary((*Group).pids),
	"Pause":      unary((*Group).pause),
	"Resume":     unary((*Group).resume),
	"Checkpoint": unary((*Group).checkpoint),
	"Kill":       unary((*Group).kill),
	"Exec":       unary((*Group).exec),
	"ResizePty":  unary((*Group).resizePty),
	"CloseIO":    unary((*Group).closeIO),
	"Update":     unary((*Group).update),
	"Stats":      unary((*Group).stats),
	"Connect":    unary((*Group).connect),
	"Shutdown":   unary((*Group).shutdownCall),
}

// unary returns a method that decodes the request and calls f.
func unary[T any, M interface {
	*T
	wire.Message
}](f func(*Group, context.Context, M) (wire.Message, error)) method {
	return func(g *Group, ctx context.Context, payload []byte) (wire.Message, error) {
		m := M(new(T))
		if err := m.UnmarshalVT(payload); err != nil {
			return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "the request cannot be decoded: %v", err)
		}
		return f(g, ctx, m)
	}
}

// Handle answers one call of containerd.
func (g *Group) Handle(call *ttrpc.Call) {
	if call.Service != "containerd.task.v2.Task" && call.Service != "containerd.task.v3.Task" {
		call.Reply(nil, ttrpc.Errorf(ttrpc.Unimplemented, "the shim does not serve %s", call.Service))
		return
	}
	if call.Method == "Wait" {
		g.wait(call)
		return
	}
	f := methods[call.Method]
	if f == nil {
		call.Reply(nil, ttrpc.Errorf(ttrpc.Unimplemented, "the task service has no method %s", call.Method))
		return
	}
	ctx, stop := call.Context()
	defer stop()
	call.Reply(f(g, ctx, call.Payload))
}

func (g *Group) state(_ context.Context, r *wire.ProcessRequest) (wire.Message, error) {
	t, p, err := g.findProcess(r.Id, r.ExecId)
	if err != nil {
		return nil, err
	}
	s := p.state()
	s.Id, s.ExecId, s.Bundle = r.Id, r.ExecId, t.bundle
	return s, nil
}

// wait registers the call with its process. It needs no goroutine of its own.
func (g *Group) wait(call *ttrpc.Call) {
	var r wire.ProcessRequest
	if err := r.UnmarshalVT(call.Payload); err != nil {
		call.Reply(nil, ttrpc.Errorf(ttrpc.InvalidArgument, "the request cannot be decoded: %v", err))
		return
	}
	_, p, err := g.findProcess(r.Id, r.ExecId)
	if err != nil {
		call.Reply(nil, err)
		return
	}
	p.await(call)
}

func (g *Group) start(ctx context.Context, r *wire.ProcessRequest) (wire.Message, error) {
	t, p, err := g.findProcess(r.Id, r.ExecId)
	if err != nil {
		return nil, err
	}
	if p == t.first {
		err = t.start(ctx)
	} else {
		err = t.startExec(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	return &wire.PidResponse{Pid: p.state().Pid}, nil
}

// pids lists the processes of a container. It marks those that Exec started.
func (g *Group) pids(_ context.Context, r *wire.ProcessRequest) (wire.Message, error) {
	t, err := g.find(r.Id)
	if err != nil {
		return nil, err
	}
	pids, err := t.container.Processes()
	if err != nil {
		return nil, statusOf(err)
	}
	ids := t.execIDs()
	out := &wire.PidsResponse{}
	for _, pid := range pids {
		info := &wire.ProcessInfo{Pid: uint32(pid)}
		if id, ok := ids[pid]; ok {
			if info.Info, err = wire.Pack(wire.TypeProcessDetails, &wire.ProcessDetails{ExecId: id}); err != nil {
				return nil, err
			}
		}
		out.Processes = append(out.Processes, info)
	}
	return out, nil
}

func (g *Group) pause(ctx context.Context, r *wire.ProcessRequest) (wire.Message, error) {
	return g.freeze(ctx, r.Id, true)
}

func (g *Group) resume(ctx context.Context, r *wire.ProcessRequest) (wire.Message, error) {
	return g.freeze(ctx, r.Id, false)
}

func (g *Group) freeze(ctx context.Context, id string, pause bool) (wire.Message, error) {
	t, err := g.find(id)
	if err != nil {
		return nil, err
	}
	if pause {
		err = t.pause(ctx)
	} else {
		err = t.resume(ctx)
	}
	if err != nil {
		return nil, statusOf(err)
	}
	if pause {
		g.send("paused", "TaskPaused", &wire.TaskContainer{ContainerId: id})
	} else {
		g.send("resumed", "TaskResumed", &wire.TaskContainer{ContainerId: id})
	}
	return nil, nil
}

func (g *Group) kill(_ context.Context, r *wire.KillRequest) (wire.Message, error) {
	t, p, err := g.findProcess(r.Id, r.ExecId)
	if err != nil {
		return nil, err
	}
	if r.Signal > 64 {
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "signal %d is above 64", r.Signal)
	}
	return nil, statusOf(t.kill(p, unix.Signal(r.Signal), r.All))
}

func (g *Group) resizePty(_ context.Context, r *wire.ResizePtyRequest) (wire.Message, error) {
	_, p, err := g.findProcess(r.Id, r.ExecId)
	if err != nil {
		return nil, err
	}
	if r.Width > 1<<16-1 || r.Height > 1<<16-1 {
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "a terminal of %d by %d characters is too large", r.Width, r.Height)
	}
	return nil, p.resize(uint16(r.Width), uint16(r.Height))
}

func (g *Group) closeIO(_ context.Context, r *wire.CloseIORequest) (wire.Message, error) {
	_, p, err := g.findProcess(r.Id, r.ExecId)
	if err == nil && r.Stdin {
		p.closeStdin()
	}
	return nil, err
}

func (g *Group) update(ctx context.Context, r *wire.UpdateTaskRequest) (wire.Message, error) {
	t, err := g.find(r.Id)
	if err != nil {
		return nil, err
	}
	if r.Resources == nil {
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "the request has no resources: invalid argument")
	}
	var resources specs.LinuxResources
	if err := json.Unmarshal(r.Resources.Value, &resources); err != nil {
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "resources of type %s: %v", r.Resources.TypeUrl, err)
	}
	return nil, statusOf(t.container.Update(ctx, &resources))
}

func (g *Group) stats(_ context.Context, r *wire.ProcessRequest) (wire.Message, error) {
	t, err := g.find(r.Id)
	if err != nil {
		return nil, err
	}
	s, err := t.container.Stats()
	if errors.Is(err, libcontainer.ErrNotRunning) { // the cgroup of a stopped container still counts OOM kills
		s, err = t.container.CgroupStats()
	}
	if err != nil {
		return nil, statusOf(err)
	}
	packed, err := metrics.Pack(s, g.unified)
	if err != nil {
		return nil, err
	}
	return &wire.StatsResponse{Stats: packed}, nil
}

// connect returns the pids of the shim and of the task. A missing task is no error.
func (g *Group) connect(_ context.Context, r *wire.ProcessRequest) (wire.Message, error) {
	out := &wire.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if t, err := g.find(r.Id); err == nil {
		out.TaskPid = t.first.state().Pid
	}
	return out, nil
}

func (g *Group) shutdownCall(context.Context, *wire.ShutdownRequest) (wire.Message, error) {
	g.shutdown()
	return nil, nil
}

// statusOf adds the code to an error of the library on which containerd branches.
func statusOf(err error) error {
	var coded *ttrpc.Error
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case errors.Is(err, libcontainer.ErrNotRunning), errors.Is(err, unix.ESRCH), errors.Is(err, os.ErrProcessDone):
		return ttrpc.Errorf(ttrpc.NotFound, "%s", withWords(err, "process already finished: not found"))
	case errors.Is(err, libcontainer.ErrNotExist):
		return ttrpc.Errorf(ttrpc.NotFound, "%s", withWords(err, "not found"))
	case errors.Is(err, libcontainer.ErrExist):
		return ttrpc.Errorf(ttrpc.AlreadyExists, "%s", withWords(err, "already exists"))
	case errors.Is(err, libcontainer.ErrPaused), errors.Is(err, libcontainer.ErrNotPaused),
		errors.Is(err, libcontainer.ErrNotStopped), errors.Is(err, libcontainer.ErrNotCreated):
		return ttrpc.Errorf(ttrpc.FailedPrecondition, "%s", withWords(err, "failed precondition"))
	}
	return err
}

// withWords appends the words of containerd's own error, unless the text has them.
func withWords(err error, words string) string {
	text := err.Error()
	if strings.Contains(text, words) {
		return text
	}
	return text + ": " + words
}

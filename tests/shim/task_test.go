package shim

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/containerd/api/events"
	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	taskstatus "github.com/containerd/containerd/api/types/task"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func (p *pod) state(execID string) *task.StateResponse {
	p.Helper()
	r, err := p.task.State(p.ctx(), &task.StateRequest{ID: p.id, ExecID: execID})
	if err != nil {
		p.Fatalf("State: %v", err)
	}
	return r
}

// TestLifeOfATask checks the states, the exit status, and the order of the events.
func TestLifeOfATask(t *testing.T) {
	p := newPod(t, "sh", "-c", "exit 7")
	pid := p.create()
	s := p.state("")
	same(t, "status, pid, bundle", []any{s.Status, s.Pid, s.Bundle}, []any{taskstatus.Status_CREATED, pid, p.bundle})
	if got := s.ExitedAt.AsTime(); !got.IsZero() {
		t.Errorf("ExitedAt of a living task = %v; want the zero time", got)
	}
	waited := make(chan int, 1)
	go func() { waited <- p.wait("") }()
	if _, err := p.task.Start(p.ctx(), &task.StartRequest{ID: p.id}); err != nil {
		t.Fatal(err)
	}
	same(t, "Wait", <-waited, 7)
	same(t, "Wait after the end", p.wait(""), 7)
	s = p.state("")
	same(t, "status after the end", []any{s.Status, s.ExitStatus}, []any{taskstatus.Status_STOPPED, 7})
	if since := time.Since(s.ExitedAt.AsTime()); since < 0 || since > time.Minute {
		t.Errorf("ExitedAt is %v ago", since)
	}
	r := p.remove()
	same(t, "Delete", []any{r.Pid, r.ExitStatus}, []any{pid, 7})
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("stat of the socket after Shutdown: %v; want %v", err, os.ErrNotExist)
	}
	same(t, "events", p.topics(t, 4), []string{"/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"})
}

// TestBothVersionsOfTheService checks that v2 and v3 have the same methods.
func TestBothVersionsOfTheService(t *testing.T) {
	p := newPod(t, "sleep", "1000")
	p.up()
	r, err := taskv2.NewTTRPCTaskClient(p.client).State(p.ctx(), &taskv2.StateRequest{ID: p.id})
	must(t, err)
	same(t, "status by v2", r.Status, taskstatus.Status_RUNNING)
	p.kill()
	p.remove()
}

// TestExecs checks exit statuses, events, signals and errors of Exec processes.
func TestExecs(t *testing.T) {
	p := newPod(t, "sleep", "1000")
	p.up()
	if _, err := p.exec("a", nil, "sh", "-c", "exit 3"); err != nil {
		t.Fatal(err)
	}
	same(t, "exit status", p.wait("a"), 3)
	_, err := p.exec("a", nil, "true")
	fails(t, "an id in use", err, codes.AlreadyExists, "already exists")
	_, err = p.exec("b", nil, "/nosuch")
	fails(t, "a program that is not there", err, codes.Unknown, "OCI runtime exec failed", "no such file or directory")
	same(t, "status of it", p.state("b").Status, taskstatus.Status_STOPPED)
	pid, err := p.exec("c", nil, "sleep", "1000")
	must(t, err)
	_, err = p.task.Delete(p.ctx(), &task.DeleteRequest{ID: p.id, ExecID: "c"})
	fails(t, "Delete of a running process", err, codes.FailedPrecondition)
	pids, err := p.task.Pids(p.ctx(), &task.PidsRequest{ID: p.id})
	must(t, err)
	same(t, "number of processes", len(pids.Processes), 2)
	for _, i := range pids.Processes {
		same(t, "process has details", i.Info != nil, int(i.Pid) == pid)
	}
	_, err = p.task.Kill(p.ctx(), &task.KillRequest{ID: p.id, ExecID: "c", Signal: 9})
	must(t, err)
	same(t, "exit status of the killed", p.wait("c"), 137)
	_, err = p.task.Kill(p.ctx(), &task.KillRequest{ID: p.id, ExecID: "c", Signal: 9})
	fails(t, "Kill of a process that has ended", err, codes.NotFound, "process already finished")
	for _, id := range []string{"a", "b", "c"} {
		if _, err := p.task.Delete(p.ctx(), &task.DeleteRequest{ID: p.id, ExecID: id}); err != nil {
			t.Errorf("Delete of %s: %v", id, err)
		}
	}
	p.kill()
	_, err = p.exec("d", nil, "true")
	fails(t, "an exec after the end", err, codes.FailedPrecondition)
	p.remove()
}

// TestAWaitBeforeAFailedStart checks that a failed Start ends an earlier Wait. Clients call Wait before Start.
func TestAWaitBeforeAFailedStart(t *testing.T) {
	p := newPod(t, "sleep", "1000")
	p.up()
	spec, err := json.Marshal(specs.Process{Args: []string{"/nosuch"}, Cwd: "/"})
	must(t, err)
	_, err = p.task.Exec(p.ctx(), &task.ExecProcessRequest{ID: p.id, ExecID: "a", Spec: &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process", Value: spec}})
	must(t, err)
	ended := make(chan error, 1)
	go func() {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		_, err := p.task.Wait(ctx, &task.WaitRequest{ID: p.id, ExecID: "a"})
		ended <- err
	}()
	time.Sleep(100 * time.Millisecond) // until the server has registered the wait
	_, err = p.task.Start(p.ctx(), &task.StartRequest{ID: p.id, ExecID: "a"})
	fails(t, "Start", err, codes.Unknown)
	if err := <-ended; err != nil {
		t.Errorf("Wait = %v after a failed Start", err)
	}
	p.kill()
	p.remove()
}

// TestExecsEndBeforeTheFirst checks that the exit event of the first process is the last one.
func TestExecsEndBeforeTheFirst(t *testing.T) {
	p := newPod(t, "sleep", "1000")
	p.up()
	for _, id := range []string{"a", "b", "c"} {
		if _, err := p.exec(id, nil, "sleep", "1000"); err != nil {
			t.Fatal(err)
		}
	}
	p.kill()
	topics := p.topics(t, 12)
	same(t, "number of exits", count(topics, "/tasks/exit"), 4)
	p.mu.Lock()
	last := p.seen[11]
	p.mu.Unlock()
	var exit events.TaskExit
	must(t, proto.Unmarshal(last.Event.Value, &exit))
	same(t, "the last exit", exit.ID, p.id)
	p.remove()
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// TestSharedPidNamespace checks that the end of the first process kills the others.
func TestSharedPidNamespace(t *testing.T) {
	p := newBundle(t, "sh", "-c", "sleep 1000 & sleep 1000")
	p.spec.Linux.Namespaces = append([]specs.LinuxNamespace{}, p.spec.Linux.Namespaces[1:]...)
	p.writeConfig()
	p.start()
	p.up()
	eventually(t, "there are not two processes", func() bool {
		pids, err := p.task.Pids(p.ctx(), &task.PidsRequest{ID: p.id})
		return err == nil && len(pids.Processes) >= 2
	})
	p.kill()
	p.remove()
}

// TestPauseUpdateStats checks the methods that change or read the cgroup.
func TestPauseUpdateStats(t *testing.T) {
	p := newPod(t, "sleep", "1000")
	p.up()
	_, err := p.task.Pause(p.ctx(), &task.PauseRequest{ID: p.id})
	must(t, err)
	same(t, "status", p.state("").Status, taskstatus.Status_PAUSED)
	_, err = p.exec("a", nil, "true")
	fails(t, "exec in a paused container", err, codes.FailedPrecondition, "paused")
	_, err = p.task.Resume(p.ctx(), &task.ResumeRequest{ID: p.id})
	must(t, err)
	same(t, "status", p.state("").Status, taskstatus.Status_RUNNING)
	limit := int64(64 << 20)
	resources, err := json.Marshal(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}})
	must(t, err)
	_, err = p.task.Update(p.ctx(), &task.UpdateTaskRequest{ID: p.id, Resources: &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources", Value: resources}})
	must(t, err)
	stats, err := p.task.Stats(p.ctx(), &task.StatsRequest{ID: p.id})
	must(t, err)
	switch stats.Stats.TypeUrl {
	case "io.containerd.cgroups.v1.Metrics":
		var m cgroup1.Metrics
		must(t, proto.Unmarshal(stats.Stats.Value, &m))
		same(t, "limit, pids", []any{m.Memory.Usage.Limit, m.Pids.Current}, []any{limit, 1})
	case "io.containerd.cgroups.v2.Metrics":
		var m cgroup2.Metrics
		must(t, proto.Unmarshal(stats.Stats.Value, &m))
		same(t, "limit, pids", []any{m.Memory.UsageLimit, m.Pids.Current}, []any{limit, 1})
	default:
		t.Errorf("statistics of type %q", stats.Stats.TypeUrl)
	}
	p.kill()
	if _, err := p.task.Stats(p.ctx(), &task.StatsRequest{ID: p.id}); err != nil {
		t.Errorf("Stats of a stopped container: %v", err)
	}
	p.remove()
}

// TestOOMEvent checks that an OOM kill is an event before the exit event.
func TestOOMEvent(t *testing.T) {
	p := newBundle(t, "/bin/busybox", "tail", "/dev/zero")
	limit := int64(16 << 20)
	p.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	p.writeConfig()
	p.start()
	p.up()
	same(t, "exit status", p.wait(""), 137)
	topics := p.topics(t, 4)
	same(t, "third and fourth event", topics[2:4], []string{"/tasks/oom", "/tasks/exit"})
	p.remove()
}

// TestUnknownTasks calls the methods with the id of a missing task.
func TestUnknownTasks(t *testing.T) {
	p := newPod(t, "true")
	_, err := p.task.State(p.ctx(), &task.StateRequest{ID: "nobody"})
	fails(t, "State", err, codes.NotFound)
	_, err = p.task.Kill(p.ctx(), &task.KillRequest{ID: "nobody", Signal: 9})
	fails(t, "Kill", err, codes.NotFound)
	_, err = p.task.Wait(p.ctx(), &task.WaitRequest{ID: "nobody"})
	fails(t, "Wait", err, codes.NotFound)
	r, err := p.task.Connect(p.ctx(), &task.ConnectRequest{ID: "nobody"})
	must(t, err)
	same(t, "pid of nobody", r.TaskPid, 0)
	_, err = p.task.Checkpoint(p.ctx(), &task.CheckpointTaskRequest{ID: "nobody"})
	fails(t, "Checkpoint", err, codes.NotFound)
	p.shutdown()
}

// TestCreateFails checks that the error has the words that engines search for, and that nothing is left.
func TestCreateFails(t *testing.T) {
	for name, change := range map[string]func(*pod, *task.CreateTaskRequest){
		"no program":     func(p *pod, _ *task.CreateTaskRequest) { p.spec.Process.Args = []string{"/nosuch"}; p.writeConfig() },
		"no config.json": func(p *pod, _ *task.CreateTaskRequest) { os.Remove(filepath.Join(p.bundle, "config.json")) },
		"bad mount": func(_ *pod, r *task.CreateTaskRequest) {
			r.Rootfs = []*types.Mount{{Type: "bind", Source: "/nosuch", Options: []string{"rbind"}}}
		},
		"second bad mount": func(p *pod, r *task.CreateTaskRequest) {
			r.Rootfs = []*types.Mount{{Type: "bind", Source: p.bundle, Options: []string{"rbind"}}, {Type: "nosuchfs", Source: "x"}}
		},
		"stdout is no FIFO": func(p *pod, r *task.CreateTaskRequest) { r.Stdout = filepath.Join(p.bundle, "config.json") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, "true")
			r := &task.CreateTaskRequest{ID: p.id, Bundle: p.bundle}
			change(p, r)
			_, err := p.task.Create(p.ctx(), r)
			fails(t, "Create", err, codes.Unknown, "OCI runtime create failed: ")
			_, err = p.task.State(p.ctx(), &task.StateRequest{ID: p.id})
			fails(t, "State", err, codes.NotFound)
			p.shutdown()
		})
	}
}

// TestRootfsMounts checks that the mounts of the request form the root file system, and that Delete removes them.
func TestRootfsMounts(t *testing.T) {
	p := newPod(t, "cat", "/file")
	lower, upper, work := filepath.Join(p.dir, "l"), filepath.Join(p.dir, "u"), filepath.Join(p.dir, "w")
	must(t, os.Rename(filepath.Join(p.bundle, "rootfs"), lower))
	for _, dir := range []string{upper, work} {
		must(t, os.Mkdir(dir, 0o755))
	}
	must(t, os.WriteFile(filepath.Join(upper, "file"), []byte("from the upper layer"), 0o644))
	out := filepath.Join(p.dir, "out")
	p.up(func(r *task.CreateTaskRequest) {
		r.Rootfs = []*types.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + lower, "upperdir=" + upper, "workdir=" + work}}}
		r.Stdout = "file://" + out
	})
	same(t, "exit status", p.wait(""), 0)
	p.remove()
	text, err := os.ReadFile(out)
	must(t, err)
	same(t, "output", string(text), "from the upper layer")
}

// TestAConnectionEnds disconnects clients. The server must undo a Create and must drop a Wait.
func TestAConnectionEnds(t *testing.T) {
	p := newPod(t, "sleep", "1000")
	p.up()
	ctx, stop := context.WithCancel(context.Background())
	go p.task.Wait(ctx, &task.WaitRequest{ID: p.id})
	time.Sleep(50 * time.Millisecond)
	stop()
	p.client.Close()
	p.connect("unix://" + p.socket)
	same(t, "status", p.state("").Status, taskstatus.Status_RUNNING)
	p.kill()
	p.remove()
}

// TestTheCommandSeesTheContainer: list, top and events of the command onggi, with the shim's state root.
func TestTheCommandSeesTheContainer(t *testing.T) {
	command := filepath.Join(filepath.Dir(shimBinary), "onggi")
	if _, err := os.Stat(command); err != nil {
		t.Skipf("%v: make", err)
	}
	p := newPod(t, "sleep", "1000")
	pid := p.up()
	for _, args := range [][]string{{"list"}, {"top", "--once", "--interval", "10ms"}, {"events", "--stats", p.id}, {"state", p.id}} {
		out, err := exec.Command(command, append([]string{"--root", "/run/containerd/onggi/test"}, args...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), p.id) {
			t.Errorf("onggi %q = %v, %s; want a line with %s", args, err, out, p.id)
		}
		if args[0] == "state" && !strings.Contains(string(out), fmt.Sprint(pid)) {
			t.Errorf("onggi state says %s; want pid %d", out, pid)
		}
	}
	p.kill()
	p.remove()
}

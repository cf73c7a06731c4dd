package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	task "github.com/containerd/containerd/api/runtime/task/v3"
	events "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/ttrpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// shimBinary is the shim under test.
var shimBinary = os.Getenv("SHIM")

func TestMain(m *testing.M) {
	if os.Getuid() != 0 || shimBinary == "" {
		fmt.Println("needs root, and SHIM: the path of containerd-shim-onggi-v1: skipped")
		return
	}
	os.Exit(m.Run())
}

// containerd stands for containerd: it receives the events of the shim.
type containerd struct {
	dir     string // short, because of sockets
	address string
	mu      sync.Mutex
	seen    []*types.Envelope
	more    chan struct{}
}

func newContainerd(t *testing.T) *containerd {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "shim")
	if err != nil {
		t.Fatal(err)
	}
	c := &containerd{dir: dir, address: filepath.Join(dir, "c.ttrpc"), more: make(chan struct{}, 1)}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	events.RegisterTTRPCEventsService(server, c)
	l, err := net.Listen("unix", c.address)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(context.Background(), l)
	t.Cleanup(func() {
		server.Close()
		os.RemoveAll(dir)
	})
	return c
}

// seenMax is the number of events that are kept.
const seenMax = 10_000

// Forward receives an event.
func (c *containerd) Forward(_ context.Context, r *events.ForwardRequest) (*emptypb.Empty, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) < seenMax {
		c.seen = append(c.seen, r.Envelope)
	}
	select {
	case c.more <- struct{}{}:
	default: // nobody waits for events
	}
	return &emptypb.Empty{}, nil
}

// topics waits for n events and returns their topics.
func (c *containerd) topics(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		c.mu.Lock()
		var all []string
		for _, e := range c.seen {
			all = append(all, e.Topic)
		}
		c.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-c.more:
		case <-deadline:
			t.Fatalf("events: %q; want %d", all, n)
		}
	}
}

var serial atomic.Int64

// pod is a bundle whose server runs.
type pod struct {
	*testing.T
	*containerd
	id     string
	bundle string
	spec   *specs.Spec
	client *ttrpc.Client
	task   task.TTRPCTaskService
	socket string
}

// newPod creates a bundle with a command and starts its server.
func newPod(t *testing.T, args ...string) *pod {
	t.Helper()
	p := newBundle(t, args...)
	p.start()
	return p
}

func newBundle(t *testing.T, args ...string) *pod {
	t.Helper()
	p := &pod{T: t, containerd: newContainerd(t), id: fmt.Sprintf("shimtest-%d-%d", os.Getpid(), serial.Add(1))}
	p.bundle = filepath.Join(p.dir, "bundle")
	root := filepath.Join(p.bundle, "rootfs")
	for _, dir := range []string{"bin", "proc", "dev", "sys", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	busybox, err := exec.LookPath("busybox")
	must(t, err)
	data, err := os.ReadFile(busybox)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "bin/busybox"), data, 0o755))
	for _, name := range []string{"sh", "echo", "cat", "sleep", "true", "stty", "readlink"} {
		must(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	must(t, unix.Mkfifo(filepath.Join(p.bundle, "log"), 0o600))
	p.spec = &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}, {Destination: "/dev", Type: "tmpfs", Source: "tmpfs"}, {Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620"}}},
		Linux: &specs.Linux{
			CgroupsPath: "/" + p.id,
			Namespaces:  []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace}},
		},
	}
	t.Cleanup(func() { p.left() })
	p.writeConfig()
	return p
}

func (p *pod) writeConfig() {
	p.Helper()
	data, err := json.Marshal(p.spec)
	must(p.T, err)
	must(p.T, os.WriteFile(filepath.Join(p.bundle, "config.json"), data, 0o644))
}

// flags returns the flags of every call of the binary.
func (p *pod) flags(more ...string) []string {
	return append([]string{"-namespace", "test", "-address", filepath.Join(p.dir, "c.sock"), "-publish-binary", "/bin/false", "-id", p.id}, more...)
}

// call runs the binary as containerd does and returns its output.
func (p *pod) call(stdin []byte, args ...string) (string, error) {
	p.Helper()
	cmd := exec.Command(shimBinary, args...)
	cmd.Dir = p.bundle
	cmd.Env = append(os.Environ(), "TTRPC_ADDRESS="+p.address, "GOMAXPROCS=2")
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start starts the server, and connects to it.
func (p *pod) start() {
	p.Helper()
	address, err := p.call(nil, p.flags("start")...)
	if err != nil {
		p.Fatalf("start: %v: %s", err, address)
	}
	p.connect(address)
}

func (p *pod) connect(address string) {
	p.Helper()
	p.socket = strings.TrimPrefix(address, "unix://")
	conn, err := net.Dial("unix", p.socket)
	must(p.T, err)
	p.client = ttrpc.NewClient(conn)
	p.task = task.NewTTRPCTaskClient(p.client)
	p.Cleanup(func() { p.client.Close() })
}

// ctx bounds one call.
func (p *pod) ctx() context.Context {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	p.Cleanup(stop)
	return ctx
}

// create creates the container, with changes to the request.
func (p *pod) create(change ...func(*task.CreateTaskRequest)) int {
	p.Helper()
	r := &task.CreateTaskRequest{ID: p.id, Bundle: p.bundle}
	for _, f := range change {
		f(r)
	}
	out, err := p.task.Create(p.ctx(), r)
	if err != nil {
		p.Fatalf("Create: %v", err)
	}
	return int(out.Pid)
}

// up creates and starts the container.
func (p *pod) up(change ...func(*task.CreateTaskRequest)) int {
	p.Helper()
	pid := p.create(change...)
	if _, err := p.task.Start(p.ctx(), &task.StartRequest{ID: p.id}); err != nil {
		p.Fatalf("Start: %v", err)
	}
	return pid
}

// wait returns the exit status of a process.
func (p *pod) wait(execID string) int {
	p.Helper()
	r, err := p.task.Wait(p.ctx(), &task.WaitRequest{ID: p.id, ExecID: execID})
	if err != nil {
		p.Fatalf("Wait: %v", err)
	}
	return int(r.ExitStatus)
}

// kill kills the container, and waits for its end.
func (p *pod) kill() {
	p.Helper()
	if _, err := p.task.Kill(p.ctx(), &task.KillRequest{ID: p.id, Signal: 9}); err != nil {
		p.Fatalf("Kill: %v", err)
	}
	if got := p.wait(""); got != 128+9 {
		p.Errorf("exit status %d; want %d", got, 128+9)
	}
}

// remove deletes the container and shuts the server down.
func (p *pod) remove() *task.DeleteResponse {
	p.Helper()
	r, err := p.task.Delete(p.ctx(), &task.DeleteRequest{ID: p.id})
	if err != nil {
		p.Fatalf("Delete: %v", err)
	}
	p.shutdown()
	return r
}

func (p *pod) shutdown() {
	p.Helper()
	if _, err := p.task.Shutdown(p.ctx(), &task.ShutdownRequest{ID: p.id}); err != nil && !errors.Is(err, ttrpc.ErrClosed) {
		p.Fatalf("Shutdown: %v", err)
	}
}

// exec runs one more process and returns its pid.
func (p *pod) exec(execID string, change func(*task.ExecProcessRequest), args ...string) (int, error) {
	p.Helper()
	spec, err := json.Marshal(specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}})
	must(p.T, err)
	r := &task.ExecProcessRequest{ID: p.id, ExecID: execID, Spec: &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process", Value: spec}}
	if change != nil {
		change(r)
	}
	if _, err := p.task.Exec(p.ctx(), r); err != nil {
		return 0, err
	}
	out, err := p.task.Start(p.ctx(), &task.StartRequest{ID: p.id, ExecID: execID})
	if err != nil {
		return 0, err
	}
	return int(out.Pid), nil
}

// server returns the pid of the server.
func (p *pod) server() int {
	p.Helper()
	r, err := p.task.Connect(p.ctx(), &task.ConnectRequest{ID: p.id})
	if err != nil {
		p.Fatalf("Connect: %v", err)
	}
	return int(r.ShimPid)
}

// left fails the test if a part of the pod is left: server, state, mount, cgroup or socket.
func (p *pod) left() {
	p.Helper()
	if p.client != nil {
		p.client.Close()
	}
	eventually(p.T, "the server is still there", func() bool {
		out, _ := exec.Command("pgrep", "-f", "shim-onggi-v1.*-id "+p.id+"( |$)").Output()
		return len(out) == 0
	})
	if _, err := os.Stat("/run/containerd/onggi/test/" + p.id); !errors.Is(err, fs.ErrNotExist) {
		p.Errorf("the state is left: %v", err)
	}
	if p.socket != "" {
		eventually(p.T, "the socket is left", func() bool { // the server of a pod has the id of its first container
			_, err := os.Stat(p.socket)
			return errors.Is(err, fs.ErrNotExist)
		})
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(p.T, err)
	if strings.Contains(string(mounts), p.bundle) {
		p.Errorf("mounts are left in %s", p.bundle)
		unix.Unmount(filepath.Join(p.bundle, "rootfs"), unix.MNT_DETACH)
	}
	cgroups, _ := filepath.Glob("/sys/fs/cgroup/*/" + p.id)
	one, _ := filepath.Glob("/sys/fs/cgroup/" + p.id)
	if all := append(cgroups, one...); len(all) > 0 {
		p.Errorf("cgroups are left: %q", all)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, complaint string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error(complaint)
			return
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// code returns the status code of an error.
func code(err error) codes.Code { return status.Code(err) }

// fails checks the code of an error, and words in its text.
func fails(t *testing.T, what string, err error, want codes.Code, words ...string) {
	t.Helper()
	if code(err) != want {
		t.Errorf("%s = %v (code %v); want code %v", what, err, code(err), want)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s = %v; no %q in it", what, err, w)
		}
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s = %s; want %s", what, g, w)
	}
}

// alive reports whether a process lives.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

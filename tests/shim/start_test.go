package shim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bootstrap "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	task "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// TestVersionAndInfo checks the output of -v and -info. It decodes the second one as containerd does.
func TestVersionAndInfo(t *testing.T) {
	p := newBundle(t, "true")
	out, err := p.call(nil, "-v")
	must(t, err)
	if !strings.Contains(out, "Version:") {
		t.Errorf("-v prints %q", out)
	}
	out, err = p.call(nil, "-info")
	must(t, err)
	var info types.RuntimeInfo
	must(t, proto.Unmarshal([]byte(out), &info))
	same(t, "name", info.Name, "io.containerd.onggi.v1")
	same(t, "type of the features", info.Features.TypeUrl, "types.containerd.io/opencontainers/runtime-spec/1/features/Features")
	var f features.Features
	must(t, json.Unmarshal(info.Features.Value, &f))
	if len(f.MountOptions) == 0 || f.Linux == nil {
		t.Errorf("features = %+v", f)
	}
}

// TestStartAnswersInTheLanguageOfTheQuestion checks both protocols. containerd before 2.3 sends options or nothing and expects
// only an address. Later versions send parameters and expect a result.
func TestStartAnswersInTheLanguageOfTheQuestion(t *testing.T) {
	packed, err := anypb.New(&options.Options{Root: "/run/containerd/onggi"})
	must(t, err)
	packed.TypeUrl = "containerd.runc.v1.Options"
	withOptions, err := proto.Marshal(packed)
	must(t, err)
	for name, stdin := range map[string][]byte{"nothing": nil, "options": withOptions} {
		t.Run(name, func(t *testing.T) {
			p := newBundle(t, "true")
			out, err := p.call(stdin, p.flags("start")...)
			must(t, err)
			if !strings.HasPrefix(out, "unix:///run/containerd/s/") {
				t.Fatalf("start prints %q", out)
			}
			file, err := os.ReadFile(filepath.Join(p.bundle, "address"))
			must(t, err)
			same(t, "the file address", string(file), out)
			p.connect(out)
			p.shutdown()
		})
	}
	t.Run("parameters", func(t *testing.T) {
		p := newBundle(t, "true")
		dir := filepath.Join(p.dir, "s")
		params, err := proto.Marshal(&bootstrap.BootstrapParams{InstanceID: p.id, Namespace: "test", SocketDir: &dir, ContainerdTtrpcAddress: p.address})
		must(t, err)
		out, err := p.call(params, p.flags("start")...)
		must(t, err)
		var r bootstrap.BootstrapResult
		must(t, proto.Unmarshal([]byte(out), &r))
		same(t, "version and protocol", []any{r.Version, r.Protocol}, []any{3, "ttrpc"})
		if !strings.HasPrefix(r.Address, "unix://"+dir+"/") {
			t.Errorf("address %q is not in %s", r.Address, dir)
		}
		p.connect(r.Address)
		p.shutdown()
	})
}

// TestOneServerForAPod checks that containers with the same sandbox annotation share a server.
func TestOneServerForAPod(t *testing.T) {
	first, second := newBundle(t, "sleep", "1000"), newBundle(t, "sleep", "1000")
	second.dir, second.address = first.dir, first.address
	for _, p := range []*pod{first, second} {
		p.spec.Annotations = map[string]string{"io.kubernetes.cri.sandbox-id": first.id}
		p.writeConfig()
		p.start()
	}
	same(t, "socket of the second", second.socket, first.socket)
	first.up()
	second.up()
	first.kill()
	if _, err := first.task.Delete(first.ctx(), &task.DeleteRequest{ID: first.id}); err != nil {
		t.Fatal(err)
	}
	first.shutdown() // has no effect: the pod has a task
	second.kill()
	second.remove()
}

// TestAStaleSocket checks that start replaces the socket of a dead server.
func TestAStaleSocket(t *testing.T) {
	p := newPod(t, "true")
	must(t, unix.Kill(p.server(), unix.SIGKILL))
	eventually(t, "the server lives", func() bool { _, err := os.Stat("/proc/self"); return err == nil && !p.answers() })
	p.start()
	p.shutdown()
}

func (p *pod) answers() bool {
	_, err := p.task.Connect(p.ctx(), &task.ConnectRequest{ID: p.id})
	return err == nil
}

// TestDeleteCleansUp kills the server. Then delete must leave nothing. A second delete must succeed.
func TestDeleteCleansUp(t *testing.T) {
	p := newPod(t, "sleep", "1000")
	pid := p.up()
	must(t, unix.Kill(p.server(), unix.SIGKILL))
	for range 2 {
		out, err := p.call(nil, p.flags("-bundle", p.bundle, "delete")...)
		if err != nil {
			t.Fatalf("delete: %v: %s", err, out)
		}
		var r task.DeleteResponse
		must(t, proto.Unmarshal([]byte(out), &r))
		same(t, "exit status", r.ExitStatus, 137)
	}
	if alive(pid) {
		t.Error("the container lives")
	}
	os.Remove(p.socket)
}

// TestDebug checks that -debug writes the calls to the log.
func TestDebug(t *testing.T) {
	p := newBundle(t, "true")
	log, err := os.OpenFile(filepath.Join(p.bundle, "log"), os.O_RDWR|unix.O_NONBLOCK, 0)
	must(t, err)
	defer log.Close()
	out, err := p.call(nil, p.flags("-debug", "start")...)
	must(t, err)
	p.connect(out)
	p.server()
	p.shutdown()
	text := make([]byte, 4096)
	n, err := log.Read(text)
	must(t, err)
	if !strings.Contains(string(text[:n]), "level=debug msg=\"containerd.task.v3.Task.Connect\"") {
		t.Errorf("the log has %q", text[:n])
	}
}

// TestWrongCalls checks that each mistake is one line of error and the exit status 1.
func TestWrongCalls(t *testing.T) {
	p := newBundle(t, "true")
	for name, args := range map[string][]string{
		"no namespace":   {"-id", "x", "start"},
		"no id":          {"-namespace", "test", "start"},
		"unknown action": {"-namespace", "test", "-id", "x", "fly"},
		"unknown flag":   {"-wings"},
		"no value":       {"-id"},
		"no listener":    {"-namespace", "test", "-id", "x"},
	} {
		out, err := p.call(nil, args...)
		if err == nil || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v: %q; want one line and exit status 1", name, err, out)
		}
	}
}

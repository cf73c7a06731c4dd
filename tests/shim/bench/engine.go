package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// competitor is a runtime in containerd's configuration.
type competitor struct {
	name   string
	binary string // path of the runtime; "" for onggi's own shim
	shim   string
}

// engine is a containerd that the benchmark starts.
type engine struct {
	dir         string
	cgroup      string
	socket      string
	competitors []*competitor
	daemon      *exec.Cmd
	conn        *grpc.ClientConn
	client      cri.RuntimeServiceClient
	serial      atomic.Int64
}

// image has only busybox. It serves for containers and for the first process of a pod.
const image = "docker.io/library/bench:1"

// patience bounds one call.
const patience = time.Minute

func newEngine(dir, cgroup string) (*engine, error) {
	e := &engine{dir: dir, cgroup: cgroup, socket: filepath.Join(dir, "c.sock")}
	const runcShim = "containerd-shim-runc-v2"
	for _, c := range []competitor{
		{"onggi's shim", "", "containerd-shim-onggi-v1"}, {"onggi", os.Getenv("ONGGI"), runcShim}, {"crun", os.Getenv("CRUN"), runcShim}, {"runc", os.Getenv("RUNC"), runcShim},
	} {
		if c.binary != "none" {
			e.competitors = append(e.competitors, &c)
		}
	}
	// containerd finds shims on its PATH.
	shim, err := os.ReadFile(os.Getenv("SHIM"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "containerd-shim-onggi-v1"), shim, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(e.config()), 0o644); err != nil {
		return nil, err
	}
	if err := e.start(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *engine) config() string {
	const cri = `plugins."io.containerd.grpc.v1.cri"`
	text := fmt.Sprintf(`version = 2
root = "%[1]s/root"
state = "%[1]s/state"
[grpc]
address = "%[1]s/c.sock"
[%[2]s]
sandbox_image = "%[3]s"
restrict_oom_score_adj = true
disable_apparmor = true
[%[2]s.containerd]
default_runtime_name = "%[4]s"
`, e.dir, cri, image, e.competitors[0].key())
	for _, c := range e.competitors {
		if c.binary == "" {
			text += fmt.Sprintf("[%s.containerd.runtimes.%s]\nruntime_type = \"io.containerd.onggi.v1\"\n", cri, c.key())
			continue
		}
		text += fmt.Sprintf("[%[1]s.containerd.runtimes.%[2]s]\nruntime_type = \"io.containerd.runc.v2\"\n[%[1]s.containerd.runtimes.%[2]s.options]\nBinaryName = \"%[3]s\"\n", cri, c.key(), c.binary)
	}
	return text
}

// key is the name of the competitor in containerd's configuration.
func (c *competitor) key() string { return strings.NewReplacer("'", "", " ", "-").Replace(c.name) }

// start starts containerd, and waits until it has the image.
func (e *engine) start() error {
	log, err := os.Create(filepath.Join(e.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	os.Setenv("PATH", filepath.Join(e.dir, "bin")+":"+os.Getenv("PATH"))
	e.daemon = exec.Command("containerd", "--config", filepath.Join(e.dir, "config.toml"))
	e.daemon.Stdout, e.daemon.Stderr = log, log
	e.daemon.Dir = e.dir // containerd prefers a shim in its working directory to those on its PATH
	if err := e.daemon.Start(); err != nil {
		return err
	}
	archive := filepath.Join(e.dir, "image.tar")
	if err := writeImage(archive); err != nil {
		return err
	}
	if e.conn, err = grpc.NewClient("unix://"+e.socket, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return err
	}
	e.client = cri.NewRuntimeServiceClient(e.conn)
	for _, namespace := range []string{"default", "k8s.io"} {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			out, err := e.ctr(namespace, "image", "import", archive).CombinedOutput()
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				data, _ := os.ReadFile(log.Name())
				return fmt.Errorf("%w: %s\n%s", err, out, data)
			}
		}
	}
	images := cri.NewImageServiceClient(e.conn)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		r, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
		stop()
		if err == nil && r.Image != nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(err, errors.New("the CRI does not see the image"))
		}
	}
}

func (e *engine) stop() {
	e.conn.Close()
	e.daemon.Process.Kill()
	e.daemon.Wait()
}

func (e *engine) ctr(namespace string, args ...string) *exec.Cmd {
	return exec.Command("ctr", append([]string{"--address", e.socket, "--namespace", namespace}, args...)...)
}

func (e *engine) version() string {
	out, _ := exec.Command("containerd", "--version").Output()
	words := strings.Fields(string(out))
	if len(words) < 3 {
		return "containerd"
	}
	return "containerd " + words[2]
}

// pod is a pod with one container.
type pod struct {
	id        string
	container string
}

// up starts a pod of the host's network with one container.
func (e *engine) up(c *competitor) (*pod, error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	name := fmt.Sprintf("p%d", e.serial.Add(1))
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "bench"},
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent:    e.cgroup,
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER}},
		},
	}
	sandbox, err := e.client.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config, RuntimeHandler: c.key()})
	if err != nil {
		return nil, err
	}
	p := &pod{id: sandbox.PodSandboxId}
	made, err := e.client.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: p.id, SandboxConfig: config, Config: &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: image}, Command: []string{"sleep", "1000000"},
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: config.Linux.SecurityContext.NamespaceOptions}},
	}})
	if err != nil {
		return p, err
	}
	p.container = made.ContainerId
	_, err = e.client.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: p.container})
	return p, err
}

// down removes a pod.
func (e *engine) down(p *pod) error {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	_, err := e.client.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
	return err
}

// execTrue runs `true` in a pod's container and waits for its end.
func (e *engine) execTrue(p *pod) error {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	r, err := e.client.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: p.container, Cmd: []string{"true"}})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit code %d", r.ExitCode)
	}
	return err
}

// writeImage writes a docker-archive with busybox.
func writeImage(path string) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	layer, err := pack(func(w *tar.Writer) error {
		for _, dir := range []string{"bin", "dev", "etc", "proc", "run", "sys", "tmp"} {
			if err := w.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
				return err
			}
		}
		for _, name := range []string{"sleep", "true", "sh"} {
			if err := w.WriteHeader(&tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}); err != nil {
				return err
			}
		}
		return file(w, "bin/busybox", data, 0o755)
	})
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"/bin/sleep", "1000000"}, "Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{image}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	all, err := pack(func(w *tar.Writer) error {
		return errors.Join(file(w, "layer.tar", layer, 0o644), file(w, "config.json", config, 0o644), file(w, "manifest.json", manifest, 0o644))
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, all, 0o644)
}

func pack(fill func(*tar.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := errors.Join(fill(w), w.Close())
	return b.Bytes(), err
}

func file(w *tar.Writer, name string, data []byte, mode int64) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(data)), Mode: mode}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

package engines

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKubernetes runs CRI-O, critest and a kubelet, which kubernetes.sh builds: `make kubernetes`.
func TestKubernetes(t *testing.T) {
	programs := os.Getenv("KUBERNETES")
	if programs == "" {
		t.Skip("no CRI-O and no kubelet: make kubernetes")
	}
	if len(env.kinds) > 1 {
		t.Skip("several runtimes: they are timed, not tested")
	}
	t.Setenv("PATH", os.Getenv("PATH")+":"+programs)
	report.Kubernetes = true
	serveRegistry(t)
	for _, e := range []engine{crio(), kubelet(), critest()} {
		t.Run(e.name, func(t *testing.T) { e.run(t) })
	}
}

const (
	crioPage   = "kubernetes.md"
	crioSocket = "unix:///var/run/crio/crio.sock"
	// bareRuntime is a runtime without negative OOM scores.
	bareRuntime = "/etc/crio/runtime"
)

// crioMachine is what CRI-O needs on a machine without CAP_SYS_RESOURCE, with Debian's CNI plugins. CRI-O gives the first
// process of a pod a negative OOM score and has no setting for that.
const crioMachine = `
[crio.runtime.runtimes.KIND]
runtime_path = "` + bareRuntime + `"
runtime_root = "/run/KIND"
[crio.network]
plugin_dirs = ["/usr/lib/cni"]
`

// bare removes negative OOM scores from config.json and runs the runtime.
const bare = `#!/bin/sh
previous=
for argument; do
	[ "$previous" = --bundle ] && sed -E -i 's/"oomScoreAdj": *-[0-9]+/"oomScoreAdj":0/' "$argument/config.json"
	previous=$argument
done
exec /usr/local/sbin/KIND "$@"
`

// startCrio starts CRI-O with the configuration of the page.
func startCrio(t *testing.T) client {
	t.Helper()
	named := func(text string) string { return strings.ReplaceAll(text, "KIND", env.kind) }
	configure(t, crioPage)
	place(t, "/etc/crio/crio.conf.d/90-machine.conf", named(crioMachine))
	place(t, bareRuntime, named(bare))
	if err := os.Chmod(bareRuntime, 0o755); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll("/etc/cni/net.d")
	place(t, "/etc/cni/net.d/10-pods.conflist", podNetwork)
	place(t, "/etc/crictl.yaml", "runtime-endpoint: "+crioSocket+"\ntimeout: 30\n")
	var mirrors strings.Builder
	for _, host := range []string{"registry.k8s.io", "k8s.gcr.io", "gcr.io", "docker.io"} {
		fmt.Fprintf(&mirrors, "[[registry]]\nprefix = %q\nlocation = \"%s/%s\"\ninsecure = true\n", host, registryAddress, host)
	}
	place(t, "/etc/containers/registries.conf", mirrors.String())
	c := client{T: t, command: []string{"crictl"}, pulls: true}
	c.daemon = serve(t, func() error { return exec.Command("crictl", "info").Run() }, "crio")
	c.ok("pull", image)
	return c
}

// otherInCrio are cases of the CRI whose answers CRI-O words in its own way, that look for the pause program of another image, or
// that need a host port on the loopback: its host ports do not serve that address without a setting of the kernel (route_localnet).
var otherInCrio = []string{
	"runtime class", "shared and host's namespaces", "exec with a timeout", "terminal", "host port", "redis", "nginx", "command not found", "bad mount", "bad user", "bad limit",
}

// notCreated fails the test case unless CRI-O refuses to create a container. It returns the reasons.
func (c *client) notCreated(changes object, command ...string) string {
	c.Helper()
	pod, file := c.pod(nil)
	return c.fails("create", "--no-pull", pod, c.write(c.name(), c.containerSpec(changes, command...)), file)
}

// crio runs the cases of the CRI with CRI-O.
func crio() engine {
	e := engine{name: "CRI: CRI-O", needs: map[string]string{"crio": "", "crictl": "", "conmon": "conmon", "/usr/lib/cni/bridge": "containernetworking-plugins"}, version: []string{"crio", "--version"}, start: startCrio}
	for _, c := range cri().cases {
		if !slices.Contains(otherInCrio, c.name) {
			e.cases = append(e.cases, c)
		}
	}
	e.cases = append(e.cases,
		testCase{"shared and own pid namespace", func(c *client) {
			c.has(c.ok("exec", c.container(nil, "sleep", "1000"), "ps"), "/pause")
			own := c.container(object{"linux": object{"security_context": object{"namespace_options": object{"pid": 1}}}}, "sleep", "1000")
			c.is(c.ok("exec", own, "cat", "/proc/1/cmdline"), "sleep\x001000\x00")
		}},
		testCase{"exec with a timeout", func(c *client) {
			id := c.container(nil, "sleep", "1000")
			c.has(c.exits(1, "exec", "--sync", "--timeout=1", id, "sleep", "777"), "timed out")
			c.until("none", "exec", "--sync", id, "sh", "-c", "ps | grep -v grep | grep 'sleep 777' || echo none")
		}},
		testCase{"terminal", func(c *client) {
			// CRI-O does not wait for its copy of the output after the end of the runtime. The sleep gives it time.
			out, _ := c.terminal("word\n", "exec", "-it", c.container(nil, "sleep", "1000"), "sh", "-c", "tty; read x; echo got $x; sleep 2")
			c.has(out, "/dev/pts/", "got word")
		}},
		testCase{"command not found", func(c *client) {
			c.reports(c.notCreated(nil, "/nosuch"), "/process/args/0", "/nosuch", "no such file or directory")
		}},
		testCase{"bad mount", func(c *client) {
			c.reports(c.notCreated(object{"mounts": []object{{"container_path": "/etc", "host_path": "/etc/passwd"}}}, "true"), "/mounts/", "not a directory")
		}},
		testCase{"bad limit", func(c *client) {
			c.reports(c.notCreated(object{"linux": object{"resources": object{"cpu_quota": 1, "cpu_period": 100000}}}, "true"), "/linux/resources/cpu/quota", "invalid argument")
		}},
	)
	return e
}

// critest runs the suite of the CRI. Each spec is a case.
func critest() engine {
	e := crio()
	e.name, e.cases = "critest with CRI-O", []testCase{{"the suite ends", func(c *client) {
		file := filepath.Join(env.dir, "critest.json")
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		cmd := exec.CommandContext(ctx, "critest", "--runtime-endpoint="+crioSocket, "--ginkgo.json-report="+file, "--ginkgo.no-color", "--ginkgo.seed=1", "--test.timeout=1h")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		data, failed := os.ReadFile(file)
		if failed != nil {
			c.Fatalf("%v: %v\n%s", failed, err, out.Bytes())
		}
		var suites []struct {
			SpecReports []struct {
				ContainerHierarchyTexts           []string
				LeafNodeType, LeafNodeText, State string
			}
		}
		if err := json.Unmarshal(data, &suites); err != nil {
			c.Fatal(err)
		}
		for _, spec := range suites[0].SpecReports {
			if spec.LeafNodeType == "It" && spec.State != "skipped" {
				report.spec(strings.Join(append(spec.ContainerHierarchyTexts, spec.LeafNodeText), ": "), spec.State == "passed")
			}
		}
	}}}
	return e
}

//go:embed pods
var manifests embed.FS

const manifestDir = "/etc/kubernetes/manifests"

// kubeletView executes a program that sees files of the directory $1 in place of the kernel's settings that a kubelet changes.
// These settings belong to the whole machine. The program sees no huge pages either: a kubelet limits them for each container,
// CRI-O takes the controller hugetlb for one of cgroup v1, and runc refuses such a limit where cgroup v2 has the controller.
const kubeletView = `mount --make-private /proc
mount --make-private /sys
mount -t tmpfs none /sys/kernel/mm/hugepages
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
	mkdir -p "$1/${setting%/*}"
	cat /proc/sys/$setting >"$1/$setting"
	mount --bind "$1/$setting" /proc/sys/$setting
done
shift
exec "$@"`

// kubelet runs static pods with a kubelet and CRI-O. A pod is a file of the directory pods.
func kubelet() engine {
	e := crio()
	e.name, e.needs["kubelet"] = "CRI-O with kubelet", ""
	e.version = []string{"kubelet", "--version"}
	e.start = func(t *testing.T) client {
		c := startCrio(t)
		if err := os.MkdirAll(manifestDir, 0o755); err != nil {
			t.Fatal(err)
		}
		start := []string{"unshare", "--mount", "--propagation=unchanged", "sh", "-ec", kubeletView, "sh", filepath.Join(env.dir, "settings")}
		serve(t, func() error {
			answer, err := http.Get("http://127.0.0.1:10255/pods")
			if err != nil {
				return err
			}
			return answer.Body.Close()
		}, append(start, "kubelet", "--config=/etc/kubernetes/kubelet.yaml", "--hostname-override=node")...)
		return c
	}
	e.cases = []testCase{
		{"static pod with probes", func(c *client) {
			pod := c.static("probes")
			pod.until("ready", func(s podStatus) bool { return s.container("web").Ready })
			c.ok("exec", c.idOf("web"), "rm", "/tmp/alive")
			pod.until("restarted by the liveness probe", func(s podStatus) bool { web := s.container("web"); return web.RestartCount > 0 && web.Ready })
		}},
		{"init containers", func(c *client) {
			pod := c.static("init")
			pod.until("ready", func(s podStatus) bool { return s.container("main").Ready })
			c.is(c.ok("exec", c.idOf("main"), "cat", "/shared/order"), "first\nsecond")
		}},
		{"sidecar", func(c *client) {
			pod := c.static("sidecar")
			pod.until("main has ended, and the sidecar after it", func(s podStatus) bool {
				return s.Phase == "Succeeded" && s.container("main").State.Terminated.ExitCode == 0
			})
		}},
		{"OOMKilled", func(c *client) {
			c.static("oom").until("killed", func(s podStatus) bool {
				ended := s.container("main").State.Terminated
				return ended.Reason == "OOMKilled" && ended.ExitCode == 137
			})
		}},
		{"user namespace", func(c *client) {
			pod := c.static("userns")
			pod.until("ready", func(s podStatus) bool { return s.container("main").Ready })
			fields := strings.Fields(c.ok("exec", c.idOf("main"), "cat", "/proc/self/uid_map"))
			if len(fields) != 3 || fields[0] != "0" || fields[1] == "0" || fields[2] != "65536" {
				c.Fatalf("uid_map: %v", fields)
			}
		}},
		{"hooks, exit status", func(c *client) {
			pod := c.static("hooks")
			pod.until("ready, and one has ended with 3", func(s podStatus) bool {
				return s.container("main").Ready && s.container("ends").State.Terminated.ExitCode == 3 && s.container("ends").State.Terminated.Reason == "Error"
			})
			c.is(c.ok("exec", c.idOf("main"), "cat", "/shared/started"), "after the start")
			pod.remove()
			data, err := os.ReadFile("/var/lib/hooks/stopping")
			if err != nil {
				c.Fatal(err)
			}
			c.is(string(data), "before the stop\n")
		}},
		{"removal of all pods", func(c *client) {
			// The kubelet removes ended pods once a minute.
			c.within(3*time.Minute, "no pod is left", func() (string, bool) {
				out := c.ok("pods", "--quiet")
				return out, out == ""
			})
		}},
	}
	return e
}

// podStatus is a part of a pod's status.
type podStatus struct {
	Phase                                    string
	ContainerStatuses, InitContainerStatuses []containerStatus
}

type containerStatus struct {
	Name         string
	Ready        bool
	RestartCount int
	State        struct {
		Terminated struct {
			ExitCode int
			Reason   string
		}
	}
}

func (s podStatus) container(name string) containerStatus {
	for _, c := range append(s.ContainerStatuses, s.InitContainerStatuses...) {
		if c.Name == name {
			return c
		}
	}
	return containerStatus{}
}

// staticPod is a pod that the kubelet has by a file.
type staticPod struct {
	c    *client
	name string
}

// static gives the kubelet the file of a pod. The end of the test case removes it.
func (c *client) static(name string) staticPod {
	c.Helper()
	data, err := manifests.ReadFile("pods/" + name + ".yaml")
	if err != nil {
		c.Fatal(err)
	}
	pod := staticPod{c, name}
	place(c.T, filepath.Join(manifestDir, name+".yaml"), string(data))
	c.Cleanup(pod.remove)
	return pod
}

// remove takes the file away and waits until the pod has ended.
func (p staticPod) remove() {
	p.c.Helper()
	os.Remove(filepath.Join(manifestDir, p.name+".yaml"))
	p.c.within(2*time.Minute, "no pod is ready", func() (string, bool) {
		out, _ := p.c.try("pods", "--quiet", "--state=ready")
		_, known, err := p.status()
		return out, out == "" && !known && err == nil
	})
}

// until waits for a status of the pod. The kubelet announces none.
func (p staticPod) until(text string, holds func(podStatus) bool) {
	p.c.Helper()
	p.c.within(2*time.Minute, text, func() (string, bool) {
		s, _, err := p.status()
		return fmt.Sprintf("%+v, %v", s, err), holds(s)
	})
}

func (p staticPod) status() (podStatus, bool, error) {
	answer, err := http.Get("http://127.0.0.1:10255/pods")
	if err != nil {
		return podStatus{}, false, err
	}
	defer answer.Body.Close()
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   podStatus
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		return podStatus{}, false, err
	}
	for _, pod := range list.Items {
		if pod.Metadata.Name == p.name+"-node" {
			return pod.Status, true, nil
		}
	}
	return podStatus{}, false, nil
}

// idOf is the id of the running container with this name.
func (c *client) idOf(name string) string {
	c.Helper()
	return c.ok("ps", "--quiet", "--name", "^"+name+"$")
}

// within repeats a look until it is content.
func (c *client) within(limit time.Duration, text string, look func() (string, bool)) {
	c.Helper()
	var seen string
	for deadline := time.Now().Add(slowly(limit)); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var ok bool
		if seen, ok = look(); ok {
			return
		}
	}
	c.Fatalf("not within %s: %s: %s", limit, text, seen)
}

package engines

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// criMachine is the setting that the CRI plugin needs on a machine without AppArmor and CAP_SYS_RESOURCE, with Debian's CNI
// plugins. The tests do not examine it.
const criMachine = `
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
`

// podNetwork is a CNI configuration for pods.
const podNetwork = `{"cniVersion": "0.4.0", "name": "pods", "plugins": [
	{"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true,
	 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.7.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
	{"type": "portmap", "capabilities": {"portMappings": true}}]}`

func cri() engine {
	return engine{
		name:    "CRI: containerd",
		needs:   map[string]string{"containerd": "containerd", "crictl": "", "/usr/lib/cni/bridge": "containernetworking-plugins"},
		version: []string{"containerd", "--version"},
		start: func(t *testing.T) client {
			configure(t, "containerd.md")
			if env.shim == onggiShim {
				useShim(t, "/etc/containerd/config.toml")
			}
			more(t, "/etc/containerd/config.toml", criMachine)
			os.RemoveAll("/etc/cni/net.d")
			place(t, "/etc/cni/net.d/10-pods.conflist", podNetwork)
			place(t, "/etc/crictl.yaml", "runtime-endpoint: unix:///run/containerd/containerd.sock\ntimeout: 30\n")
			c := client{T: t, command: []string{"crictl"}}
			c.daemon = serve(t, func() error { return exec.Command("crictl", "info").Run() }, "containerd")
			c.importPause()
			return c
		},
		cases: []testCase{
			{"pod, container, logs", func(c *client) {
				id := c.container(nil, "sh", "-c", "echo hello; sleep 1000")
				c.until("hello", "logs", id)
				c.has(c.ok("ps"), id[:13], "Running")
			}},
			{"runtime class", func(c *client) {
				pod, _ := c.pod(nil)
				c.has(c.ok("inspectp", pod), "/usr/local/sbin/"+env.kind)
			}},
			{"exec", func(c *client) {
				id := c.container(nil, "sleep", "1000")
				c.is(c.ok("exec", id, "hostname"), "podhost")
				c.is(c.ok("exec", "--sync", id, "echo", "hello"), "hello")
				c.has(c.exits(1, "exec", "--sync", id, "sh", "-c", "exit 3"), "3")
				c.has(c.exits(1, "exec", "--sync", id, "/nosuch"), "no such file or directory")
			}},
			{"exec with a timeout", func(c *client) {
				id := c.container(nil, "sleep", "1000")
				c.has(c.exits(1, "exec", "--sync", "--timeout=1", id, "sleep", "777"), "timeout")
				c.until("none", "exec", "--sync", id, "sh", "-c", "ps | grep -v grep | grep 'sleep 777' || echo none")
			}},
			{"shared and host's namespaces", func(c *client) {
				shared := c.container(nil, "sleep", "1000")
				c.has(c.ok("exec", shared, "ps"), "sleep 1000000") // the pod's own process
				own := c.container(object{"linux": object{"security_context": object{"namespace_options": object{"pid": 1}}}}, "sleep", "1000")
				c.is(c.ok("exec", own, "cat", "/proc/1/cmdline"), "sleep\x001000\x00")
			}},
			{"host network", func(c *client) {
				node := object{"hostname": "", "linux": object{"cgroup_parent": "/kubepods", "security_context": object{"namespace_options": object{"network": 2, "pid": 2, "ipc": 2}}}}
				pod, file := c.pod(node)
				id := c.inPod(pod, file, node, "sleep", "1000")
				c.has(c.ok("exec", id, "ip", "link"), "pods0")
			}},
			{"security context", func(c *client) {
				id := c.container(object{"linux": object{"security_context": object{
					"run_as_user": object{"value": 1000}, "readonly_rootfs": true, "no_new_privs": true, "supplemental_groups": []int{2000},
					"capabilities": object{"drop_capabilities": []string{"ALL"}}, "seccomp": object{"profile_type": 0},
					"masked_paths": []string{"/proc/kcore", "/proc/scsi"}, "readonly_paths": []string{"/proc/sys"},
				}}}, "sleep", "1000")
				out := c.ok("exec", id, "sh", "-c", "id -u; id -G; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /x 2>&1; ls /proc/scsi | wc -l")
				c.has(out, "1000\n", "2000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Read-only file system", "\n0")
			}},
			{"features of the handler", func(c *client) { c.handlerOffers("user_namespaces", "recursive_read_only_mounts") }},
			{"user namespace", func(c *client) {
				c.handlerOffers("user_namespaces")
				ids := []object{{"container_id": 0, "host_id": 200000, "length": 65536}}
				security := object{"cgroup_parent": "/kubepods", "security_context": object{"namespace_options": object{"pid": 1, "userns_options": object{"mode": 0, "uids": ids, "gids": ids}}}}
				pod, file := c.pod(object{"linux": security})
				id := c.inPod(pod, file, object{"linux": security}, "sleep", "1000")
				c.has(c.ok("exec", id, "sh", "-c", "id -u; cat /proc/self/uid_map; stat -c %u /bin"), "0\n", "200000      65536", "\n0")
			}},
			{"recursive read-only mount", func(c *client) {
				c.handlerOffers("recursive_read_only_mounts")
				dir := filepath.Join(env.dir, "tree")
				place(c.T, filepath.Join(dir, "below/file"), "content")
				shell(c.T, "mount -t tmpfs tmpfs "+dir+"/below")
				c.Cleanup(func() { shell(c.T, "umount "+dir+"/below") })
				id := c.container(object{"mounts": []object{{"container_path": "/v", "host_path": dir, "readonly": true, "recursive_read_only": true}}}, "sleep", "1000")
				c.has(c.fails("exec", id, "touch", "/v/below/x"), "Read-only file system")
			}},
			{"privileged", func(c *client) {
				privileged := object{"linux": object{"cgroup_parent": "/kubepods", "security_context": object{"privileged": true}}}
				pod, file := c.pod(privileged)
				c.is(c.ok("exec", c.inPod(pod, file, privileged, "sleep", "1000"), "sh", "-c", "test -w /proc/sys/kernel && echo yes"), "yes")
			}},
			{"mounts", func(c *client) {
				place(c.T, filepath.Join(env.dir, "volume/file"), "content")
				id := c.container(object{"mounts": []object{{"container_path": "/v", "host_path": filepath.Join(env.dir, "volume"), "readonly": true}}}, "sleep", "1000")
				c.is(c.ok("exec", id, "sh", "-c", "cat /v/file; touch /v/x 2>/dev/null || echo ' read-only'"), "content read-only")
			}},
			{"host port", func(c *client) {
				pod, file := c.pod(object{"port_mappings": []object{{"protocol": 0, "container_port": 80, "host_port": 18081}}})
				c.inPod(pod, file, nil, "httpd", "-f", "-h", "/var/www")
				c.has(c.ok("pods"), "Ready")
				c.is(get(c.T, "http://127.0.0.1:18081/"), "it works\n")
			}},
			{"limits, update, stats", func(c *client) {
				id := c.container(object{"linux": object{"resources": object{"memory_limit_in_bytes": 67108864, "cpu_quota": 50000, "cpu_period": 100000}}}, "sleep", "1000")
				limits := []string{"exec", id, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"}
				c.is(c.ok(limits...), "67108864\n50000")
				c.ok("update", "--memory=33554432", id)
				c.is(c.ok(limits...), "33554432\n50000")
				c.has(c.ok("stats", "--id", id), id[:13])
			}},
			{"memory limit is felt", func(c *client) {
				id := c.container(object{"linux": object{"resources": object{"memory_limit_in_bytes": 16777216}}}, "sh", "-c", "x=a; while :; do x=$x$x; done")
				c.until("OOMKilled", "inspect", id)
			}},
			{"command not found", func(c *client) {
				pod, file := c.pod(nil)
				id := c.created(pod, file, nil, "/nosuch")
				c.reports(c.exits(1, "start", id), "/process/args/0", "/nosuch", "no such file or directory")
			}},
			{"bad mount", func(c *client) {
				pod, file := c.pod(nil)
				id := c.created(pod, file, object{"mounts": []object{{"container_path": "/etc", "host_path": "/etc/passwd"}}}, "true")
				c.reports(c.exits(1, "start", id), "/mounts/", "not a directory")
			}},
			{"bad user", func(c *client) {
				pod, file := c.pod(nil)
				user := object{"linux": object{"security_context": object{"run_as_username": "nosuch"}}}
				c.has(c.fails("create", "--no-pull", pod, c.write(c.name(), c.containerSpec(user, "true")), file), "no users found")
			}},
			{"bad limit", func(c *client) {
				pod, file := c.pod(nil)
				id := c.created(pod, file, object{"linux": object{"resources": object{"cpu_quota": 1, "cpu_period": 100000}}}, "true")
				c.reports(c.exits(1, "start", id), "/linux/resources/cpu/quota", "invalid argument")
			}},
			{"redis", func(c *client) {
				id := c.server(6379, 18079, redisServer)
				c.speaksRedis("127.0.0.1:18079")
				c.is(c.ok("exec", id, "redis-cli", "get", "key"), "value")
			}},
			{"nginx", func(c *client) {
				c.server(80, 18080, nginxServer)
				c.has(get(c.T, "http://127.0.0.1:18080/"), "Welcome to nginx")
			}},
			{"stop, exit status", func(c *client) {
				id := c.container(nil, "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done")
				c.until("ready", "logs", id)
				c.ok("stop", "--timeout=10", id)
				c.has(c.ok("inspect", id), `"exitCode": 9`)
			}},
			{"terminal", func(c *client) {
				out, _ := c.terminal("word\n", "exec", "-it", c.container(nil, "sleep", "1000"), "sh", "-c", "tty; read x; echo got $x")
				c.has(out, "/dev/pts/", "got word")
			}},
		},
	}
}

// handlerOffers skips the test case if the CRI does not read the features of a runtime (containerd 1). It fails the test case
// if the CRI reports that the handler lacks a feature.
func (c *client) handlerOffers(features ...string) {
	c.Helper()
	var info struct {
		RuntimeHandlers []struct {
			Name     string
			Features map[string]bool
		}
	}
	if err := json.Unmarshal([]byte(c.ok("info")), &info); err != nil {
		c.Fatal(err)
	}
	if len(info.RuntimeHandlers) == 0 {
		c.Skip("the CRI says nothing of its runtimes' features")
	}
	for _, handler := range info.RuntimeHandlers {
		for _, feature := range features {
			if handler.Name == env.kind && !handler.Features[feature] {
				c.Fatalf("handler %s is said not to have %s", handler.Name, feature)
			}
		}
	}
}

// object is a piece of the CRI's JSON.
type object = map[string]any

// importPause imports the image into the CRI, also under the names of pause images, so that the CRI pulls nothing.
func (c *client) importPause() {
	c.Helper()
	ctr := client{T: c.T, command: []string{"ctr", "--namespace=k8s.io", "image"}}
	ctr.ok("import", env.image)
	for _, version := range []string{"3.6", "3.8", "3.10", "3.10.1"} {
		ctr.ok("tag", "--force", image, "registry.k8s.io/pause:"+version) // an engine before may have left it
		c.until("pause", "images", "--quiet", "--output=json", "registry.k8s.io/pause:"+version)
	}
}

// pod starts a pod and returns its id and the file that describes it. The end of the test case removes the pod.
func (c *client) pod(changes object) (id, file string) {
	c.Helper()
	name := c.name()
	spec := object{
		"metadata": object{"name": name, "uid": name, "namespace": "default"}, "hostname": "podhost",
		"log_directory": env.dir, "linux": object{"cgroup_parent": "/kubepods"},
	}
	for field, value := range changes {
		spec[field] = value
	}
	file = c.write(name, spec)
	id = c.ok("runp", "--runtime="+env.kind, file)
	c.later("rmp", "--force", id)
	return id, file
}

// server starts a container that serves on a published port of the pod.
func (c *client) server(port, published int, command []string) string {
	c.Helper()
	if c.pulls {
		c.ok("pull", servers)
	} else {
		ctr := client{T: c.T, command: []string{"ctr", "--namespace=k8s.io", "image"}}
		ctr.ok("import", serversArchive(c.T))
	}
	c.until("servers", "images", "--quiet", "--output=json", servers)
	pod, file := c.pod(object{"port_mappings": []object{{"protocol": 0, "container_port": port, "host_port": published}}})
	return c.inPod(pod, file, object{"image": object{"image": servers}}, command...)
}

// created creates a container in a pod.
func (c *client) created(pod, podFile string, changes object, command ...string) string {
	c.Helper()
	id := c.ok("create", "--no-pull", pod, c.write(c.name(), c.containerSpec(changes, command...)), podFile)
	if c.pulls { // CRI-O's rmp waits 30 s for a process that ignores SIGTERM
		c.later("stop", "--timeout=0", id)
	}
	return id
}

func (c *client) containerSpec(changes object, command ...string) object {
	name := c.name()
	spec := object{
		"metadata": object{"name": name}, "image": object{"image": image}, "command": command, "log_path": name + ".log",
	}
	for field, value := range changes {
		spec[field] = value
	}
	return spec
}

func (c *client) inPod(pod, podFile string, changes object, command ...string) string {
	c.Helper()
	id := c.created(pod, podFile, changes, command...)
	c.ok("start", id)
	return id
}

// container starts a container in a pod of its own.
func (c *client) container(changes object, command ...string) string {
	c.Helper()
	pod, file := c.pod(nil)
	return c.inPod(pod, file, changes, command...)
}

func (c *client) write(name string, spec object) string {
	c.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		c.Fatal(err)
	}
	file := filepath.Join(env.dir, fmt.Sprintf("%s.json", name))
	place(c.T, file, string(data))
	return file
}

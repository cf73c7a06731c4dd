package engines

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func docker() engine {
	return engine{
		name:    "docker",
		needs:   map[string]string{"dockerd": "docker.io", "docker": "docker.io", "containerd": "containerd", "iptables": "iptables", "ps": "procps"},
		version: []string{"dockerd", "--version"},
		start: func(t *testing.T) client {
			switch {
			case len(env.kinds) > 1:
				place(t, "/etc/docker/daemon.json", dockerRuntimes())
			case env.kind != "runc": // a name that Docker keeps for itself
				configure(t, "docker.md")
				if env.shim == onggiShim {
					dockerShimConfig(t, "/etc/docker/daemon.json")
				}
			}
			ready := func() error { return exec.Command("docker", "version").Run() }
			c := client{T: t, command: []string{"docker"}, env: []string{"DOCKER_BUILDKIT=0"}, daemon: serve(t, ready, "dockerd")}
			c.ok("load", "-i", env.image)
			return c
		},
		cases: []testCase{
			{"run", func(c *client) {
				c.is(c.dockerRun("", "echo", "hello"), "hello")
				c.has(c.ok("info", "--format={{.DefaultRuntime}}"), env.kind)
			}},
			{"run --runtime", func(c *client) { c.is(c.dockerRun("--runtime="+env.kind, "echo", "hello"), "hello") }},
			{"exit status", func(c *client) { c.exits(7, "run", "--rm", image, "sh", "-c", "exit 7") }},
			{"command not found: 127", func(c *client) {
				c.has(c.exits(127, "run", "--rm", image, "/nosuch"), "no such file or directory")
			}},
			{"command not executable: 126", func(c *client) {
				c.has(c.exits(126, "run", "--rm", image, "/etc/notexec"), "permission denied")
				c.exits(126, "run", "--rm", image, "/etc")
			}},
			{"file mounted on directory", func(c *client) {
				out := c.exits(125, "run", "--rm", "--volume=/etc/passwd:/etc", image, "true")
				c.reports(out, "/mounts/", "not a directory", "Are you trying to mount a directory onto a file")
			}},
			{"bad mount", func(c *client) {
				c.reports(c.fails("run", "--rm", "--volume=/tmp:/proc/x", image, "true"), "/mounts/", "/proc")
			}},
			{"bad user", func(c *client) {
				c.has(c.fails("run", "--rm", "--user=nosuch", image, "true"), "unable to find user nosuch")
			}},
			{"bad limit", func(c *client) {
				out := c.fails("run", "--rm", "--sysctl=net.ipv4.ip_forward=nonsense", image, "true")
				c.reports(out, "/linux/sysctl/net.ipv4.ip_forward", "invalid argument")
				out = c.fails("run", "--rm", "--ulimit=nofile=2000000000:2000000000", image, "true")
				c.reports(out, "/process/rlimits", "operation not permitted")
			}},
			{"bridge network, published port", func(c *client) {
				c.dockerDetached("--publish=127.0.0.1:18080:80", "httpd", "-f", "-h", "/var/www")
				c.is(get(c.T, "http://127.0.0.1:18080/"), "it works\n")
			}},
			{"own network, names", func(c *client) {
				c.later("network", "rm", "n1")
				c.ok("network", "create", "n1")
				name := c.dockerDetached("--network=n1", "httpd", "-f", "-h", "/var/www")
				c.until("it works", "run", "--rm", "--network=n1", image, "wget", "-qO-", "http://"+name)
				c.has(c.dockerRun("--network=container:"+name+" --pid=container:"+name, "ps"), "httpd -f")
			}},
			{"exec", func(c *client) {
				name := c.dockerDetached("", "sleep", "1000")
				c.is(c.ok("exec", "--user=1000", "--env=A=b", "--workdir=/tmp", name, "sh", "-c", "id -u; echo $A; pwd"), "1000\nb\n/tmp")
				c.exits(5, "exec", name, "sh", "-c", "exit 5")
				out, code := c.try("exec", name, "/nosuch")
				c.has(out, "no such file or directory")
				if code != 126 && code != 127 { // Docker 20.10 and 28
					c.Fatalf("exit status %d; want 126 or 127", code)
				}
			}},
			{"terminal", func(c *client) {
				out, code := c.terminal("word\n", "run", "--rm", "-it", image, "sh", "-c", "tty; read x; echo got $x; "+sized+"; exit 3")
				c.has(out, "/dev/pts/0", "got word", "31 97")
				c.code(code, 3)
			}},
			{"exec on a terminal", func(c *client) {
				out, code := c.terminal("word\n", "exec", "-it", c.dockerDetached("", "sleep", "1000"), "sh", "-c", "read x; echo got $x; exit 3")
				c.has(out, "got word")
				c.code(code, 3)
			}},
			{"standard input", func(c *client) {
				out, _ := c.tryInput("words", "run", "--rm", "-i", image, "cat")
				c.is(out, "words")
			}},
			{"stop, start, restart", func(c *client) {
				name := c.dockerDetached("", "sleep", "1000")
				c.ok("stop", "--time=0", name)
				c.is(c.ok("inspect", "--format={{.State.Status}} {{.State.ExitCode}}", name), "exited 137")
				c.ok("start", name)
				c.ok("restart", "--time=0", name)
				c.is(c.ok("inspect", "--format={{.State.Status}}", name), "running")
			}},
			{"kill, wait", func(c *client) {
				name := c.dockerDetached("", "sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.1; done")
				c.until("ready", "logs", name)
				c.ok("kill", "--signal=USR1", name)
				c.is(c.ok("wait", name), "9")
			}},
			{"restart policy", func(c *client) {
				name := c.dockerDetached("--restart=on-failure:2", "sh", "-c", "exit 1")
				c.until("2 exited", "inspect", "--format={{.RestartCount}} {{.State.Status}}", name)
			}},
			{"pause, unpause", func(c *client) {
				name := c.dockerDetached("", "sleep", "1000")
				c.ok("pause", name)
				c.is(c.ok("inspect", "--format={{.State.Status}}", name), "paused")
				c.ok("unpause", name)
				c.is(c.ok("inspect", "--format={{.State.Status}}", name), "running")
			}},
			{"stats, top", func(c *client) {
				name := c.dockerDetached("", "sleep", "1000")
				c.has(c.ok("stats", "--no-stream", "--format={{.Name}} {{.PIDs}}", name), name+" 1")
				c.has(c.ok("top", name), "sleep 1000")
			}},
			{"update", func(c *client) {
				name := c.dockerDetached("", "sleep", "1000")
				c.ok("update", "--memory=64m", "--memory-swap=128m", "--cpus=0.5", name)
				c.is(c.ok("exec", name, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), "67108864\n50000")
			}},
			{"memory limit is felt", func(c *client) {
				name := c.dockerDetached("--memory=16m", "sh", "-c", "x=a; while :; do x=$x$x; done")
				c.is(c.ok("wait", name), "137")
				c.until(" oom ", "events", "--since=5m", "--until=0s", "--filter=container="+name) // .State.OOMKilled is set only if this came first
			}},
			{"unprivileged, read-only", func(c *client) {
				out, _ := c.try("run", "--rm", "--read-only", "--user=1000:1000", "--cap-drop=all", "--security-opt=no-new-privileges", image, "sh", "-c",
					"id -u; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /x")
				c.has(out, "1000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Read-only file system")
			}},
			{"privileged", func(c *client) { c.has(c.dockerRun("--privileged", "id"), "uid=0") }},
			{"volumes, tmpfs, devices", func(c *client) {
				c.later("volume", "rm", "v1")
				c.is(c.dockerRun("--volume=v1:/v --tmpfs=/t:size=1m --shm-size=1m --device=/dev/fuse", "sh", "-c",
					"echo kept >/v/x; df /t /dev/shm | grep -c 1024; test -c /dev/fuse"), "2")
				c.is(c.dockerRun("--volume=v1:/v:ro", "sh", "-c", "cat /v/x; touch /v/y 2>/dev/null || echo read-only"), "kept\nread-only")
			}},
			{"--init, sysctl, hostname, ulimit", func(c *client) {
				out := c.dockerRun("--init --sysctl=net.ipv4.ip_forward=1 --hostname=hh --ulimit=nofile=100:200", "sh", "-c",
					"cat /proc/sys/net/ipv4/ip_forward; hostname; ulimit -n")
				c.is(out, "1\nhh\n100")
			}},
			{"host's namespaces", func(c *client) { c.dockerRun("--pid=host --ipc=host --uts=host --network=host", "true") }},
			{"health check", func(c *client) {
				name := c.dockerDetached("--health-cmd=true --health-interval=1s", "sleep", "1000")
				c.until("healthy", "inspect", "--format={{.State.Health.Status}}", name)
			}},
			{"copy", func(c *client) {
				name := c.dockerDetached("", "sleep", "1000")
				place(c.T, filepath.Join(env.dir, "copied"), "content")
				c.ok("cp", filepath.Join(env.dir, "copied"), name+":/tmp")
				c.is(c.ok("exec", name, "cat", "/tmp/copied"), "content")
			}},
			{"redis", func(c *client) {
				name := c.dockerServer("--publish=127.0.0.1:18079:6379", redisServer)
				c.speaksRedis("127.0.0.1:18079")
				c.is(c.ok("exec", name, "redis-cli", "get", "key"), "value")
			}},
			{"nginx", func(c *client) {
				c.dockerServer("--publish=127.0.0.1:18080:80", nginxServer)
				c.has(get(c.T, "http://127.0.0.1:18080/"), "Welcome to nginx")
			}},
			{"build", func(c *client) {
				c.later("rmi", "--force", "built")
				dir := filepath.Join(env.dir, "docker-build")
				place(c.T, filepath.Join(dir, "Dockerfile"), "FROM "+image+"\nRUN echo built >/built && id -u\nUSER 1000\nRUN test $(id -u) = 1000\n")
				c.ok("build", "--no-cache", "--tag=built", dir)
				c.is(c.ok("run", "--rm", "built", "cat", "/built"), "built")
				place(c.T, filepath.Join(dir, "Dockerfile"), "FROM "+image+"\nRUN exit 3\n")
				c.has(c.exits(3, "build", dir), "returned a non-zero code: 3")
			}},
			{"build with BuildKit", func(c *client) {
				c.later("rmi", "--force", "built")
				c.env = []string{"DOCKER_BUILDKIT=1"}
				dir := filepath.Join(env.dir, "docker-buildkit")
				place(c.T, filepath.Join(dir, "Dockerfile"), "FROM "+image+"\nRUN echo built >/built && id -u\n")
				c.ok("build", "--no-cache", "--tag=built", dir)
				c.is(c.ok("run", "--rm", "built", "cat", "/built"), "built")
			}},
			{"checkpoint create, start --checkpoint", dockerCheckpoint},
			{"added, not the default", func(c *client) {
				c.reconfigure(func(config object) { delete(config, "default-runtime") })
				c.has(c.ok("info", "--format={{.DefaultRuntime}} {{.Runtimes}}"), "runc ", env.kind)
				name := c.dockerDetached("--runtime="+env.kind, "sleep", "1000")
				c.is(c.ok("inspect", "--format={{.HostConfig.Runtime}}", name), env.kind)
				c.is(c.ok("exec", name, "echo", "hello"), "hello")
				c.is(c.dockerRun("", "echo", "hello"), "hello")
			}},
			{"dockerd is killed while creating", func(c *client) {
				run := func(name string) []string {
					return []string{"run", "--network=none", "--name=" + name, image, "sleep", "1000"}
				}
				tidy := func(c *client, name string) {
					c.try("rm", "--force", name)
					killAll("containerd-shim-runc-v2") // see ctrTidy
					if out := c.ok("ps", "--all"); strings.Contains(out, name) {
						c.Errorf("docker rm --force %s leaves\n%s", name, out)
					}
				}
				c.interrupted(interruption{rounds: 6, run: run, tidy: tidy, kill: func(string) { c.daemon.restart() }})
			}},
		},
	}
}

// dockerRun runs a command in a container with flags, separated by blanks, and returns its output.
func (c *client) dockerRun(flags string, command ...string) string {
	c.Helper()
	args := append([]string{"run", "--rm"}, strings.Fields(flags)...)
	return c.ok(append(append(args, image), command...)...)
}

// dockerServer starts a container that serves on a published port until the test case ends.
func (c *client) dockerServer(publish string, command []string) string {
	c.Helper()
	c.ok("load", "-i", serversArchive(c.T))
	name := c.name()
	c.later("rm", "--force", name)
	c.ok(append([]string{"run", "--detach", "--name=" + name, publish, servers}, command...)...)
	return name
}

// dockerDetached starts a container that runs until the test case ends.
func (c *client) dockerDetached(flags string, command ...string) string {
	c.Helper()
	name := c.name()
	c.later("rm", "--force", "--volumes", name)
	args := append([]string{"run", "--detach", "--name=" + name}, strings.Fields(flags)...)
	c.ok(append(append(args, image), command...)...)
	return name
}

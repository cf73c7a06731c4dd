package engines

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// podmanMachine is the setting that Podman needs on a machine without systemd and CAP_SYS_RESOURCE, because it raises hard
// limits. The tests do not examine it.
const (
	podmanMachineFile = "/etc/containers/containers.conf.d/machine.conf"
	podmanMachine     = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
`
)

func podman() engine {
	return engine{
		name:    "podman",
		needs:   map[string]string{"podman": "podman", "conmon": "conmon", "buildah": "buildah"},
		version: []string{"podman", "--version"},
		start: func(t *testing.T) client {
			configurePodman(t)
			c := client{T: t, command: []string{"podman"}, env: []string{"PODMAN_IGNORE_CGROUPSV1_WARNING=1"}}
			c.ok("load", "-i", env.image)
			return c
		},
		cases: []testCase{
			{"run", func(c *client) { c.is(c.podmanRun("", "echo", "hello"), "hello") }},
			{"exit status", func(c *client) { c.exits(7, "run", "--rm", "--network=none", image, "sh", "-c", "exit 7") }},
			{"command not found: 127", func(c *client) {
				c.has(c.exits(127, "run", "--rm", "--network=none", image, "/nosuch"), "no such file or directory")
			}},
			{"command not executable: 126", func(c *client) {
				c.has(c.exits(126, "run", "--rm", "--network=none", image, "/etc/notexec"), "permission denied")
			}},
			{"bad mount", func(c *client) {
				out := c.fails("run", "--rm", "--network=none", "--volume=/etc/passwd:/etc", image, "true")
				c.reports(out, "/mounts/", "not a directory")
				if strings.Contains(out, "level=") {
					c.Errorf("the error is a log record: %s", out)
				}
			}},
			{"bad user", func(c *client) {
				c.has(c.fails("run", "--rm", "--network=none", "--user=nosuch", image, "true"), "unable to find user nosuch")
			}},
			{"bad limit", func(c *client) {
				out := c.fails("run", "--rm", "--network=none", "--sysctl=net.ipv4.ip_forward=nonsense", image, "true")
				c.reports(out, "/linux/sysctl/net.ipv4.ip_forward", "invalid argument")
				out = c.fails("run", "--rm", "--network=none", "--ulimit=nofile=2000000000:2000000000", image, "true")
				c.reports(out, "/process/rlimits", "operation not permitted")
			}},
			{"bridge network", func(c *client) { c.has(c.ok("run", "--rm", image, "ip", "route"), "default via") }},
			{"published port", func(c *client) {
				name := c.podmanDetached("--network=podman -p=127.0.0.1:18080:80", "httpd", "-f", "-h", "/var/www")
				c.until("it works", "exec", name, "wget", "-qO-", "http://127.0.0.1")
				c.is(get(c.T, "http://127.0.0.1:18080/"), "it works\n")
			}},
			{"exec", func(c *client) {
				name := c.podmanDetached("", "sleep", "1000")
				c.is(c.ok("exec", "--user=1000", "--env=A=b", "--workdir=/tmp", name, "sh", "-c", "id -u; echo $A; pwd"), "1000\nb\n/tmp")
				c.exits(5, "exec", name, "sh", "-c", "exit 5")
				c.exits(127, "exec", name, "/nosuch")
				c.exits(126, "exec", name, "/etc/notexec")
			}},
			{"terminal", func(c *client) {
				out, code := c.terminal("word\n", "run", "--rm", "--network=none", "-it", image, "sh", "-c", "tty; read x; echo got $x; "+sized+"; exit 3")
				c.has(out, "/dev/pts/0", "got word", "31 97")
				c.code(code, 3)
			}},
			{"exec on a terminal", func(c *client) {
				out, code := c.terminal("word\n", "exec", "-it", c.podmanDetached("", "sleep", "1000"), "sh", "-c", "read x; echo got $x; exit 3")
				c.has(out, "got word")
				c.code(code, 3)
			}},
			{"standard input", func(c *client) {
				out, _ := c.tryInput("words", "run", "--rm", "--network=none", "-i", image, "cat")
				c.is(out, "words")
			}},
			{"stop, start, restart", func(c *client) {
				name := c.podmanDetached("", "sleep", "1000")
				c.ok("stop", "--time=0", name)
				c.is(c.ok("inspect", "--format={{.State.Status}} {{.State.ExitCode}}", name), "exited 137")
				c.ok("start", name)
				c.ok("restart", "--time=0", name)
				c.is(c.ok("inspect", "--format={{.State.Status}}", name), "running")
			}},
			{"kill, wait", func(c *client) {
				name := c.podmanDetached("", "sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.1; done")
				c.until("ready", "logs", name)
				c.ok("kill", "--signal=USR1", name)
				c.is(c.ok("wait", name), "9")
			}},
			{"create, start --attach, logs", func(c *client) {
				name := c.name()
				c.later("rm", "--force", name)
				c.ok("create", "--name="+name, "--network=none", image, "echo", "hello")
				c.is(c.ok("start", "--attach", name), "hello")
				c.is(c.ok("logs", name), "hello")
			}},
			{"checkpoint --export, restore --import", podmanCheckpoint},
			{"pause, unpause", func(c *client) {
				name := c.podmanDetached("", "sleep", "1000")
				c.ok("pause", name)
				c.is(c.ok("inspect", "--format={{.State.Status}}", name), "paused")
				c.ok("unpause", name)
				c.is(c.ok("inspect", "--format={{.State.Status}}", name), "running")
			}},
			{"stats, top", func(c *client) {
				name := c.podmanDetached("", "sleep", "1000")
				c.has(c.ok("stats", "--no-stream", "--format={{.Name}} {{.PIDs}}", name), name+" 1")
				c.has(c.ok("top", name), "sleep 1000")
			}},
			{"update", func(c *client) {
				name := c.podmanDetached("", "sleep", "1000")
				c.ok("update", "--memory=64m", name)
				c.is(c.ok("exec", name, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"), "67108864")
			}},
			{"limits", func(c *client) {
				out := c.podmanRun("--memory=32m --pids-limit=50 --cpus=0.5", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
					"/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
				c.is(out, "33554432\n50\n50000")
			}},
			{"memory limit is felt", func(c *client) {
				name := c.podmanDetached("--memory=16m", "sh", "-c", "x=a; while :; do x=$x$x; done")
				c.is(c.ok("wait", name), "137")
			}},
			{"unprivileged, read-only", func(c *client) {
				out := c.podmanRun("--read-only --user=1000:1000 --cap-drop=all --security-opt=no-new-privileges", "sh", "-c",
					"id -u; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /x")
				c.has(out, "1000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Read-only file system")
			}},
			{"privileged", func(c *client) { c.has(c.podmanRun("--privileged", "id"), "uid=0") }},
			{"image as a mount", func(c *client) {
				c.is(c.podmanRun("--mount=type=image,source="+image+",destination=/img", "ls", "/img/etc/passwd"), "/img/etc/passwd")
			}},
			{"image as a mount, a path in it", func(c *client) {
				args := []string{"run", "--rm", "--network=none", "--mount=type=image,source=" + image + ",destination=/img,subpath=/etc", image, "ls", "/img/passwd"}
				out, code := c.try(args...)
				if strings.Contains(out, "invalid mount option") {
					c.Skip("this Podman has no subpath of images")
				}
				c.code(code, 0)
				c.has(out, "/img/passwd")
			}},
			{"volumes, tmpfs", func(c *client) {
				c.later("volume", "rm", "v1")
				c.is(c.podmanRun("-v=v1:/v --tmpfs=/t:size=1m", "sh", "-c", "echo kept >/v/x; df /t | grep -c 1024"), "1")
				c.is(c.podmanRun("-v=v1:/v:ro", "sh", "-c", "cat /v/x; touch /v/y 2>/dev/null || echo read-only"), "kept\nread-only")
			}},
			{"secrets", func(c *client) {
				c.later("secret", "rm", "s1")
				place(c.T, filepath.Join(env.dir, "secret"), "hush")
				c.ok("secret", "create", "s1", filepath.Join(env.dir, "secret"))
				c.is(c.podmanRun("--secret=s1", "cat", "/run/secrets/s1"), "hush")
			}},
			{"--init, sysctl, hostname, ulimit", func(c *client) {
				out := c.podmanRun("--init --sysctl=net.ipv4.ip_forward=1 --hostname=hh --ulimit=nofile=100:200 --ulimit=nproc=1024:1024", "sh", "-c",
					"cat /proc/sys/net/ipv4/ip_forward; hostname; ulimit -n")
				c.is(out, "1\nhh\n100")
			}},
			{"host's namespaces", func(c *client) { c.podmanRun("--pid=host --ipc=host --uts=host --network=host", "true") }},
			{"--preserve-fds", func(c *client) { c.podmanRun("--preserve-fds=0", "true") }},
			{"user namespace", func(c *client) {
				c.has(c.podmanRun("--uidmap=0:100000:65536 --gidmap=0:100000:65536", "cat", "/proc/self/uid_map"), "100000      65536")
			}},
			{"--userns=auto", func(c *client) {
				more(c.T, "/etc/passwd", "containers:x:998:998::/:/bin/false\n") // Podman 5 wants it to exist
				place(c.T, "/etc/subuid", "containers:200000:400000\n")
				place(c.T, "/etc/subgid", "containers:200000:400000\n")
				c.has(c.podmanRun("--userns=auto", "cat", "/proc/self/uid_map"), "200000")
			}},
			{"--cgroups=disabled", func(c *client) { c.podmanRun("--cgroups=disabled", "true") }},
			{"pod", func(c *client) {
				c.later("pod", "rm", "--force", "--time=0", "p1")
				c.ok("pod", "create", "--name=p1", "--share=ipc,net,uts", "--network=none")
				c.ok("run", "--detach", "--pod=p1", image, "httpd", "-f", "-h", "/var/www")
				c.is(c.ok("run", "--rm", "--pod=p1", image, "wget", "-qO-", "http://127.0.0.1"), "it works")
				c.ok("pod", "pause", "p1")
				c.ok("pod", "unpause", "p1")
				c.ok("pod", "stop", "--time=0", "p1")
			}},
			{"health check", healthCheck},
			{"redis", func(c *client) {
				name := c.podmanServer("--publish=127.0.0.1:18079:6379", redisServer)
				c.speaksRedis("127.0.0.1:18079")
				c.is(c.ok("exec", name, "redis-cli", "get", "key"), "value")
			}},
			{"nginx", func(c *client) {
				c.podmanServer("--publish=127.0.0.1:18080:80", nginxServer)
				c.has(get(c.T, "http://127.0.0.1:18080/"), "Welcome to nginx")
			}},
			{"build", func(c *client) {
				c.later("rmi", "--force", "built")
				dir := filepath.Join(env.dir, "build")
				place(c.T, filepath.Join(dir, "Dockerfile"), "FROM "+image+"\nRUN echo built >/built && id -u\nUSER 1000\nRUN test $(id -u) = 1000\n")
				c.ok("build", "--network=none", "--no-cache", "--tag=built", dir)
				c.is(c.ok("run", "--rm", "--network=none", "built", "cat", "/built"), "built")
				place(c.T, filepath.Join(dir, "Dockerfile"), "FROM "+image+"\nRUN exit 3\n")
				c.has(c.exits(3, "build", "--network=none", dir), "exit status 3")
			}},
			{"buildah run", func(c *client) {
				buildah := client{T: c.T, command: []string{"buildah"}, env: c.env}
				name := buildah.ok("from", "--pull-never", image)
				buildah.later("rm", name)
				flags := []string{"run", "--runtime=/usr/local/sbin/" + env.kind, "--network=none", name}
				buildah.has(buildah.ok(append(flags, "echo", "hello")...), "hello") // and a warning: docs/engines/podman.md
				buildah.exits(5, append(flags, "sh", "-c", "exit 5")...)
			}},
			{"conmon is killed while creating", conmonKilled},
			{"podman is killed while creating", func(c *client) {
				c.interrupted(interruption{rounds: 5, run: podmanSleeper, tidy: podmanTidy, kill: func(name string) { killAll("podman", "--name="+name) }})
			}},
		},
	}
}

// configurePodman writes the configuration of the page. `make install` installs the same text as an example.
func configurePodman(t *testing.T) {
	t.Helper()
	configure(t, "podman.md")
	place(t, podmanMachineFile, podmanMachine)
	if env.kind != "onggi" {
		return
	}
	shown, err := os.ReadFile("/etc/containers/containers.conf.d/onggi.conf")
	left, leftErr := os.ReadFile(filepath.Join(env.dir, "podman.conf"))
	if err := errors.Join(err, leftErr); err != nil {
		t.Fatal(err)
	}
	if string(left) != string(shown) {
		t.Fatalf("make install leaves\n%s\nand docs/engines/podman.md shows\n%s", left, shown)
	}
}

// podmanRun runs a command in a container with flags, separated by blanks, and returns its output.
func (c *client) podmanRun(flags string, command ...string) string {
	c.Helper()
	args := append([]string{"run", "--rm"}, networkless(flags)...)
	out, code := c.try(append(append(args, image), command...)...)
	if code == 125 || code == 126 || code == 127 { // Podman's own: the command did not run
		c.Fatalf("podman run %s: %d\n%s", flags, code, out)
	}
	return out
}

// podmanServer starts a container that serves on a published port until the test case ends.
func (c *client) podmanServer(publish string, command []string) string {
	c.Helper()
	c.ok("load", "-i", serversArchive(c.T))
	name := c.name()
	c.later("rm", "--force", "--time=0", name)
	c.ok(append([]string{"run", "--detach", "--name=" + name, publish, servers}, command...)...)
	return name
}

func healthCheck(c *client) {
	for command, code := range map[string]int{"true": 0, "false": 1} {
		name := c.podmanDetached("--health-interval=disable --health-cmd="+command, "sleep", "1000")
		c.exits(code, "healthcheck", "run", name)
	}
}

func conmonKilled(c *client) {
	kill := func(name string) { killAll("conmon", name) }
	c.interrupted(interruption{rounds: 5, run: podmanSleeper, tidy: podmanTidy, kill: kill})
}

func podmanSleeper(name string) []string {
	return []string{"run", "--network=none", "--name=" + name, image, "sleep", "1000"}
}

func podmanTidy(c *client, name string) {
	c.Helper()
	c.ok("rm", "--force", "--time=0", name)
}

// podmanDetached starts a container that runs until the test case ends.
func (c *client) podmanDetached(flags string, command ...string) string {
	c.Helper()
	name := c.name()
	c.later("rm", "--force", "--time=0", name)
	args := append([]string{"run", "--detach", "--name=" + name}, networkless(flags)...)
	c.ok(append(append(args, image), command...)...)
	return name
}

// networkless returns the flags, with one for no network if they name none: the set-up of a network takes longer than a
// container.
func networkless(flags string) []string {
	if strings.Contains(flags, "--network") {
		return strings.Fields(flags)
	}
	return append(strings.Fields(flags), "--network=none")
}

package engines

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func containerd() engine {
	return engine{
		name:    "containerd",
		needs:   map[string]string{"containerd": "containerd", "ctr": "containerd"},
		version: []string{"containerd", "--version"},
		start: func(t *testing.T) client {
			configure(t, "containerd.md")
			ready := func() error { return exec.Command("ctr", "version").Run() }
			c := client{T: t, command: []string{"ctr"}, daemon: serve(t, ready, "containerd")}
			c.ok("image", "import", env.image)
			return c
		},
		cases: []testCase{
			{"run", func(c *client) { c.is(c.ctrRun("", "echo", "hello"), "hello") }},
			{"exit status", func(c *client) { c.exits(7, ctrArgs("--rm", image, c.name(), "sh", "-c", "exit 7")...) }},
			{"command not found", func(c *client) {
				c.has(c.exits(1, ctrArgs("--rm", image, c.name(), "/nosuch")...), "OCI runtime create failed", "no such file or directory")
			}},
			{"command not executable", func(c *client) {
				c.has(c.exits(1, ctrArgs("--rm", image, c.name(), "/etc/notexec")...), "OCI runtime create failed", "permission denied")
			}},
			{"bad mount", func(c *client) {
				mount := "--mount=type=bind,src=/nosuch,dst=/mnt,options=rbind"
				c.reports(c.exits(1, ctrArgs("--rm", mount, image, c.name(), "true")...), "/mounts/", "/nosuch", "no such file or directory")
			}},
			{"bad user", func(c *client) {
				name := c.ctrDetached("--uidmap=0:100000:10", "--gidmap=0:100000:10")
				c.reports(c.exits(1, "task", "exec", "--exec-id", "e", "--user", "500", name, "true"), "/user/uid", "OCI runtime exec failed")
			}},
			{"bad limit", func(c *client) {
				out := c.exits(1, ctrArgs("--rm", "--cpu-quota=1", "--cpu-period=100000", image, c.name(), "true")...)
				c.reports(out, "/linux/resources/cpu/quota", "invalid argument")
			}},
			{"detach, list, kill, delete", func(c *client) {
				name := c.ctrDetached()
				c.has(c.ok("task", "ls"), name, "RUNNING")
				c.ok("task", "kill", "-s", "KILL", name)
				c.until("STOPPED", "task", "ls")
				c.ok("task", "delete", "--force", name)
				c.ok("container", "delete", name)
			}},
			{"kill of a stopped one", func(c *client) {
				name := c.ctrDetached()
				c.ok("task", "kill", "-s", "KILL", name)
				c.until("STOPPED", "task", "ls")
				c.has(c.exits(1, "task", "kill", name), "not found")
			}},
			{"exec", func(c *client) {
				name := c.ctrDetached()
				c.is(c.ok("task", "exec", "--exec-id", "e", "--user", "1000", name, "id", "-u"), "1000")
				c.exits(5, "task", "exec", "--exec-id", "e", name, "sh", "-c", "exit 5")
				c.has(c.exits(1, "task", "exec", "--exec-id", "e", name, "/nosuch"), "OCI runtime exec failed", "no such file or directory")
			}},
			{"exec detached, kill", func(c *client) {
				name := c.ctrDetached()
				c.ok("task", "exec", "-d", "--exec-id", "e", name, "sleep", "1000")
				c.ok("task", "kill", "--exec-id", "e", "-s", "KILL", name)
			}},
			{"exec on a terminal", func(c *client) {
				out, code := c.terminal("", "task", "exec", "-t", "--exec-id", "e", c.ctrDetached(), "sh", "-c", "tty; "+sized+"; exit 3")
				c.has(out, "31 97", "/dev/pts/0")
				c.code(code, 3)
			}},
			{"pause, resume", func(c *client) {
				name := c.ctrDetached()
				c.ok("task", "pause", name)
				c.has(c.ok("task", "ls"), "PAUSED")
				c.ok("task", "resume", name)
				c.has(c.ok("task", "ls"), "RUNNING")
			}},
			{"ps, metrics", func(c *client) {
				name := c.ctrDetached()
				c.ok("task", "ps", name)
				c.has(c.ok("task", "metrics", name), "memory.usage_in_bytes", "pids.current")
			}},
			{"terminal", func(c *client) {
				out, code := c.terminal("word\n", ctrArgs("--rm", "-t", image, c.name(), "sh", "-c", "tty; read x; echo got $x; exit 3")...)
				c.has(out, "/dev/pts/0", "got word")
				c.code(code, 3)
			}},
			{"limits", func(c *client) {
				out := c.ok(ctrArgs("--rm", "--memory-limit", "33554432", "--mount", "type=bind,src=/sys/fs/cgroup,dst=/mnt,options=rbind:ro",
					image, "limits", "cat", "/mnt/memory/default/limits/memory.limit_in_bytes")...)
				c.is(out, "33554432")
			}},
			{"user namespace", func(c *client) {
				c.has(c.ctrRun("--uidmap=0:100000:65536 --gidmap=0:100000:65536", "cat", "/proc/self/uid_map"), "100000      65536")
			}},
			{"read-only, seccomp, cwd", func(c *client) { c.is(c.ctrRun("--read-only --seccomp --cwd=/tmp", "pwd"), "/tmp") }},
			{"privileged, host network", func(c *client) { c.has(c.ctrRun("--privileged --net-host", "id"), "uid=0") }},
			{"--rootfs", func(c *client) {
				dir := filepath.Join(env.dir, "rootfs")
				makeRootfs(c.T, dir)
				c.is(c.ok(ctrArgs("--rm", "--rootfs", dir, c.name(), "/bin/busybox", "echo", "hello")...), "hello")
			}},
			{"redis", func(c *client) {
				name := c.ctrServer(redisServer)
				c.speaksRedis("127.0.0.1:6379")
				c.is(c.ok("task", "exec", "--exec-id", "e", name, "redis-cli", "get", "key"), "value")
			}},
			{"nginx", func(c *client) {
				c.ctrServer(nginxServer)
				c.has(get(c.T, "http://127.0.0.1/"), "Welcome to nginx")
			}},
			{"checkpoint, restore", ctrCheckpoint},
			{"containerd stops and starts", func(c *client) {
				name := c.ctrDetached()
				c.daemon.stop()
				c.daemon.start()
				c.has(c.ok("task", "ls"), name, "RUNNING")
				c.is(c.ok("task", "exec", "--exec-id", "e", name, "echo", "hello"), "hello")
			}},
			{"containerd is killed while creating", func(c *client) {
				c.interrupted(interruption{rounds: 10, run: ctrSleeper, tidy: ctrTidy, kill: func(string) { c.daemon.restart() }})
			}},
			{"shim is killed while creating", func(c *client) {
				kill := func(name string) { killAll(env.shim, name) }
				c.interrupted(interruption{rounds: 10, run: ctrSleeper, tidy: ctrTidy, kill: kill})
			}},
		},
	}
}

func ctrArgs(args ...string) []string {
	if env.shim == onggiShim {
		return append([]string{"run", "--runtime=io.containerd.onggi.v1"}, args...)
	}
	return append([]string{"run", "--runtime=io.containerd.runc.v2", "--runc-binary=/usr/local/sbin/" + env.kind}, args...)
}

// ctrRun runs a command in a container with flags, separated by blanks, and returns its output.
func (c *client) ctrRun(flags string, command ...string) string {
	c.Helper()
	args := append([]string{"--rm"}, strings.Fields(flags)...)
	return c.ok(ctrArgs(append(append(args, image, c.name()), command...)...)...)
}

// ctrDetached starts a container that sleeps until the test case ends.
func (c *client) ctrDetached(flags ...string) string {
	c.Helper()
	return c.ctrStarted(append(append([]string{"--detach"}, flags...), image), "sleep", "1000")
}

// ctrServer starts a container that serves on the sandbox's network until the test case ends.
func (c *client) ctrServer(command []string) string {
	c.Helper()
	c.ok("image", "import", serversArchive(c.T))
	return c.ctrStarted([]string{"--detach", "--net-host", servers}, command...)
}

func (c *client) ctrStarted(args []string, command ...string) string {
	c.Helper()
	name := c.name()
	c.later("container", "delete", name)
	c.later("task", "delete", "--force", name)
	c.ok(ctrArgs(append(append(args, name), command...)...)...)
	return name
}

func ctrSleeper(name string) []string { return ctrArgs(image, name, "sleep", "1000") }

// ctrTidy removes a container. If containerd 1.6 is killed before it knows a container, the shim stays, with any runtime. So
// ctrTidy kills it.
func ctrTidy(c *client, name string) {
	c.try("task", "delete", "--force", name)
	c.try("container", "delete", name)
	killAll(env.shim)
	unix.Unmount("/run/containerd/io.containerd.runtime.v2.task/default/"+name+"/rootfs", unix.MNT_DETACH) // the shim's
}

func makeRootfs(t *testing.T, dir string) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"bin", "dev", "proc", "run", "sys"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyFile(busybox, filepath.Join(dir, "bin/busybox")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "bin/busybox"), 0o755); err != nil {
		t.Fatal(err)
	}
}

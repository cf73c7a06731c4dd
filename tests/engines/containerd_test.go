package engines

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
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
				c.has(c.exits(1, ctrArgs("--rm", mount, image, c.name(), "true")...), "/nosuch", "no such file or directory")
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
				c.ok("image", "import", redisArchive(c.T))
				name := c.name()
				c.later("container", "delete", name)
				c.later("task", "delete", "--force", name)
				c.ok(ctrArgs(append([]string{"--detach", "--net-host", redis, name}, redisServer[1:]...)...)...)
				c.speaksRedis("127.0.0.1:6379")
				c.is(c.ok("task", "exec", "--exec-id", "e", name, "redis-cli", "get", "key"), "value")
			}},
			{"containerd stops and starts", func(c *client) {
				name := c.ctrDetached()
				c.daemon.stop()
				c.daemon.start()
				c.has(c.ok("task", "ls"), name, "RUNNING")
				c.is(c.ok("task", "exec", "--exec-id", "e", name, "echo", "hello"), "hello")
			}},
			{"containerd is killed while creating", func(c *client) {
				c.interrupted(func(string) {
					c.daemon.cmd.Process.Kill()
					c.daemon.stop()
					c.daemon.start()
				})
			}},
			{"shim is killed while creating", func(c *client) {
				c.interrupted(func(name string) { killAll("containerd-shim-runc-v2", name) })
			}},
		},
	}
}

func ctrArgs(args ...string) []string {
	return append([]string{"run", "--runtime=io.containerd.runc.v2", "--runc-binary=/usr/local/sbin/" + env.kind}, args...)
}

// ctrRun runs a command in a container with flags, separated by blanks, and returns what it wrote.
func (c *client) ctrRun(flags string, command ...string) string {
	c.Helper()
	args := append([]string{"--rm"}, strings.Fields(flags)...)
	return c.ok(ctrArgs(append(append(args, image, c.name()), command...)...)...)
}

// ctrDetached is a container that sleeps until the test case ends.
func (c *client) ctrDetached() string {
	c.Helper()
	name := c.name()
	c.later("container", "delete", name)
	c.later("task", "delete", "--force", name)
	c.ok(ctrArgs("--detach", image, name, "sleep", "1000")...)
	return name
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

// interrupted runs containers, lets interrupt do its work a little later each time, and then cleans up as a user does.
// Nothing may be left that neither containerd nor `delete --force` takes away.
func (c *client) interrupted(interrupt func(name string)) {
	c.Helper()
	for delay := time.Duration(0); delay < 60*time.Millisecond; delay += 6 * time.Millisecond {
		name := c.name()
		ctx, cancel := context.WithCancel(context.Background())
		run := exec.CommandContext(ctx, "ctr", ctrArgs(image, name, "sleep", "1000")...)
		if err := run.Start(); err != nil {
			c.Fatal(err)
		}
		time.Sleep(20*time.Millisecond + delay) // until the shim runs
		interrupt(name)
		time.AfterFunc(time.Second, cancel)
		run.Wait()
		cancel()
		c.try("task", "delete", "--force", name)
		c.try("container", "delete", name)
		killAll("containerd-shim-runc-v2", name)
	}
	for _, dir := range stateDirs() {
		out, err := exec.Command(env.kind, "--root", filepath.Dir(dir), "delete", "--force", filepath.Base(dir)).CombinedOutput()
		if err != nil {
			c.Errorf("delete --force %s: %v\n%s", dir, err, out)
		}
	}
	leftContainers(c.T)
}

// killAll kills the processes that have all words among their arguments.
func killAll(words ...string) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cmdline, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		args := strings.Split(string(cmdline), "\x00")
		args[0] = filepath.Base(args[0])
		if !slices.ContainsFunc(words, func(word string) bool { return !slices.Contains(args, word) }) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const (
	userID     = 12345 // nobody has it
	runtimeDir = "/run/user/12345"
)

// rootless is Podman as an ordinary user. With cgroup v1 such a user has no cgroups: Podman itself
// refuses limits, pause and statistics.
func rootless() engine {
	return engine{
		name:    "podman, rootless",
		needs:   map[string]string{"podman": "podman", "conmon": "conmon", "buildah": "buildah", "newuidmap": "uidmap", "slirp4netns": "slirp4netns"},
		version: []string{"podman", "--version"},
		start:   func(t *testing.T) client { return asUser(t) },
		cases:   rootlessCases(),
	}
}

// rootlessV2 is the same with a cgroup of the user's own, as a systemd of today gives each user one. The machine may have
// no controllers to go with it, so there are no limits either.
func rootlessV2() engine {
	e := rootless()
	e.name = "podman, rootless, cgroup v2"
	e.start = func(t *testing.T) client {
		return asUser(t, "nsenter", fmt.Sprintf("--target=%d", delegate(t)), "--mount", "sh", "-ec", joinDelegated, "sh")
	}
	e.cases = append(rootlessCases(), []testCase{
		{"pause, unpause", func(c *client) {
			name := c.podmanDetached("", "sleep", "1000")
			c.ok("pause", name)
			c.is(c.ok("inspect", "--format={{.State.Status}}", name), "paused")
			c.ok("unpause", name)
			c.is(c.ok("inspect", "--format={{.State.Status}}", name), "running")
		}},
		{"pause of a pod", func(c *client) {
			c.later("pod", "rm", "--force", "--time=0", "p2")
			c.ok("pod", "create", "--name=p2", "--network=none")
			c.ok("run", "--detach", "--pod=p2", image, "sleep", "1000")
			c.ok("pod", "pause", "p2")
			c.has(c.ok("pod", "ps"), "Paused")
			c.ok("pod", "unpause", "p2")
		}},
		{"stats", func(c *client) {
			name := c.podmanDetached("", "sleep", "1000")
			c.has(c.ok("stats", "--no-stream", "--format={{.Name}} {{.CPU}}", name), name+" ")
		}},
	}...)
	return e
}

// asUser runs Podman as an ordinary user.
func asUser(t *testing.T, starter ...string) client {
	configurePodman(t)
	home := newUser(t)
	id := fmt.Sprint(userID)
	c := client{T: t, command: append(starter,
		"setpriv", "--reuid="+id, "--regid="+id, "--clear-groups", "env", "--chdir=/", "--ignore-environment", "PATH="+os.Getenv("PATH"),
		"HOME="+home, "XDG_RUNTIME_DIR="+runtimeDir, "PODMAN_IGNORE_CGROUPSV1_WARNING=1", "TERM=xterm", "podman")}
	t.Cleanup(func() { c.try("system", "migrate") }) // ends the process that holds the user's namespaces
	c.ok("load", "-i", env.image)
	return c
}

// joinDelegated moves a shell into the user's cgroup and executes its arguments.
const joinDelegated = `echo 0 >` + cgroupRoot + `/user/session/cgroup.procs; exec "$@"`

// delegate makes a cgroup that belongs to the user, on a pure v2 hierarchy, and returns the id of a process that sees it.
func delegate(t *testing.T) int {
	t.Helper()
	const done = "/run/delegated"
	script := fmt.Sprintf(`umount -l -R %[1]s; mount -t cgroup2 cgroup2 %[1]s; mkdir -p %[1]s/user/session
		for dir in user user/session; do chown %[2]d %[1]s/$dir %[1]s/$dir/cgroup.procs %[1]s/$dir/cgroup.subtree_control; done
		mount --make-rshared /; touch %[3]s; exec sleep infinity`, cgroupRoot, userID, done)
	holder := serve(t, func() error { _, err := os.Stat(done); return err }, "unshare", "--mount", "sh", "-ec", script)
	return holder.cmd.Process.Pid
}

func rootlessCases() []testCase {
	return []testCase{
		{"run", func(c *client) {
			c.is(c.podmanRun("", "id", "-u"), "0")
			c.has(c.podmanRun("", "cat", "/proc/self/uid_map"), "12345", "200000")
		}},
		{"exit status", func(c *client) { c.exits(7, "run", "--rm", "--network=none", image, "sh", "-c", "exit 7") }},
		{"command not found: 127", func(c *client) {
			c.has(c.exits(127, "run", "--rm", "--network=none", image, "/nosuch"), "no such file or directory")
		}},
		{"exec", func(c *client) {
			name := c.podmanDetached("", "sleep", "1000")
			c.is(c.ok("exec", "--user=1000", "--env=A=b", "--workdir=/tmp", name, "sh", "-c", "id -u; echo $A; pwd"), "1000\nb\n/tmp")
			c.exits(5, "exec", name, "sh", "-c", "exit 5")
			c.exits(127, "exec", name, "/nosuch")
		}},
		{"terminal", func(c *client) {
			out, code := c.terminal("word\n", "run", "--rm", "--network=none", "-it", image, "sh", "-c", "tty; read x; echo got $x; "+sized+"; exit 3")
			c.has(out, "/dev/pts/0", "got word", "31 97")
			c.code(code, 3)
		}},
		{"stop, start, kill, wait", func(c *client) {
			name := c.podmanDetached("", "sleep", "1000")
			c.has(c.ok("top", name), "sleep 1000")
			c.ok("stop", "--time=0", name)
			c.ok("start", name)
			c.ok("kill", name)
			c.is(c.ok("wait", name), "137")
		}},
		{"--userns=keep-id", func(c *client) { c.is(c.podmanRun("--userns=keep-id", "id", "-u"), "12345") }},
		{"unprivileged, read-only", func(c *client) {
			out := c.podmanRun("--read-only --user=1000:1000 --cap-drop=all --security-opt=no-new-privileges", "sh", "-c",
				"id -u; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; touch /x")
			c.has(out, "1000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Read-only file system")
		}},
		{"privileged", func(c *client) { c.is(c.podmanRun("--privileged", "id", "-u"), "0") }},
		{"host's namespaces", func(c *client) { c.podmanRun("--pid=host --uts=host --network=host", "true") }},
		{"volumes, tmpfs", func(c *client) {
			c.later("volume", "rm", "v1")
			c.is(c.podmanRun("-v=v1:/v --tmpfs=/t:size=1m", "sh", "-c", "echo kept >/v/x; df /t | grep -c 1024"), "1")
			c.is(c.podmanRun("-v=v1:/v:ro", "sh", "-c", "cat /v/x; touch /v/y 2>/dev/null || echo read-only"), "kept\nread-only")
		}},
		{"--cgroups=disabled", func(c *client) { c.podmanRun("--cgroups=disabled", "true") }},
		{"pod", func(c *client) {
			c.later("pod", "rm", "--force", "--time=0", "p1")
			c.ok("pod", "create", "--name=p1", "--share=ipc,net,uts", "--network=none")
			c.ok("run", "--detach", "--pod=p1", image, "httpd", "-f", "-p", "8080", "-h", "/var/www")
			c.until("it works", "run", "--rm", "--pod=p1", image, "wget", "-qO-", "http://127.0.0.1:8080")
		}},
		{"build", func(c *client) {
			c.later("rmi", "--force", "built")
			dir := filepath.Join(env.dir, "home", "build")
			place(c.T, filepath.Join(dir, "Dockerfile"), "FROM "+image+"\nRUN echo built >/built && id -u\nUSER 1000\nRUN test $(id -u) = 1000\n")
			c.ok("build", "--network=none", "--no-cache", "--tag=built", dir)
			c.is(c.ok("run", "--rm", "--network=none", "built", "cat", "/built"), "built")
		}},
		{"bad mount, bad user, bad limit", func(c *client) {
			run := []string{"run", "--rm", "--network=none"}
			c.reports(c.fails(append(run, "--volume=/etc/passwd:/etc", image, "true")...), "/mounts/", "not a directory")
			c.has(c.fails(append(run, "--user=nosuch", image, "true")...), "unable to find user nosuch")
			c.reports(c.fails(append(run, "--ulimit=nofile=2000000000:2000000000", image, "true")...), "/process/rlimits", "operation not permitted")
		}},
		{"--userns=auto", func(c *client) { c.has(c.podmanRun("--userns=auto", "cat", "/proc/self/uid_map"), "0          1") }},
		{"secrets", func(c *client) {
			c.later("secret", "rm", "s1")
			file := filepath.Join(env.dir, "home", "secret")
			place(c.T, file, "hush")
			c.ok("secret", "create", "s1", file)
			c.is(c.podmanRun("--secret=s1", "cat", "/run/secrets/s1"), "hush")
		}},
		{"health check", healthCheck},
		{"network, published port", func(c *client) {
			c.podmanDetached("--network=slirp4netns --publish=127.0.0.1:18080:80", "httpd", "-f", "-h", "/var/www")
			c.is(get(c.T, "http://127.0.0.1:18080/"), "it works\n")
		}},
		{"redis", func(c *client) {
			name := c.podmanServer("--network=none", redisServer)
			c.until("OK", "exec", name, "redis-cli", "set", "key", "value")
			c.is(c.ok("exec", name, "redis-cli", "get", "key"), "value")
		}},
		{"conmon is killed while creating", conmonKilled},
	}
}

// newUser creates an ordinary user with subordinate ids, as an administrator and a login would, and returns its home.
func newUser(t *testing.T) (home string) {
	t.Helper()
	home = filepath.Join(env.dir, "home")
	more(t, "/etc/passwd", fmt.Sprintf("tester:x:%d:%[1]d::%s:/bin/sh\n", userID, home))
	more(t, "/etc/group", fmt.Sprintf("tester:x:%d:\n", userID))
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		place(t, file, "tester:200000:65536\n")
	}
	for _, dir := range []string{env.dir, filepath.Dir(env.dir)} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{home, runtimeDir} {
		if err := errorsOf(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o700), os.Chown(dir, userID, userID)); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

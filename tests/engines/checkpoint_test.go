package engines

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// counting is a program that writes a number, and then the next.
var counting = []string{"sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/tmp/n; sleep 0.02; done"}

// needsCRIU skips a case without a CRIU that works in the sandbox.
func (c *client) needsCRIU() {
	c.Helper()
	if why := whyNoCRIU(); why != "" {
		c.Skip(why)
	}
}

var whyNoCRIU = sync.OnceValue(func() string {
	if out, err := exec.Command("criu", "check").CombinedOutput(); err != nil {
		return "there is no CRIU that works here: " + err.Error() + ": " + strings.TrimSpace(string(out))
	}
	return ""
})

// count waits until the program in a container has counted further than after, and returns the number. read is the
// command that shows the number.
func (c *client) count(after int, read ...string) int {
	c.Helper()
	out := ""
	for deadline := time.Now().Add(slowly(20 * time.Second)); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, _ = c.try(read...)
		if n, err := strconv.Atoi(out); err == nil && n > after {
			return n
		}
	}
	c.Fatalf("it does not count further than %d: %s", after, out)
	return 0
}

// ctrCheckpoint writes a container with its file system to an image, removes it, and restores it.
func ctrCheckpoint(c *client) {
	c.needsCRIU()
	name, saved := c.ctrStarted([]string{"--detach", image}, counting...), "docker.io/library/saved:1"
	read := []string{"task", "exec", "--exec-id", "read", name, "cat", "/tmp/n"}
	c.later("image", "rm", saved)
	c.count(3, read...)
	c.ok("container", "checkpoint", "--rw", "--task", "--image", name, saved)
	n := c.count(0, read...)
	c.count(n, read...) // it goes on
	c.ok("task", "delete", "--force", name)
	c.ok("container", "delete", name)
	c.ok("container", "restore", "--rw", "--live", name, saved)
	c.has(c.ok("task", "ls"), name, "RUNNING")
	m := c.count(2, read...)
	c.count(m, read...)
	c.ok("task", "kill", "-s", "KILL", name)
	c.until("STOPPED", "task", "ls")
}

// dockerCheckpoint writes a container to disk and starts it from there.
func dockerCheckpoint(c *client) {
	c.needsCRIU()
	c.reconfigure(func(config object) { config["experimental"] = true })
	name := c.dockerDetached("--network=none", counting...)
	read := []string{"exec", name, "cat", "/tmp/n"}
	c.count(3, read...)
	c.ok("checkpoint", "create", "--leave-running", name, "first")
	c.count(c.count(0, read...), read...) // it goes on
	c.ok("checkpoint", "create", name, "second")
	c.until("exited", "inspect", "--format={{.State.Status}}", name)
	c.has(c.ok("checkpoint", "ls", name), "first", "second")
	c.ok("start", "--checkpoint=second", name)
	n := c.count(4, read...)
	c.count(n, read...)
	c.ok("kill", name)
}

// podmanCheckpoint writes a container to an archive and restores it from there, under another name.
func podmanCheckpoint(c *client) {
	c.needsCRIU()
	name, other := c.podmanDetached("", counting...), c.name()
	c.later("rm", "--force", other)
	read := func(name string) []string { return []string{"exec", name, "cat", "/tmp/n"} }
	archive := filepath.Join(env.dir, "checkpoint.tar.gz")
	c.count(3, read(name)...)
	c.ok("container", "checkpoint", "--leave-running", "--export="+archive, name)
	c.count(c.count(0, read(name)...), read(name)...) // it goes on
	c.ok("container", "checkpoint", "--export="+archive, name)
	c.until("exited", "inspect", "--format={{.State.Status}}", name)
	c.ok("container", "restore", "--import="+archive, "--name="+other)
	c.count(c.count(4, read(other)...), read(other)...)
	c.ok("container", "restore", name)
	c.count(c.count(4, read(name)...), read(name)...)
}

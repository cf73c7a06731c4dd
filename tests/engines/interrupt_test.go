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
	"time"
)

// interruption kills a part of an engine while a container is created, and then cleans up as a user of the engine does.
type interruption struct {
	rounds int                          // number of kills, each a little later than the one before
	run    func(name string) []string   // command that creates the container
	kill   func(name string)            //
	tidy   func(c *client, name string) // the engine's own clean-up
}

// interrupted runs all rounds. The engine and `delete --force` together must be able to remove everything.
func (c *client) interrupted(i interruption) {
	c.Helper()
	hits := 0
	for round := range i.rounds {
		name := c.name()
		ctx, cancel := context.WithCancel(context.Background())
		run := exec.CommandContext(ctx, c.command[0], append(c.command[1:len(c.command):len(c.command)], i.run(name)...)...)
		run.Env, run.WaitDelay = append(os.Environ(), c.env...), time.Second
		if err := run.Start(); err != nil {
			c.Fatal(err)
		}
		if awaitCreate() {
			hits++
		}
		time.Sleep(time.Duration(round) * 2 * time.Millisecond) // a create takes 10 to 50 ms
		i.kill(name)
		time.AfterFunc(slowly(3*time.Second), cancel) // on a busy machine, the engine needs time to see that it has lost its part
		run.Wait()
		cancel()
		i.tidy(c, name)
	}
	if hits == 0 {
		c.Error("no create was seen: nothing was interrupted")
	}
	runtime := *c // as the engine's user
	runtime.command = append(slices.Clone(c.command[:len(c.command)-1]), env.kind)
	for _, dir := range stateDirs() {
		if out, code := runtime.try("--root", filepath.Dir(dir), "delete", "--force", filepath.Base(dir)); code != 0 {
			c.Errorf("delete --force %s: %d\n%s", dir, code, out)
		}
	}
	leftContainers(c.T)
}

// awaitCreate waits until the runtime creates a container. There is no event for it. An engine may take seconds before that.
func awaitCreate() bool {
	for deadline := time.Now().Add(slowly(10 * time.Second)); time.Now().Before(deadline); {
		if len(processes(env.kind, "create")) > 0 {
			return true
		}
	}
	return false
}

// killAll kills the processes that have all words among their arguments.
func killAll(words ...string) {
	for _, pid := range processes(words...) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// processes returns the processes that have all words among their arguments. The program counts by the last part of its path.
func processes(words ...string) []int {
	var found []int
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
			found = append(found, pid)
		}
	}
	return found
}

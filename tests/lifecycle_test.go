package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRunPrintsAndEnds(t *testing.T) {
	c := newContainer(t, sh("echo hello; echo oops >&2"))
	r := c.run()
	want(t, "stdout", r.out, "hello\n")
	want(t, "stderr", r.err, "oops\n")
	if r.code != 0 {
		t.Error(r)
	}
}

func TestRunReturnsTheExitStatus(t *testing.T) {
	tests := []struct {
		name, line string
		code       int
	}{
		{"zero", "exit 0", 0},
		{"number", "exit 42", 42},
		{"largest", "exit 255", 255},
		// The status is 128+n for signal n, as in every shell. The shell is pid 1, which no signal from inside can
		// end; here the shell's program dies, executed in place of the shell.
		{"child killed", "sh -c 'kill -9 $$'; exit $?", 137},
		{"child terminated", "sh -c 'kill -15 $$'; exit $?", 143},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if r := newContainer(t, sh(test.line)).run(); r.code != test.code {
				t.Errorf("exit status %d; want %d\n%v", r.code, test.code, r)
			}
		})
	}
}

func TestRunReturns128PlusTheSignalThatKilledTheContainer(t *testing.T) {
	c := newContainer(t, sh("echo up; sleep 1000"))
	i := c.begin(c.withFlags("run")...)
	eventually(t, "the container runs", func() bool { return contents(i.out) == "up\n" })
	c.must("kill", c.id, "KILL")
	if r := i.end(); r.code != 128+9 {
		t.Errorf("exit status %d; want %d\n%v", r.code, 128+9, r)
	}
}

func TestRunReadsStandardInput(t *testing.T) {
	c := newContainer(t, args("cat"))
	c.stdin = scratch(t)
	fmt.Fprint(c.stdin, "a line\n")
	c.stdin.Seek(0, 0)
	want(t, "output", c.output(), "a line")
}

func TestRunDetachedAndKeep(t *testing.T) {
	t.Run("detach", func(t *testing.T) {
		c := newContainer(t, args("sleep", "1000"))
		c.must(c.withFlags("run", "--detach")...)
		want(t, "status", c.status(), "running")
		c.must("kill", c.id, "KILL")
		c.stopped()
		c.must("delete", c.id)
	})
	t.Run("keep", func(t *testing.T) {
		c := newContainer(t, args("true"))
		if r := c.run("--keep"); r.code != 0 {
			t.Fatal(r)
		}
		want(t, "status", c.status(), "stopped")
		c.must("delete", c.id)
	})
}

func TestLifeOfAContainer(t *testing.T) {
	c := newContainer(t, sh("echo started; exec sleep 1000"))
	i := c.create()
	want(t, "status after create", c.status(), "created")
	want(t, "output before start", contents(i.out), "")
	pid := c.state().Pid

	c.start()
	want(t, "status after start", c.status(), "running")
	eventually(t, "the command runs", func() bool { return contents(i.out) == "started\n" })
	if got := c.state().Pid; got != pid {
		t.Errorf("pid after start = %d; want %d, the one of create", got, pid)
	}

	c.must("kill", c.id, "KILL")
	if code := c.reap(pid); code != 137 {
		t.Errorf("exit status %d; want 137", code)
	}
	want(t, "status after kill", c.status(), "stopped")
	if got := c.state().Pid; env.kind == "onggi" && got != 0 {
		t.Errorf("pid of a stopped container = %d; want 0", got)
	}
	c.must("delete", c.id)
	refused(t, c.verb("state", c.id), 1, "does not exist")
}

func TestStatusIsStoppedWhileTheFirstProcessIsAZombie(t *testing.T) {
	c := newContainer(t, args("true"))
	c.create()
	pid := c.state().Pid
	c.start()
	eventually(t, "zombie", func() bool { return state(pid) == 'Z' })
	want(t, "status", c.status(), "stopped")
	c.must("delete", c.id)
}

func TestKillByEverySpelling(t *testing.T) {
	const none, empty = "none", "" // scripts give what a variable holds
	for _, signal := range []string{none, empty, "TERM", "SIGTERM", "15", "term"} {
		t.Run("signal "+signal, func(t *testing.T) {
			c := newContainer(t, sh(`trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done`))
			i := c.create()
			pid := c.state().Pid
			c.start()
			eventually(t, "trap set", func() bool { return contents(i.out) == "ready\n" })
			args := []string{"kill", c.id}
			if signal != none {
				args = append(args, signal)
			}
			c.must(args...)
			if code := c.reap(pid); code != 7 {
				t.Errorf("exit status %d; want 7, that of the handler", code)
			}
		})
	}
}

func TestKillRefusesWhatIsNoSignal(t *testing.T) {
	c := newContainer(t)
	pid := c.up()
	for _, signal := range []string{"NOPE", "SIGNOPE", "-1", "65", "9x", " 9"} {
		if signal != "NOPE" && signal != "SIGNOPE" {
			peerFails(t, "runc", "numbers are not checked")
		}
		if r := c.verb("kill", c.id, signal); r.code != 1 {
			t.Errorf("kill %q: %v", signal, r)
		}
	}
	if state(pid) == 'Z' {
		t.Error("the container is dead")
	}
}

func TestKillAll(t *testing.T) {
	c := newContainer(t, sh("sleep 1001 & sleep 1002 & sleep 1003"))
	c.up()
	c.must("kill", "--all", c.id, "9")
	c.stopped()
	c.must("delete", c.id)
}

func TestKillAllReachesTheProcessesOfASharedPidNamespace(t *testing.T) {
	c := newContainer(t, without("pid"), sh("sleep 1001 & sleep 1002 & exec sleep 1003"))
	c.up()
	eventually(t, "three processes", func() bool { return len(c.pids()) == 3 })
	c.must("kill", "--all", c.id, "KILL")
	eventually(t, "no process left", func() bool { return len(c.livePids()) == 0 })
	c.must("delete", c.id)
}

func TestDeleteOfACreatedContainerNeedsNoForce(t *testing.T) {
	c := newContainer(t)
	c.create()
	c.must("delete", c.id)
}

func TestDeleteRefusesARunningContainer(t *testing.T) {
	c := newContainer(t)
	pid := c.up()
	refused(t, c.verb("delete", c.id), 1, "running")
	want(t, "status", c.status(), "running")
	c.must("delete", "--force", c.id)
	if state(pid) != 'Z' && state(pid) != 0 {
		t.Error("delete --force left the process alive")
	}
}

func TestDeleteForce(t *testing.T) {
	t.Run("of what does not exist", func(t *testing.T) {
		newContainer(t).must("delete", "--force", "nobody")
	})
	t.Run("of a stopped container", func(t *testing.T) {
		c := newContainer(t, args("true"))
		c.create()
		c.start()
		c.stopped()
		c.must("delete", "--force", c.id)
	})
	t.Run("of a paused container", func(t *testing.T) {
		needController(t, "freezer")
		c := newContainer(t)
		c.up()
		c.must("pause", c.id)
		c.must("delete", "--force", c.id)
	})
	t.Run("of a container with many processes", func(t *testing.T) {
		c := newContainer(t, sh("for i in $(seq 50); do sleep 1000 & done; wait"))
		c.up()
		c.must("delete", "--force", c.id)
	})
	t.Run("twice", func(t *testing.T) {
		c := newContainer(t)
		c.up()
		c.must("delete", "--force", c.id)
		c.must("delete", "--force", c.id)
	})
}

func TestVerbsRefuseTheWrongState(t *testing.T) {
	t.Run("unknown id", func(t *testing.T) {
		c := newContainer(t)
		for _, verb := range []string{"start", "state", "kill", "delete", "pause", "resume", "ps"} {
			refused(t, c.verb(verb, "nobody"), 1, "does not exist")
		}
		if r := c.verb("exec", "nobody", "true"); r.code == 0 || !strings.Contains(r.err, "does not exist") {
			t.Error(r)
		}
	})
	t.Run("start of a running container", func(t *testing.T) {
		c := newContainer(t)
		pid := c.up()
		if r := c.verb("start", c.id); r.code != 1 {
			t.Error(r)
		}
		if state(pid) == 'Z' {
			t.Error("the container died of it")
		}
	})
	t.Run("stopped container", func(t *testing.T) {
		c := newContainer(t, args("true"))
		c.create()
		c.start()
		c.stopped()
		for _, verb := range []string{"start", "pause", "resume"} {
			if r := c.verb(verb, c.id); r.code != 1 {
				t.Error(r)
			}
		}
		r := c.verb("kill", c.id, "KILL")
		if r.code != 1 || !strings.Contains(r.err, "not running") && !strings.Contains(r.err, "no such process") {
			t.Error(r)
		}
		if r := c.exec(nil, "true"); r.code == 0 {
			t.Error(r)
		}
	})
	t.Run("exec in a created container", func(t *testing.T) {
		// The specification does not forbid it, and engines do it: the namespaces exist.
		c := newContainer(t)
		c.create()
		want(t, "hostname", c.execOutput(nil, "hostname"), "box")
	})
	t.Run("resume of a running container", func(t *testing.T) {
		c := newContainer(t)
		c.up()
		if r := c.verb("resume", c.id); r.code != 1 {
			t.Error(r)
		}
	})
}

func TestStartOfADeadContainerFailsAtOnce(t *testing.T) {
	c := newContainer(t)
	c.create()
	pid := c.state().Pid
	syscall.Kill(pid, syscall.SIGKILL)
	c.reap(pid)
	r := c.verb("start", c.id)
	if r.code != 1 {
		t.Errorf("start of a dead container: %v", r)
	}
	if r.took > slowly(5*time.Second) {
		t.Errorf("start took %v to find out", r.took)
	}
	c.must("delete", c.id)
}

func TestCreateRefusesAnIDInUse(t *testing.T) {
	c := newContainer(t)
	pid := c.up()
	before := treeOf(t, filepath.Join(c.root, c.id))
	for _, verb := range []string{"create", "run"} {
		refused(t, c.verb(c.withFlags(verb)...), 1, "exist")
	}
	want(t, "status", c.status(), "running")
	if c.state().Pid != pid || treeOf(t, filepath.Join(c.root, c.id)) != before {
		t.Error("the first container's state changed")
	}
}

func TestPidFile(t *testing.T) {
	c := newContainer(t, args("sleep", "1000"))
	path := filepath.Join(c.bundle, "pid")
	c.create("--pid-file", path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A decimal number without a newline: conmon and containerd parse the whole file.
	want(t, "pid file", string(data), strconv.Itoa(c.state().Pid))
	c.start()
	if pid := c.execDetached(nil, "sleep", "1000"); pid == c.state().Pid || state(pid) == 0 {
		t.Errorf("pid file of exec: %d", pid)
	}
}

func TestPauseAndResume(t *testing.T) {
	needController(t, "freezer")
	c := newContainer(t, sh("while :; do echo .; sleep 0.01; done"))
	i := c.create()
	c.start()
	c.must("pause", c.id)
	want(t, "status", c.status(), "paused")
	if env.kind != "crun" { // crun reports success
		refused(t, c.verb("pause", c.id), 1, "container not running")
		want(t, "status", c.status(), "paused")
	}
	frozen := len(contents(i.out))
	time.Sleep(100 * time.Millisecond)
	if now := len(contents(i.out)); now != frozen {
		t.Errorf("a paused container wrote %d bytes", now-frozen)
	}
	if r := c.exec(nil, "true"); r.code == 0 || !strings.Contains(r.err, "paused") {
		t.Errorf("exec in a paused container: %v", r)
	}
	c.must("resume", c.id)
	want(t, "status", c.status(), "running")
	eventually(t, "output goes on", func() bool { return len(contents(i.out)) > frozen })
}

func TestKillEndsAPausedContainer(t *testing.T) {
	needController(t, "freezer")
	c := newContainer(t)
	c.up()
	c.must("pause", c.id)
	c.must("kill", c.id, "KILL")
	c.stopped()
	c.must("delete", c.id)
}

func TestManyContainersInARow(t *testing.T) {
	c := newContainer(t)
	for range amount(3, 20, 400) {
		c.create()
		c.start()
		c.stopped()
		c.must("delete", c.id)
	}
	if r := c.must("list", "--quiet"); r.out != "" {
		t.Errorf("list after all were deleted: %v", r)
	}
}

// pids returns the container's processes as `ps` lists them.
func (c *container) pids() []int {
	c.t.Helper()
	var pids []int
	decode(c.t, c.must("ps", "--format", "json", c.id).out, &pids)
	return pids
}

// livePids returns the container's processes without zombies.
func (c *container) livePids() []int {
	c.t.Helper()
	var live []int
	for _, dir := range c.cgroupDirs() {
		data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, word := range strings.Fields(string(data)) {
			if pid := atoi(c.t, word); state(pid) != 'Z' && state(pid) != 0 {
				live = append(live, pid)
			}
		}
	}
	return live
}

package tests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// waitPlace is a situation in which a verb waits for something that does not happen.
type waitPlace struct {
	name    string
	prepare func(*container)
	line    func(*container) []string
}

// endless adds a hook of a kind on the host. The hook ends when the file "hold" of the bundle is removed.
func endless(kind string) func(*container) {
	return func(c *container) {
		c.write("hold", "")
		c.edit(hooks(kind, hook("while test -e "+filepath.Join(c.bundle, "hold")+"; do sleep 0.05; done")))
	}
}

// endlessInside adds a hook of a kind in the container. The hook sleeps, and ends with the container.
func endlessInside(kind string) func(*container) {
	return func(c *container) {
		c.edit(hooks(kind, specs.Hook{Path: "/bin/sleep", Args: []string{"sleep", "1000"}}))
	}
}

func words(of ...string) func(*container) []string {
	return func(c *container) []string {
		line := make([]string, len(of))
		for i, w := range of {
			line[i] = strings.NewReplacer("ID", c.id, "BUNDLE", c.bundle).Replace(w)
		}
		return line
	}
}

func creates(verb string, flags ...string) func(*container) []string {
	return func(c *container) []string { return c.withFlags(verb, words(flags...)(c)...) }
}

// fifo makes a FIFO in the bundle that no process opens, after the preparations in then.
func fifo(name string, then ...func(*container)) func(*container) {
	return func(c *container) {
		for _, f := range then {
			f(c)
		}
		os.Remove(filepath.Join(c.bundle, name))
		if err := unix.Mkfifo(filepath.Join(c.bundle, name), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

func isUp(c *container) { c.up() }

// full makes a socket whose queue of connections is full, so that connect(2) waits.
func full(name string, then ...func(*container)) func(*container) {
	return func(c *container) {
		for _, f := range then {
			f(c)
		}
		path := filepath.Join(c.bundle, name)
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		}
		if err == nil {
			err = unix.Listen(fd, 0)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { unix.Close(fd) })
		conn, err := net.Dial("unix", path)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { conn.Close() })
	}
}

// stopsFirst stops the first process of a created container, which waits at its gate.
func stopsFirst(c *container) {
	c.create()
	if err := unix.Kill(c.state().Pid, unix.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
}

// holdsLock starts a delete that holds the container's lock and waits for a hook.
func holdsLock(c *container) {
	endless("poststop")(c)
	c.create()
	i := c.begin("delete", "--force", c.id)
	c.settles(i)
	c.t.Cleanup(func() { i.end() })
}

// mute puts a program named criu on the PATH that does not answer, and starts the container.
func mute(c *container) {
	c.up()
	c.muteCRIU()
}

// muteDumped is mute with a container of which only its images are left.
func muteDumped(c *container) {
	needsCRIU(c.t, c)
	c.up()
	c.must("checkpoint", "--image-path", c.images(), c.id)
	c.muteCRIU()
}

// muteCRIU does not use /tmp, which a restore covers.
func (c *container) muteCRIU() {
	dir, err := os.MkdirTemp("/var/tmp", "onggi-tests-")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "criu"), []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
}

func withTerminal(c *container) { c.edit(func(s *specs.Spec) { s.Process.Terminal = true }) }

func untilTerm(c *container) {
	c.edit(sh(`trap "exit 0" TERM; while :; do sleep 0.05; done`))
}

// waitPlaces lists the situations: name, preparation, and the command line of the verb.
var waitPlaces = []waitPlace{
	{"create: a prestart hook", endless("prestart"), creates("create")},
	{"create: a createRuntime hook", endless("createRuntime"), creates("create")},
	{"create: a createContainer hook", endlessInside("createContainer"), creates("create")},
	{"run: a createRuntime hook", endless("createRuntime"), creates("run")},
	{"run --detach: a poststart hook", endless("poststart"), creates("run", "--detach")},
	{"run: a poststart hook", endless("poststart"), creates("run")},
	{"start: a startContainer hook", func(c *container) { endlessInside("startContainer")(c); c.create() }, words("start", "ID")},
	{"start: a poststart hook", func(c *container) { endless("poststart")(c); c.create() }, words("start", "ID")},
	{"delete: a poststop hook", func(c *container) { endless("poststop")(c); c.create() }, words("delete", "ID")},
	{"create: a console socket without an accept", full("console", withTerminal), creates("create", "--console-socket", "BUNDLE/console")},
	{"exec: a console socket without an accept", full("console", isUp), words("exec", "--detach", "--tty", "--console-socket", "BUNDLE/console", "ID", "true")},
	{"create: a pidfd socket without an accept", full("pidfd"), creates("create", "--pidfd-socket", "BUNDLE/pidfd")},
	{"exec: a pidfd socket without an accept", full("pidfd", isUp), words("exec", "--detach", "--pidfd-socket", "BUNDLE/pidfd", "ID", "true")},
	{"exec: process.json is a FIFO", fifo("process.json", isUp), words("exec", "--process", "BUNDLE/process.json", "ID")},
	{"update: resources.json is a FIFO", fifo("resources.json", isUp), words("update", "--resources", "BUNDLE/resources.json", "ID")},
	{"mounts add: mounts.json is a FIFO", fifo("mounts.json", isUp), words("mounts", "add", "ID", "BUNDLE/mounts.json")},
	{"create: the log is a FIFO", func(c *container) { fifo("log")(c); c.global = []string{"--log", filepath.Join(c.bundle, "log")} }, creates("create")},
	{"start: the first process is stopped", stopsFirst, words("start", "ID")},
	{"exec: the container is paused", func(c *container) { c.up(); c.must("pause", c.id) }, words("exec", "--ignore-paused", "--detach", "ID", "true")},
	{"delete: another verb holds the lock", holdsLock, words("delete", "ID")},
	{"delete --force: another verb holds the lock", holdsLock, words("delete", "--force", "ID")},
	{"checkpoint: CRIU does not answer", mute, words("checkpoint", "--image-path", "BUNDLE/image", "ID")},
	{"restore: CRIU does not answer", muteDumped, words("restore", "--bundle", "BUNDLE", "--image-path", "BUNDLE/images", "--detach", "ID")},
	{"run: the program runs", untilTerm, creates("run")},
	{"exec: the program runs", isUp, words("exec", "ID", "sh", "-c", `trap "exit 0" TERM; while :; do sleep 0.05; done`)},
	{"events", isUp, words("events", "ID")},
}

// TestSIGTERMEndsEveryWait sends SIGTERM to a verb that waits. The verb must end within a second, with at most one line
// of error, and leave no process. An interrupted create, run or restore leaves nothing. After any other verb, the
// harness removes the container with `delete --force`, and then nothing may be left.
//
// TestALookupWithoutAnEndKeepsNoVerb tests lookups in file systems that do not answer.
func TestSIGTERMEndsEveryWait(t *testing.T) {
	peerFails(t, "runc", "ignores it in hooks")
	peerFails(t, "crun", "ignores it in hooks")
	needCgroupfs(t)
	for _, w := range waitPlaces {
		t.Run(w.name, func(t *testing.T) {
			c := newContainer(t, args("sleep", "1000"))
			w.prepare(c)
			before := children()
			i := c.begin(w.line(c)...)
			waited := c.settles(i)
			began := time.Now()
			i.Process.Signal(unix.SIGTERM)
			r := i.end()
			took := time.Since(began)
			if took > slowly(time.Second) || strings.Contains(r.err, "goroutine") || strings.Count(r.err, "\n") > 1 {
				t.Errorf("it ended %v after SIGTERM; want at most a second and one line: %v", took, r)
			}
			if !waited {
				t.Errorf("control: it does not wait: %v", r)
			}
			t.Logf("%v, exit status %d %s", took.Round(time.Millisecond), r.code, r.err)
			c.global, c.env = nil, nil
			if strings.HasPrefix(w.name, "exec: the container is paused") {
				c.must("resume", c.id) // a frozen process dies later
			}
			for _, left := range (stock{children: before}).leftAfter(slowly(2 * time.Second)) {
				t.Errorf("left: process %s", left)
			}
			os.Remove(filepath.Join(c.bundle, "hold"))
			if w.undone() {
				if left := c.leftovers(); left != "" {
					t.Errorf("left: %s", left)
				}
			}
		})
	}
}

// undone reports whether an interrupted verb must have removed its container.
func (w waitPlace) undone() bool {
	return strings.HasPrefix(w.name, "create") || strings.HasPrefix(w.name, "run") || strings.HasPrefix(w.name, "restore")
}

// settles waits until the threads of a verb sleep: their numbers of context switches are the same in ten looks in a
// row, which take 300 ms. It returns false if the verb has ended.
func (c *container) settles(i *invocation) bool {
	c.t.Helper()
	const quiet = 10
	last, same := "", 0
	for deadline := time.Now().Add(slowly(10 * time.Second)); same < quiet && time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		now := switches(i.Process.Pid)
		if now == "" || state(i.Process.Pid) == 'Z' {
			return false
		}
		if same++; now != last {
			same = 0
		}
		last = now
	}
	return state(i.Process.Pid) != 'Z'
}

// switches returns the numbers of context switches of each thread of a process (proc_pid_status(5)).
func switches(pid int) string {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	var text []string
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		_, count, _ := strings.Cut(string(data), "voluntary_ctxt_switches:")
		text = append(text, task+count)
	}
	return strings.Join(text, " ")
}

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The tests in the files dropin_*_test.go check behaviour of runc on which engines and scripts rely.

func TestExecIsFreeOfTheCallersAffinity(t *testing.T) {
	c := newContainer(t)
	c.up()
	all := field(c.execOutput(nil, "cat", "/proc/self/status"), "Cpus_allowed_list")
	c.wrapper = []string{"taskset", "-c", "0"}
	want(t, "affinity", field(c.execOutput(nil, "cat", "/proc/self/status"), "Cpus_allowed_list"), all)
}

// People and service managers end a program with these signals. The signals must also end a container before its start.
func TestKillOfACreatedContainer(t *testing.T) {
	peerFails(t, "crun", "a process 1 without handlers gets no signal but KILL")
	needCgroupfs(t)
	for _, test := range []struct{ signal, status string }{
		{"HUP", "stopped"},
		{"INT", "stopped"},
		{"TERM", "stopped"},
		{"QUIT", "stopped"},
		{"ABRT", "stopped"},
		{"KILL", "stopped"},
		{"USR1", "created"},
		{"CHLD", "created"},
		{"CONT", "created"},
	} {
		t.Run(test.signal, func(t *testing.T) {
			c := newContainer(t)
			c.create()
			c.must("kill", c.id, test.signal)
			if test.status == "stopped" {
				c.stopped()
				return
			}
			time.Sleep(20 * time.Millisecond) // the process must survive: there is no event to wait for
			want(t, "status", c.status(), test.status)
			c.start()
		})
	}
}

func TestKillOfWhatOutlivesTheFirstProcess(t *testing.T) {
	peerFails(t, "crun", "looks at the first process alone")
	c := newContainer(t, without(specs.PIDNamespace), sh("sleep 1000 & exec sleep 0.01"))
	c.create()
	c.start()
	c.stopped()
	refused(t, c.verb("kill", c.id, "TERM"), 1, "container not running")
	if left := c.inCgroup(); len(left) != 1 {
		t.Fatalf("processes in the cgroup: %v; want the one that is left", left)
	}
	c.must("kill", c.id, "KILL")
	eventually(t, "the end of the rest", func() bool { return len(c.inCgroup()) == 0 })
	c.must("kill", c.id, "KILL")
	c.must("delete", c.id)
}

func TestExecUserKeepsTheGroup(t *testing.T) {
	peerFails(t, "crun", "takes group 0")
	c := newContainer(t, func(s *specs.Spec) { s.Process.User.GID = 3000 })
	c.up()
	want(t, "group of --user 1000", c.execOutput([]string{"--user", "1000"}, "id", "-g"), "3000")
	want(t, "group of --user 1000:5", c.execOutput([]string{"--user", "1000:5"}, "id", "-g"), "5")
	want(t, "user of --user 1000", c.execOutput([]string{"--user", "1000"}, "id", "-u"), "1000")
}

// CAP_KILL is 5 and CAP_NET_RAW is 13, CAP_CHOWN is 0.
func TestExecCapabilityIsAmbientWithAnInheritableSet(t *testing.T) {
	peerFails(t, "crun", "gives the process the capability and no other")
	tests := []struct {
		name        string
		inheritable []string
		flag        string
		want        string // CapPrm, CapInh, CapAmb of a user other than root
	}{
		{"no inheritable set", nil, "CAP_NET_RAW", "0000000000000000 0000000000000000 0000000000000000"},
		{"inheritable", []string{"CAP_KILL", "CAP_NET_RAW"}, "CAP_NET_RAW", "0000000000002000 0000000000002020 0000000000002000"},
		{"not inheritable", []string{"CAP_KILL"}, "CAP_NET_RAW", "0000000000000000 0000000000000020 0000000000000000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, caps("CAP_KILL", "CAP_NET_RAW"), func(s *specs.Spec) { s.Process.Capabilities.Inheritable = test.inheritable })
			c.up()
			status := c.execOutput([]string{"--user", "1000", "--cap", test.flag}, "cat", "/proc/self/status")
			got := strings.Join([]string{field(status, "CapPrm"), field(status, "CapInh"), field(status, "CapAmb")}, " ")
			want(t, "capabilities", got, test.want)
		})
	}
}

func TestNoNewKeyringHoldsForExec(t *testing.T) {
	peerFails(t, "crun", "exec makes a keyring")
	c := newContainer(t)
	c.edit(args("sleep", "1000"))
	for _, own := range []bool{true, false} {
		c.flags = nil
		if !own {
			c.flags = []string{"--no-new-keyring"}
		}
		c.up()
		out := c.execOutput(nil, "probe", "keyring")
		if got := strings.Contains(out, "_ses."+c.id); got != own {
			t.Errorf("keyring of exec with create %v = %q; want one of its own: %v", c.flags, out, own)
		}
		c.must("delete", "--force", c.id)
	}
}

// inCgroup returns the processes in the container's cgroup.
func (c *container) inCgroup() []string {
	for _, dir := range c.cgroupDirs() {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err == nil {
			return strings.Fields(string(data))
		}
	}
	return nil
}

// A regular file or a device of the caller keeps its owner. A pipe or a terminal gets the user as its owner, so that the
// user can open it again by its name in /dev.
func TestStandardStreamsOfAnotherUser(t *testing.T) {
	peerFails(t, "runc", "changes the owner of all but /dev/null")
	peerFails(t, "crun", "changes the owner of all but /dev/null")
	c := newContainer(t, sh("echo out > /dev/stderr"), func(s *specs.Spec) { s.Process.User.UID = 1000 })
	zero := filepath.Join(env.dir, c.id+"-zero")
	if err := unix.Mknod(zero, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(zero)
	device, err := os.Open(zero)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	c.stdin = device
	i := c.begin(c.withFlags("run")...)
	i.end()
	want(t, "owner of a file", streamOwner(t, i.out), "0")
	want(t, "owner of a device", streamOwner(t, device), "0")
	c.edit(sh("true"))
	c.stdin = r
	c.must(c.withFlags("run")...)
	want(t, "owner of a pipe", streamOwner(t, r), "1000")
}

func streamOwner(t *testing.T, f *os.File) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(st.Uid)
}

// terminalPair returns both sides of a pseudo-terminal: the master, and the side that is a standard stream.
func terminalPair(t *testing.T) (keyboard, stream *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	stream, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	return keyboard, stream
}

func TestRedirectedOutputOfATerminal(t *testing.T) {
	peerFails(t, "crun", "leaves ONLCR on")
	c := newContainer(t, terminal, sh("echo one; echo two"))
	_, c.stdin = terminalPair(t)
	want(t, "output of run", c.must(c.withFlags("run")...).out, "one\ntwo\n")
	c.edit(args("sleep", "1000"), func(s *specs.Spec) { s.Process.Terminal = false })
	c.up()
	want(t, "output of exec --tty", c.must("exec", "--tty", c.id, "sh", "-c", "echo one; echo two").out, "one\ntwo\n")
}

// The exit status is the process's, although the caller's terminal cannot be restored any more.
func TestTheCallersTerminalHangsUp(t *testing.T) {
	peerFails(t, "crun", "does not copy a terminal's output to a file")
	const script = `trap 'echo gone; exit 5' HUP; echo ready; while :; do sleep 0.02; done`
	c := newContainer(t, terminal, sh(script))
	c.wrapper = []string{"setsid", "--ctty"}
	hangUp := func(what string, argv ...string) {
		keyboard, stream := terminalPair(t)
		c.stdin = stream
		i := c.begin(argv...)
		stream.Close()
		eventually(t, "trap set", func() bool { return strings.Contains(contents(i.out), "ready") })
		keyboard.Close()
		if r := i.end(); r.code != 5 || r.err != "" {
			t.Errorf("%s: %v", what, r)
		}
	}
	hangUp("run", c.withFlags("run")...)
	c.wrapper, c.stdin = nil, nil
	c.edit(args("sleep", "1000"), func(s *specs.Spec) { s.Process.Terminal = false })
	c.up()
	c.wrapper = []string{"setsid", "--ctty"}
	hangUp("exec", "exec", "--tty", c.id, "sh", "-c", script)
	c.wrapper, c.stdin = nil, nil
}

// A process on a terminal goes on when nobody reads its output any more, and its exit status is kept.
func TestTheReaderOfATerminalsOutputEnds(t *testing.T) {
	peerFails(t, "crun", "fails with a broken pipe")
	c := newContainer(t, terminal, sh("seq 1 50000; exit 4"))
	_, c.stdin = terminalPair(t)
	c.wrapper = []string{"sh", "-c", `("$@"; echo status $? >&2) | head -n 1`, "sh"}
	r := c.verb(c.withFlags("run")...)
	want(t, "output", r.out, "1\n")
	want(t, "messages", r.err, "status 4\n")
}

// A terminal of 0x0 has no size, so the size in config.json applies.
func TestATerminalWithoutASizeLeavesConsoleSize(t *testing.T) {
	peerFails(t, "runc", "takes 0x0 for a size")
	peerFails(t, "crun", "takes 0x0 for a size")
	c := newContainer(t, terminal, sh("stty size"), func(s *specs.Spec) { s.Process.ConsoleSize = &specs.Box{Width: 111, Height: 37} })
	keyboard, stream := terminalPair(t)
	c.stdin = stream
	want(t, "size", strings.TrimSpace(c.must(c.withFlags("run")...).out), "37 111")
	if err := unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 5, Col: 6}); err != nil {
		t.Fatal(err)
	}
	want(t, "size", strings.TrimSpace(c.must(c.withFlags("run")...).out), "5 6")
}

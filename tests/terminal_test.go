package tests

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func terminal(s *specs.Spec) { s.Process.Terminal = true }

// consoleSocket listens for the master of a pseudo-terminal. next returns the master and its message.
func consoleSocket(t *testing.T) (path string, next func() (*os.File, string)) {
	t.Helper()
	path = filepath.Join(env.dir, fmt.Sprintf("console-%d.sock", number.Add(1)))
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return path, func() (*os.File, string) {
		t.Helper()
		listener.SetDeadline(time.Now().Add(patience))
		conn, err := listener.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		text, files := receive(t, conn)
		if len(files) != 1 {
			t.Fatalf("%d descriptors on the console socket", len(files))
		}
		t.Cleanup(func() { files[0].Close() })
		return files[0], text
	}
}

// readAll reads the master until the terminal has no more users.
func readAll(t *testing.T, master *os.File) string {
	t.Helper()
	return readUntil(t, master, "")
}

// readUntil reads the master until its output ends with the text. Without a text it reads until the terminal has no more
// users.
func readUntil(t *testing.T, master *os.File, end string) string {
	t.Helper()
	done := make(chan string, 1)
	go func() {
		var text []byte
		for buf := make([]byte, 256); end == "" || !bytes.HasSuffix(text, []byte(end)); {
			n, err := master.Read(buf)
			if err != nil {
				break // EIO
			}
			text = append(text, buf[:n]...)
		}
		done <- string(text)
	}()
	select {
	case text := <-done:
		return text
	case <-time.After(patience):
		t.Error("the terminal stays in use")
		return ""
	}
}

func TestConsoleSocket(t *testing.T) {
	path, next := consoleSocket(t)
	c := newContainer(t, terminal, sh("tty; stty size; stat -c '%t:%T' /dev/console; echo at > /dev/tty; ls -l /dev/console | cut -c1; head -n 1 <&0"),
		func(s *specs.Spec) { s.Process.ConsoleSize = &specs.Box{Width: 111, Height: 37} })
	c.create("--console-socket", path)
	master, name := next()
	if !strings.HasPrefix(name, "/dev/pts/") && !strings.HasPrefix(name, "/dev/ptmx") {
		t.Errorf("name of the terminal = %q", name)
	}
	c.start()
	// The echo of input that is typed too early would come in the middle of a line of the output.
	out := readUntil(t, master, "c\r\n")
	fmt.Fprint(master, "typed\n")
	out += readAll(t, master)
	for _, text := range []string{"/dev/pts/0\r\n", "37 111\r\n", "88:0\r\n", "at\r\n", "c\r\n", "typed\r\n"} {
		if !strings.Contains(out, text) {
			t.Errorf("no %q in %q", text, out)
		}
	}
	c.stopped()
}

func TestConsoleOfAnotherUser(t *testing.T) {
	path, next := consoleSocket(t)
	c := newContainer(t, terminal, sh("stat -c %u /dev/pts/0; echo written > /dev/pts/0"), func(s *specs.Spec) { s.Process.User.UID = 1000 })
	c.create("--console-socket", path)
	master, _ := next()
	c.start()
	out := readAll(t, master)
	want(t, "output", out, "1000\r\nwritten\r\n")
}

func TestExecWithATerminal(t *testing.T) {
	path, next := consoleSocket(t)
	c := newContainer(t)
	c.up()
	pid := c.execDetached([]string{"--tty", "--console-socket", path}, "sh", "-c", "tty; stty size; echo ready; exec head -n 1")
	master, _ := next()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 20}); err != nil {
		t.Fatal(err)
	}
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", pid))
	if err != nil || !strings.HasPrefix(link, "/dev/pts/") {
		t.Errorf("standard input of the process = %q, %v", link, err)
	}
	out := readUntil(t, master, "ready\r\n") // otherwise the echo comes in the middle of the output
	fmt.Fprint(master, "typed\n")
	if out += readAll(t, master); !strings.Contains(out, "/dev/pts/") || strings.Count(out, "typed") != 2 {
		t.Errorf("output = %q; want the name and the line twice, echo and copy", out)
	}
}

func TestConsoleSocketAndTerminalGoTogether(t *testing.T) {
	path, _ := consoleSocket(t)
	refused(t, newContainer(t).run("--console-socket", path, "--detach"), 1, "console")
	refused(t, newContainer(t, terminal).run("--detach"), 1, "console")
	c := newContainer(t, terminal)
	refused(t, c.verb(c.withFlags("create")...), 1, "console")
	refused(t, newContainer(t, terminal).run("--console-socket", "/no/such/socket", "--detach"), 1, "no such file")
}

// screen is a terminal in tmux.
type screen struct {
	t      *testing.T
	socket string
}

// newScreen runs a command in a terminal of 80 columns and 24 rows.
func newScreen(t *testing.T, command string) *screen {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux: apt-get install tmux")
	}
	s := &screen{t, filepath.Join(env.dir, fmt.Sprintf("tmux-%d", number.Add(1)))}
	t.Cleanup(func() { s.tmux("kill-server") })
	s.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", command+"; echo status $?; exec sleep 1000")
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Errorf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (s *screen) typed(text string, keys ...string) {
	s.t.Helper()
	if text != "" {
		s.tmux("send-keys", "-l", text)
	}
	if len(keys) > 0 {
		s.tmux(append([]string{"send-keys"}, keys...)...)
	}
}

// shows waits until the text is a line of the screen.
func (s *screen) shows(line string) {
	s.t.Helper()
	text := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text = s.tmux("capture-pane", "-p")
		for got := range strings.Lines(text) {
			if strings.TrimRight(got, " \n") == line {
				return
			}
		}
	}
	s.t.Fatalf("no line %q on the screen:\n%s", line, strings.TrimRight(text, "\n"))
}

func TestShellInATerminal(t *testing.T) {
	c := newContainer(t, terminal, args("sh"), func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "PS1=> ") })
	s := newScreen(t, fmt.Sprintf("%s --root %s run --bundle %s %s", env.runtime, c.root, c.bundle, c.id))
	s.shows(">")
	s.typed("echo $((40+2))", "Enter")
	s.shows("42")
	s.typed("stty size", "Enter")
	s.shows("24 80")

	s.tmux("resize-window", "-x", "101", "-y", "31")
	s.typed("clear; stty size", "Enter")
	s.shows("31 101")

	s.typed("sleep 1000", "Enter")
	eventually(t, "sleep runs", func() bool { return len(c.pids()) == 2 })
	s.typed("", "C-c")
	s.typed("echo $((120+10))", "Enter")
	s.shows("130")

	s.typed("sleep 1000", "Enter")
	eventually(t, "sleep runs", func() bool { return len(c.pids()) == 2 })
	s.typed("", "C-z")
	s.typed("jobs | grep -c sleep", "Enter")
	s.shows("1")
	s.typed("fg", "Enter")
	eventually(t, "sleep runs again, in the foreground", func() bool { return c.foreground("sleep") })
	s.typed("", "C-c")
	s.typed("exit 9", "Enter")
	s.shows("status 9")
	// The terminal is usable again: it shows typed input, and Enter ends a line.
	if out := s.tmux("display-message", "-p", "#{pane_tty}"); out != "" {
		modes, _ := exec.Command("stty", "-F", strings.TrimSpace(out), "-a").CombinedOutput()
		for _, mode := range []string{"icanon", "echo", "isig", "opost"} {
			if !slices.Contains(strings.Fields(string(modes)), mode) {
				t.Errorf("the terminal was left without %s:\n%s", mode, modes)
			}
		}
	}
}

func TestExecInATerminal(t *testing.T) {
	c := newContainer(t)
	c.up()
	s := newScreen(t, fmt.Sprintf("%s --root %s exec --tty %s sh", env.runtime, c.root, c.id))
	s.typed("stty size; tty", "Enter")
	s.shows("24 80")
	s.typed("exit 3", "Enter")
	s.shows("status 3")
}

func TestSignalsAreForwarded(t *testing.T) {
	for _, signal := range []string{"TERM", "INT", "HUP", "USR1", "USR2", "QUIT"} {
		t.Run(signal, func(t *testing.T) {
			c := newContainer(t, sh(`trap "echo got; exit 7" `+signal+`; echo ready; while :; do sleep 0.02; done`))
			i := c.begin(c.withFlags("run")...)
			eventually(t, "trap set", func() bool { return strings.Contains(contents(i.out), "ready") })
			i.Process.Signal(unix.SignalNum("SIG" + signal))
			if r := i.end(); r.code != 7 || r.out != "ready\ngot\n" {
				t.Error(r)
			}
		})
	}
	t.Run("exec", func(t *testing.T) {
		c := newContainer(t)
		c.up()
		i := c.begin("exec", c.id, "sh", "-c", `trap "exit 7" TERM; echo ready; while :; do sleep 0.02; done`)
		eventually(t, "trap set", func() bool { return strings.Contains(contents(i.out), "ready") })
		i.Process.Signal(unix.SIGTERM)
		if r := i.end(); r.code != 7 {
			t.Error(r)
		}
	})
}

func TestRunReapsWhatTheContainerLeaves(t *testing.T) {
	// Without a pid namespace, the orphans of the container become children of run, which is their subreaper.
	c := newContainer(t, without(specs.PIDNamespace), sh("sh -c 'sleep 0.2 & sleep 0.1 &'; sleep 0.5"))
	if r := c.run(); r.code != 0 {
		t.Error(r)
	}
}

func TestRunAdoptsOrphansUnlessToldNotTo(t *testing.T) {
	const line = `sh -c 'sleep 1000 & echo $! >/tmp/pid'; read pid </tmp/pid; sed -n 's/^PPid:\t//p' /proc/$pid/status; kill $pid`
	for _, flags := range [][]string{nil, {"--no-subreaper"}} {
		c := newContainer(t, without(specs.PIDNamespace), sh(line))
		i := c.begin(c.withFlags("run", flags...)...)
		r := i.end()
		adopted := strings.TrimSpace(r.out) == strconv.Itoa(i.Process.Pid)
		if r.code != 0 || adopted != (flags == nil) {
			t.Errorf("run %v, process %d: its child is the orphan: %v\n%v", flags, i.Process.Pid, adopted, r)
		}
	}
}

// foreground reports whether a program of the container is in the foreground of its terminal (proc_pid_stat(5): state, pgrp
// and tpgid).
func (c *container) foreground(comm string) bool {
	for _, pid := range c.pids() {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, ok := strings.Cut(string(stat), "("+comm+") ")
		if f := strings.Fields(rest); ok && len(f) > 5 && f[0] != "T" && f[2] == f[5] {
			return true
		}
	}
	return false
}

// Without a terminal of the caller, nobody could type the exit of the shell: run must refuse.
func TestATerminalInTheForegroundNeedsOne(t *testing.T) {
	peersLack(t, "another text")
	c := newContainer(t, terminal, sh("echo ran; read x"))
	c.wrapper = []string{"setsid", "--wait"} // no /dev/tty either
	const why = "(none of standard input, output and error is a terminal, and there is no /dev/tty): cannot allocate tty if the runtime will detach without setting console socket"
	refused(t, c.run(), 1, "/process/terminal: "+why)
	if entries, _ := os.ReadDir(c.root); len(entries) != 0 {
		t.Errorf("a container was made: %v", entries)
	}
	c.edit(func(s *specs.Spec) { s.Process.Terminal = false }, args("sleep", "1000"))
	c.up()
	refused(t, c.exec([]string{"--tty"}, "sh"), 255, "/process/terminal: "+why)
}

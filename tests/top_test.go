package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shown waits until the screen has a line with all of the words.
func (s *screen) shown(words ...string) {
	s.t.Helper()
	text := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text = s.tmux("capture-pane", "-p")
		for line := range strings.Lines(text) {
			if hasAll(line, words) {
				return
			}
		}
	}
	s.t.Fatalf("no line with %q on the screen:\n%s", words, strings.TrimRight(text, "\n"))
}

func hasAll(line string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(line, word) {
			return false
		}
	}
	return true
}

// modes are the settings of the terminal, as stty(1) prints them for itself.
func (s *screen) modes() string {
	s.t.Helper()
	tty := strings.TrimSpace(s.tmux("display-message", "-p", "#{pane_tty}"))
	out, err := exec.Command("stty", "-F", tty, "-g").CombinedOutput()
	if err != nil {
		s.t.Fatalf("stty: %v: %s", err, out)
	}
	return string(out)
}

// normal checks that the terminal is as it was before a full-screen view.
func (s *screen) normal(modes string) {
	s.t.Helper()
	if now := s.modes(); now != modes {
		s.t.Errorf("modes of the terminal: %swere %s", now, modes)
	}
	want(s.t, "alternate screen, cursor", strings.TrimSpace(s.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}")), "0 1")
}

// youngest returns the last process of the chain that started with the terminal's command.
func (s *screen) youngest() int {
	s.t.Helper()
	for pid := strings.TrimSpace(s.tmux("display-message", "-p", "#{pane_pid}")); ; {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%s/task/%s/children", pid, pid))
		if err != nil {
			s.t.Fatal(err)
		}
		if len(data) == 0 {
			return atoi(s.t, pid)
		}
		pid = strings.Fields(string(data))[0]
	}
}

func TestTopOnce(t *testing.T) {
	peerFails(t, "runc", "has no top")
	c := newContainer(t, sh("while :; do :; done"))
	c.up()
	r := c.must("top", "--interval", "100ms")
	lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "CONTAINER ") || !strings.HasPrefix(lines[1], c.id+" ") || strings.Contains(r.out, "\x1b") {
		t.Fatalf("want a heading and a line: %v", r)
	}
	if cpu := strings.Fields(lines[1])[1]; cpu == "0.0" {
		t.Errorf("a loop uses %s%% of a processor", cpu)
	}
	c.must("pause", c.id)
	if r := c.must("top", "--once", "--interval", "1ms", c.id); !strings.Contains(r.out, " paused ") {
		t.Errorf("no word of the pause: %v", r)
	}
	refused(t, c.verb("top", "no-such"), 1, "does not exist")
	c.must("kill", c.id, "KILL")
	c.stopped()
	if r := c.must("top", "--interval", "1ms"); strings.Count(r.out, "\n") != 1 {
		t.Errorf("want the heading alone: %v", r)
	}
}

func TestTopOnATerminal(t *testing.T) {
	peerFails(t, "runc", "has no top")
	c := newContainer(t)
	c.up()
	command := fmt.Sprintf("%s --root %s top --interval 50ms", env.runtime, c.root)
	s := newScreen(t, "echo before; PS1='$ ' ENV= sh -i")
	s.shows("$")
	before := s.modes()

	leave := map[string]func(){
		"q":      func() { s.typed("q") },
		"Ctrl-C": func() { s.typed("", "C-c") },
		"SIGTERM": func() {
			unix.Kill(s.youngest(), unix.SIGTERM)
		},
	}
	for name, quit := range leave {
		t.Run(name, func(t *testing.T) {
			s.t = t
			s.typed(command+"; echo status $?", "Enter")
			s.shown("CONTAINER", "CPU%", "P.IO")
			s.shown(c.id[:6])
			want(t, "alternate screen, cursor", strings.TrimSpace(s.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}")), "1 0")
			quit()
			s.shown("status 0")
			s.shown("before") // the earlier screen is back
			s.normal(before)
			s.typed("clear; echo before", "Enter")
			s.shows("before")
		})
	}
	t.Run("resize", func(t *testing.T) {
		s.t = t
		s.typed(command, "Enter")
		s.shown("CONTAINER", "P.IO")
		s.tmux("resize-window", "-x", "140", "-y", "10")
		s.shown(c.id + "      ") // the name column has grown
		s.tmux("resize-window", "-x", "40", "-y", "3")
		s.shown("CONTAINER", "MEMORY")
		s.tmux("resize-window", "-x", "80", "-y", "24")
		s.shown("CONTAINER", "P.IO") // all columns are back
		s.typed("n")
		s.typed("q")
		s.typed("clear; echo back", "Enter")
		s.shows("back")
		s.normal(before)
	})
	t.Run("suspended", func(t *testing.T) {
		s.t = t
		s.typed("clear; echo before; "+command, "Enter")
		s.shown("CONTAINER", "P.IO")
		s.typed("", "C-z")
		s.shown("Stopped")
		s.shows("before")
		s.normal(before)
		s.typed("fg", "Enter")
		s.shown("CONTAINER", "P.IO")
		// Containers come and go while it runs.
		c.must("kill", c.id, "KILL")
		s.shown("containers: 0")
		s.typed("q")
		s.shows("before")
		s.normal(before)
	})
}

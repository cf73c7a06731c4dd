package tests

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeDaemon listens at the address of a log daemon, unless a daemon runs there.
func fakeDaemon(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		t.Skipf("this host has a daemon at %s", path)
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		t.Cleanup(func() { os.Remove(dir) })
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Close()
		os.Remove(path)
	})
	return daemon
}

func TestLogDaemons(t *testing.T) {
	peersLack(t, "--log journald: and syslog:")
	for flag, test := range map[string]struct{ socket, want string }{
		"journald:web": {"/run/systemd/journal/socket", "PRIORITY=3\nSYSLOG_IDENTIFIER=web\nMESSAGE=container does not exist: \"none\"\n"},
		"journald:":    {"/run/systemd/journal/socket", "SYSLOG_IDENTIFIER=onggi\n"},
		"syslog:web":   {"/dev/log", " web["},
		"syslog:":      {"/dev/log", "]: container does not exist: \"none\""},
	} {
		t.Run(flag, func(t *testing.T) {
			c := newContainer(t)
			c.global = []string{"--log", flag}
			refused(t, c.verb(c.withFlags("create")...), 1, "flag --log: no log daemon listens: connect(")
			if entries, _ := os.ReadDir(c.root); len(entries) != 0 {
				t.Errorf("a container was made without its log: %v", entries)
			}
			daemon := fakeDaemon(t, test.socket)
			want(t, "standard error", c.verb("state", "none").err, "container does not exist: \"none\"\n")
			buf := make([]byte, 64<<10)
			n, err := daemon.Read(buf)
			if err != nil || !strings.Contains(string(buf[:n]), test.want) {
				t.Errorf("the daemon got %q, %v; want %q in it", buf[:n], err, test.want)
			}
		})
	}
}

// Warnings go to a log that asks for them. An engine that does not ask gets only errors.
func TestLogLevels(t *testing.T) {
	peersLack(t, "--log-level")
	c := newContainer(t, caps("CAP_NO_SUCH"))
	log := filepath.Join(c.bundle, "log")
	for level, want := range map[string][]string{
		"":        {},
		"error":   {},
		"warning": {"level=warning"},
		"info":    {"level=warning"},
		"debug":   {"level=debug", "level=warning"},
	} {
		c.global = []string{"--log", log}
		if level != "" {
			c.global = append(c.global, "--log-level", level)
		}
		c.output()
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"level=debug", "level=warning"} {
			if got := strings.Contains(string(data), word); got != slices.Contains(want, word) {
				t.Errorf("--log-level %s: %s is in the log: %v; want %v", level, word, got, !got)
			}
		}
		os.Remove(log)
	}
}

package tests

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeDaemon listens where a log daemon would, if there is none.
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
			refused(t, c.verb(c.withFlags("create")...), 1, "flag --log: nobody takes records here: connect(")
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

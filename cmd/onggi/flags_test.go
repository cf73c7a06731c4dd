package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
)

// The flags of a command have different names: of two with the same name one would be hidden, and a flag -h would hide the
// help.
func TestFlagsAreDistinct(t *testing.T) {
	for _, cmd := range commands() {
		f := &flags{}
		cmd.Define(f)
		seen := []string{"h", "help"}
		for _, o := range f.All() {
			for _, name := range []string{o.Name, o.Short} {
				if name != "" && slices.Contains(seen, name) {
					t.Errorf("%s: flag %s is declared twice", cmd.Name, cli.Dashed(name))
				}
				seen = append(seen, name)
			}
		}
	}
}

// TestAcceptsRuncFlags has the command lines of engines and of runc's users, verb by verb.
func TestAcceptsRuncFlags(t *testing.T) {
	for verb, words := range map[string]string{
		"create": "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds config f",
		"run":    "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds config f detach d keep no-subreaper",
		"exec": "console-socket pidfd-socket cwd env e tty t user u additional-gids g process p detach d pid-file process-label " +
			"apparmor no-new-privs cap c preserve-fds cgroup ignore-paused",
		"delete": "force f regex r",
		"kill":   "all a regex r",
		"list":   "format f quiet q",
		"ps":     "format f",
		"spec":   "bundle b rootless",
	} {
		f := &flags{}
		program().Lookup(verb).Define(f)
		for _, name := range strings.Fields(words) {
			if f.Find(name) == nil {
				t.Errorf("%s has no flag %s", verb, cli.Dashed(name))
			}
		}
	}
	f := globalFlags(&globals{})
	for _, name := range strings.Fields("debug log log-format log-level root systemd-cgroup cgroup-manager rootless version v") {
		if f.Find(name) == nil {
			t.Errorf("there is no global flag %s", cli.Dashed(name))
		}
	}
}

package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files")

// TestMistakes has the messages after typical mistakes.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"strt web", `No help topic for 'strt': unknown command: did you mean "start"?`},
		{"frobnicate", `No help topic for 'frobnicate': unknown command`},
		{"rm web", `No help topic for 'rm': unknown command: did you mean "delete"?`},
		{"help strt", `No help topic for 'strt': unknown command: did you mean "start"?`},
		{"--rot /x list", "flag provided but not defined: -rot: did you mean --root?"},
		{"--log-format xml list", `invalid value "xml" for flag -log-format: invalid log-format: xml: want one of text, json`},
		{"--rootless maybe list", `invalid value "maybe" for flag -rootless: want one of true, false, auto`},
		{"--systemd-cgroup --cgroup-manager cgroupfs list", "--systemd-cgroup contradicts --cgroup-manager cgroupfs"},
		{"start", `"start" requires exactly 1 argument(s): <container-id> is missing`},
		{"start web db", `"start" requires exactly 1 argument(s): unexpected argument "db"`},
		{"list web", `"list" requires exactly 0 argument(s): unexpected argument "web"`},
		{"exec", `"exec" requires a minimum of 1 argument(s): <container-id> is missing`},
		{"mounts web", `mounts: "web" is neither add nor remove`},
		{"mounts add", `"mounts" requires exactly 3 argument(s): <container-id> is missing`},
		{"mounts remove web", `"mounts" requires exactly 3 argument(s): <file> is missing`},
		{"mounts add web a b", `"mounts" requires from 1 to 3 argument(s): unexpected argument "b"`},
		{"delete --froce web", "flag provided but not defined: -froce: did you mean --force?"},
		{"start --root /x web", "flag provided but not defined: -root: --root is a global flag: it goes before the command"},
		{"create web --debug", "flag provided but not defined: -debug: --debug is a global flag: it goes before the command"},
		{"kill web NOPE", `unknown signal "NOPE"`},
		{"kill -9 web", "flag provided but not defined: -9: the signal goes after the container id, without a dash"},
		{"kill web -KILL", "flag provided but not defined: -KILL: the signal goes after the container id, without a dash"},
		{"kill --signal HUP web", "flag provided but not defined: -signal: the signal goes after the container id, without a dash"},
		{"kill -x web", "flag provided but not defined: -x"},
		{"list --format=", `invalid value "" for flag -format: invalid format option: want one of table, json`},
		{"kill web 65", "signal 65 is out of range: the last one is 64"},
		{"exec -g 4294967295 web id", `invalid value "4294967295" for flag -g: it is not a group id`},
		{"exec -g -1 web id", `invalid value "-1" for flag -g: it is not a group id`},
		{"create --preserve-fds x web", `invalid value "x" for flag -preserve-fds: parse error: it is not a number of 0 or more`},
		{"completion tcsh", `no completion for shell "tcsh": bash, zsh and fish are known`},
		{"checkpoint --image-path /x", `"checkpoint" requires exactly 1 argument(s): <container-id> is missing`},
		{"restore --network-lock=none web", `invalid value "none" for flag -network-lock: want one of iptables, nftables, skip`},
		{"restore --lsm-mount-context", "flag needs an argument: -lsm-mount-context: give --lsm-mount-context CONTEXT"},
	} {
		std := files(t)
		status := 1
		if strings.HasPrefix(tt.want, "No help topic") {
			status = 3
		}
		if got := run(append([]string{"--log", filepath.Join(t.TempDir(), "log")}, strings.Fields(tt.line)...), std); got != status {
			t.Errorf("onggi %s = %d; want %d", tt.line, got, status)
		}
		first, rest, _ := strings.Cut(contents(t, std.err), "\n")
		if !strings.Contains(first, tt.want) {
			t.Errorf("onggi %s: %q; want %q", tt.line, first, tt.want)
		}
		if !strings.HasPrefix(rest, "usage: onggi ") {
			t.Errorf("onggi %s: %q below the message", tt.line, rest)
		}
	}
}

// If the flags are right and exec itself refuses the command, the exit status is 255, as with runc.
func TestMistakesThatExecFinds(t *testing.T) {
	for line, want := range map[string]string{
		"exec web":              "exec args cannot be empty: <command> is missing",
		"exec -e NAME web id":   "flag --env: invalid environment variable: missing '='",
		"exec -e =value web id": "flag --env: invalid environment variable: name cannot be empty",
	} {
		std := files(t)
		if got := run(strings.Fields(line), std); got != execFailureStatus {
			t.Errorf("onggi %s = %d; want %d", line, got, execFailureStatus)
		}
		if got := contents(t, std.err); !strings.Contains(got, want) {
			t.Errorf("onggi %s: %q; want %q", line, got, want)
		}
	}
}

func TestHelp(t *testing.T) {
	var all strings.Builder
	for _, line := range helpLines() {
		std := files(t)
		if got := run(strings.Fields(line), std); got != 0 {
			t.Errorf("onggi %s = %d; want 0", line, got)
		}
		if complaint := contents(t, std.err); complaint != "" {
			t.Errorf("onggi %s: %s", line, complaint)
		}
		all.WriteString("$ onggi " + line + "\n" + contents(t, std.out) + "\n")
	}
	golden(t, "help.txt", all.String())
	for i, line := range strings.Split(all.String(), "\n") {
		if len(line) > cli.TextWidth {
			t.Errorf("line %d is longer than %d: %s", i+1, cli.TextWidth, line)
		}
	}
}

func helpLines() []string {
	lines := []string{"--help"}
	for _, cmd := range commands() {
		lines = append(lines, cmd.Name+" --help")
	}
	return lines
}

func TestHelpIsTheSameEverywhere(t *testing.T) {
	for _, lines := range [][]string{{"", "-h", "--help", "help", "h"}, {"help exec", "exec -h", "exec --help", "exec --tty -h web sh"}} {
		want := ""
		for _, line := range lines {
			std := files(t)
			status := run(strings.Fields(line), std)
			got := contents(t, std.out)
			if want == "" {
				want = got
			}
			if got != want || status != 0 {
				t.Errorf("onggi %s = %d and another text than onggi %s", line, status, lines[0])
			}
		}
	}
}

// golden compares got with a file under testdata, or writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update writes it. got:\n%s", file, got)
	}
}

package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// What a person reads after a typical mistake.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"strt web", `unknown command "strt": did you mean "start"?`},
		{"frobnicate", `unknown command "frobnicate"`},
		{"rm web", `unknown command "rm": did you mean "delete"?`},
		{"help strt", `unknown command "strt": did you mean "start"?`},
		{"--rot /x list", "unknown flag --rot: did you mean --root?"},
		{"--log-format xml list", `flag --log-format: "xml" is none of text, json`},
		{"--rootless maybe list", `flag --rootless: "maybe" is none of true, false, auto`},
		{"--systemd-cgroup --cgroup-manager cgroupfs list", "--systemd-cgroup contradicts --cgroup-manager cgroupfs"},
		{"start", "start: <container-id> is missing"},
		{"start web db", `start: unexpected argument "db"`},
		{"list web", `list: unexpected argument "web"`},
		{"exec", "exec: <container-id> is missing"},
		{"mounts web", `mounts: "web" is neither add nor remove`},
		{"mounts add", "mounts: <container-id> is missing"},
		{"mounts remove web", "mounts: <file> is missing"},
		{"mounts add web a b", `mounts: unexpected argument "b"`},
		{"delete --froce web", "unknown flag --froce: did you mean --force?"},
		{"start --root /x web", "flag --root is a global one: it goes before the command"},
		{"create web --debug", "flag --debug is a global one: it goes before the command"},
		{"kill web NOPE", `unknown signal "NOPE"`},
		{"kill -9 web", "unknown flag -9: the signal goes after the container id, without a dash"},
		{"kill web -KILL", "unknown flag --KILL: the signal goes after the container id, without a dash"},
		{"kill --signal HUP web", "unknown flag --signal: the signal goes after the container id, without a dash"},
		{"kill -x web", "unknown flag -x"},
		{"list --format=", `flag --format: "" is none of table, json`},
		{"kill web 65", "signal 65 is out of range: the last one is 64"},
		{"exec -g 4294967295 web id", `flag -g: "4294967295" is not a group id`},
		{"exec -g -1 web id", `flag -g: "-1" is not a group id`},
		{"create --preserve-fds x web", `flag --preserve-fds: "x" is not a number of 0 or more`},
		{"completion tcsh", `no completion for shell "tcsh": bash, zsh and fish are known`},
		{"checkpoint --image-path /x --tcp-established web", "checkpoint and restore are not supported by this version of onggi"},
		{"restore --image-path=/x web", "checkpoint and restore are not supported by this version of onggi"},
	} {
		std := files(t)
		if got := run(append([]string{"--log", filepath.Join(t.TempDir(), "log")}, strings.Fields(tt.line)...), std); got != 1 {
			t.Errorf("onggi %s = %d; want 1", tt.line, got)
		}
		first, rest, _ := strings.Cut(contents(t, std.err), "\n")
		if !strings.Contains(first, tt.want) {
			t.Errorf("onggi %s: %q; want %q", tt.line, first, tt.want)
		}
		if usage := strings.HasPrefix(rest, "usage: onggi "); usage == refused(tt.line) {
			t.Errorf("onggi %s: %q below the message", tt.line, rest)
		}
	}
}

// What exec itself refuses, when the flags are right, gives the status 255, as with runc.
func TestMistakesThatExecFinds(t *testing.T) {
	for line, want := range map[string]string{
		"exec web":              "exec: <command> is missing",
		"exec -e NAME web id":   "flag --env: a value is not of the form NAME=VALUE",
		"exec -e =value web id": "flag --env: a value is not of the form NAME=VALUE",
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

// refused says whether the line is right, but about what there is not yet.
func refused(line string) bool {
	return strings.HasPrefix(line, "checkpoint") || strings.HasPrefix(line, "restore")
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
		if len(line) > textWidth {
			t.Errorf("line %d is longer than %d: %s", i+1, textWidth, line)
		}
	}
}

func helpLines() []string {
	lines := []string{"--help"}
	for _, cmd := range commands() {
		lines = append(lines, cmd.name+" --help")
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

// golden compares got with a file under testdata, or writes it.
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

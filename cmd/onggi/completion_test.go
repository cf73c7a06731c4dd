package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		std := files(t)
		if got := run([]string{"completion", shell}, std); got != 0 {
			t.Errorf("onggi completion %s = %d; want 0", shell, got)
		}
		script := contents(t, std.out)
		for _, want := range append(program().Names(), "preserve-fds", "systemd-cgroup", "additional-gids") {
			if !strings.Contains(script, want) {
				t.Errorf("the script for %s does not have %s", shell, want)
			}
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue // the syntax is checked only where the shell is installed
		}
		if out, err := exec.Command(shell, "-n", std.out.Name()).CombinedOutput(); err != nil {
			t.Errorf("%s does not take its script: %v\n%s", shell, err, out)
		}
	}
}

// TestBashCompletes checks the words that bash offers for the last word of a line.
func TestBashCompletes(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash: ", err)
	}
	text, _ := program().Completion("bash")
	script := filepath.Join(t.TempDir(), "onggi.bash")
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		words string // the last one is to be completed; _ stands for an empty word
		want  string
	}{
		{"onggi st", "start state"},
		{"onggi --roo", "--root --rootless"},
		{"onggi --log-format _", "json text"},
		{"onggi --root /r st", "start state"},
		{"onggi create --no", "--no-new-keyring --no-pivot"},
		{"onggi list -f _", "json table"},
		{"onggi --log /dev/null exec --pi", "--pid-file --pidfd-socket"},
		{"onggi --root /r kill w", "web-of-/r"},
		{"onggi delete _", "--force --help --regex web-of-"},
		{"onggi create --preserve-fds _", ""},
		{"onggi mounts a", "add"},
		{"onggi mounts add w", "web-of-"},
		{"onggi top w", "web-of-"},
		{"onggi plan w", ""},
		{"onggi help up", "update"},
		{"onggi completion f", "fish"},
	} {
		words := strings.Fields(tt.words)
		if words[len(words)-1] == "_" {
			words[len(words)-1] = ""
		}
		got := bashOffers(t, script, words)
		if want := strings.Fields(tt.want); !slices.Equal(got, want) {
			t.Errorf("bash offers %q for %q; want %q", got, tt.words, want)
		}
	}
}

// bashOffers runs the completion function as bash does. The onggi that it calls lists one container, whose id
// contains the name of the state root.
func bashOffers(t *testing.T, script string, words []string) []string {
	t.Helper()
	const harness = `source "$1"; shift
onggi() { local root=; [[ $1 == --root ]] && root=$2; echo "web-of-$root"; }
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _onggi
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"`
	out, err := exec.Command("bash", append([]string{"-c", harness, "bash", script}, words...)...).Output()
	if err != nil {
		t.Fatalf("bash: %v", err)
	}
	offers := strings.Fields(string(out))
	slices.Sort(offers)
	return offers
}

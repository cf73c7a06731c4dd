package proc

import (
	"strings"
	"testing"
)

func TestExitStatus(t *testing.T) {
	pid, pidfd := child(t, "exec sleep 1000")
	if status, ok := ExitStatus(pid, pidfd); ok {
		t.Errorf("ExitStatus of a live process = %d", status)
	}
	for script, want := range map[string]int{"exit 7": 7, "kill -TERM $$": 128 + 15} {
		pid, pidfd := child(t, script)
		if err := Wait(t.Context(), pidfd); err != nil {
			t.Fatal(err)
		}
		if got, ok := ExitStatus(pid, pidfd); got != want || !ok {
			t.Errorf("ExitStatus(%q) of a zombie = %d, %v; want %d", script, got, ok, want)
		}
		if _, err := Reap(t.Context(), pidfd); err != nil {
			t.Fatal(err)
		}
		// Before Linux 6.15 the status is lost.
		if got, ok := ExitStatus(pid, pidfd); ok && got != want {
			t.Errorf("ExitStatus(%q) once reaped = %d; want %d", script, got, want)
		}
	}
}

func TestParseExitCode(t *testing.T) {
	line := func(state, code string) string {
		return "1 (a b) " + state + strings.Repeat(" 0", 48) + " " + code + "\n"
	}
	tests := []struct {
		line string
		want int32
		ok   bool
	}{
		{line("Z", "1792"), 1792, true},
		{line("S", "1792"), 0, false},
		{line("Z", "x"), 0, false},
		{"1 (a) Z 0", 0, false},
		{"", 0, false},
	}
	for _, test := range tests {
		if got, ok := parseExitCode([]byte(test.line)); got != test.want || ok != test.ok {
			t.Errorf("parseExitCode(%q) = %d, %v; want %d, %v", test.line, got, ok, test.want, test.ok)
		}
	}
}

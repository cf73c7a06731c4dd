package libcontainer

import (
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name      string
		env       []string
		home      string
		listenFDs int
		want      []string
	}{
		{"nothing", nil, "", 0, nil},
		{"as it is", []string{"B=2", "A=1"}, "", 0, []string{"B=2", "A=1"}},
		{"the last wins, where the first stood", []string{"A=1", "B=2", "A=3", "A=4"}, "", 0, []string{"A=4", "B=2"}},
		{"empty values", []string{"A=", "B=x=y", "A=="}, "", 0, []string{"A==", "B=x=y"}},
		{"a name that begins like another", []string{"HOMEPAGE=x", "HOM=y"}, "/root", 0, []string{"HOMEPAGE=x", "HOM=y", "HOME=/root"}},
		{"HOME is filled in", []string{"A=1"}, "/root", 0, []string{"A=1", "HOME=/root"}},
		{"an empty HOME is replaced", []string{"HOME=", "A=1"}, "/root", 0, []string{"HOME=/root", "A=1"}},
		{"descriptors", []string{"LISTEN_FDS=9", "LISTEN_PID=4711", "A=1"}, "", 2, []string{"LISTEN_FDS=2", "LISTEN_PID=1", "A=1"}},
		{"no descriptors", []string{"LISTEN_FDS=9"}, "", 0, []string{"LISTEN_FDS=9"}},
	} {
		given := slices.Clone(tt.env)
		if got := environment(tt.env, tt.home, tt.listenFDs); !slices.Equal(got, tt.want) {
			t.Errorf("%s: environment(%q, %q, %d) = %q; want %q", tt.name, given, tt.home, tt.listenFDs, got, tt.want)
		}
		if !slices.Equal(tt.env, given) {
			t.Errorf("%s: the caller's environment is %q now; it was %q", tt.name, tt.env, given)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("A=1\x00B=2\x00A=3", "/root", 2)
	f.Add("", "", 0)
	f.Fuzz(func(t *testing.T, text, home string, fds int) {
		var env []string
		for _, kv := range strings.Split(text, "\x00") {
			if k, _, ok := strings.Cut(kv, "="); ok && k != "" {
				env = append(env, kv)
			}
		}
		got := environment(env, home, fds)
		names := map[string]bool{}
		for _, kv := range got {
			k, _, _ := strings.Cut(kv, "=")
			if names[k] {
				t.Errorf("environment(%q) has %q twice: %q", env, k, got)
			}
			names[k] = true
		}
		for _, kv := range env {
			if k, _, _ := strings.Cut(kv, "="); !names[k] {
				t.Errorf("environment(%q) has lost %q: %q", env, k, got)
			}
		}
	})
}

package libcontainer

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestDefaultRoot(t *testing.T) {
	root := os.Geteuid() == 0 && !inUserns()
	for _, tt := range []struct{ name, xdg, user, want string }{
		{"a runtime directory", "/run/user/1000", "", "/run/user/1000/onggi"},
		{"none", "", "", "/run/onggi"},
		{"one with a slash at the end", "/x/", "", "/x/onggi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("XDG_RUNTIME_DIR", tt.xdg)
			t.Setenv("USER", tt.user)
			want := tt.want
			if root {
				want = "/run/onggi" // whatever the variables say
			}
			if got := DefaultRoot(); got != want {
				t.Errorf("DefaultRoot() with XDG_RUNTIME_DIR=%q = %q; want %q", tt.xdg, got, want)
			}
		})
	}
}

func TestNew(t *testing.T) {
	for _, o := range []Options{{}, {Root: "/run/x"}, {Root: "relative"}, {CgroupManager: "cgroupfs"}, {CgroupManager: "disabled"}} {
		if _, err := New(o); err != nil {
			t.Errorf("New(%+v) = %v", o, err)
		}
	}
	for _, o := range []Options{{Root: "/"}, {Root: "/../"}, {CgroupManager: "openrc"}} {
		if r, err := New(o); err == nil {
			t.Errorf("New(%+v) = %v; want an error", o, r)
		}
	}
	root := t.TempDir() + "/made/later"
	if _, err := New(Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); err == nil {
		t.Error("New makes the state root")
	}
}

// The errors that callers branch on have the texts that engines look for.
func TestSentinels(t *testing.T) {
	r, err := New(Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	_, notThere := r.Load("nobody")
	for _, tt := range []struct {
		name     string
		err      error
		sentinel error
		text     string
	}{
		{"load of nobody", notThere, ErrNotExist, "does not exist"},
		{"delete of nobody", r.Delete(t.Context(), "nobody", false), ErrNotExist, "does not exist"},
		{"not running", ErrNotRunning, ErrNotRunning, "container not running"},
	} {
		if !errors.Is(tt.err, tt.sentinel) || !strings.Contains(tt.err.Error(), tt.text) {
			t.Errorf("%s: %v; want %v with %q in it", tt.name, tt.err, tt.sentinel, tt.text)
		}
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", "a b", strings.Repeat("x", 2000), "-\x00"} {
		_, load := r.Load(id)
		_, create := r.Create(t.Context(), id, CreateOptions{})
		for _, err := range []error{load, create, r.Delete(t.Context(), id, true)} {
			if !errors.Is(err, ErrInvalidID) {
				t.Errorf("id %.20q: %v; want %v", id, err, ErrInvalidID)
			}
		}
	}
	if err := r.Delete(t.Context(), "nobody", true); err != nil {
		t.Errorf("delete of nobody by force = %v", err)
	}
}

package state

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestValidID(t *testing.T) {
	tests := []struct {
		id string
		ok bool
	}{
		{"a", true},
		{"A-Z_0+9.x", true},
		{"...", true},
		{".hidden", true},
		{"-rf", true},
		{strings.Repeat("x", 255), true},
		{"", false},
		{".", false},
		{"..", false},
		{"/", false},
		{"a/b", false},
		{"../a", false},
		{"a b", false},
		{"a\n", false},
		{"a\x00", false},
		{"a@b", false},
		{"é", false},
		{"a,b", false},
		{"a!b", false},
		{strings.Repeat("x", 256), false},
	}
	for _, tt := range tests {
		err := ValidID(tt.id)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrInvalidID) {
			t.Errorf("ValidID(%q) = %v; want ok %v", tt.id, err, tt.ok)
		}
	}
}

// A valid id is exactly one component of a path, below the directory to which it is joined.
func FuzzValidID(f *testing.F) {
	for _, id := range []string{"a", "..", "a/../b", "a\x00b", "x@y"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if err := ValidID(id); err != nil {
			if strings.ContainsRune(err.Error(), '\n') {
				t.Errorf("ValidID(%q) gives more than one line: %v", id, err)
			}
			return
		}
		path := filepath.Join("/root", id)
		if filepath.Dir(path) != "/root" || filepath.Base(path) != id || len(id) > 255 {
			t.Errorf("ValidID(%q) = nil, but it is no single component", id)
		}
	})
}

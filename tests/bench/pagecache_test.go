package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReread evicts a file that was just written, and reads it.
func TestReread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := reread(path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pages, err := cached(f)
	if want := 1 << 20 / os.Getpagesize(); err != nil || pages != want && pages != 0 { // 0 on a tmpfs, where nothing is counted
		t.Errorf("cached = %d, %v; want %d", pages, err, want)
	}
}

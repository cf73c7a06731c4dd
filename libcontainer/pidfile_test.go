package libcontainer

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPidFilesOpenNothingThatIsThere(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(dir string) error
	}{
		{"no file", func(string) error { return nil }},
		{"a file", func(dir string) error { return os.WriteFile(filepath.Join(dir, "pid"), []byte("1234567"), 0o600) }},
		{"a FIFO", func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "pid"), 0o600) }},
		{"a FIFO at the name of before", func(dir string) error { return unix.Mkfifo(filepath.Join(dir, ".pid"), 0o600) }},
		{"a hard link", func(dir string) error { return os.Link(filepath.Join(dir, "victim"), filepath.Join(dir, "pid")) }},
		{"a hard link at the name of before", func(dir string) error { return os.Link(filepath.Join(dir, "victim"), filepath.Join(dir, ".pid")) }},
		{"a symlink", func(dir string) error { return os.Symlink("victim", filepath.Join(dir, "pid")) }},
	} {
		for name, write := range map[string]func(string, string) error{"unnamed": writeUnnamed, "named": writeNamed} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				dir := t.TempDir()
				victim := filepath.Join(dir, "victim")
				if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := tt.prepare(dir); err != nil {
					t.Fatal(err)
				}
				before, _ := os.ReadDir(dir)
				path := filepath.Join(dir, "pid")
				_, gone := os.Lstat(path)
				if err := write(path, "42"); err != nil {
					t.Fatal(err)
				}
				if text, err := os.ReadFile(path); string(text) != "42" {
					t.Errorf("the pid file = %q, %v; want 42", text, err)
				}
				if text, _ := os.ReadFile(victim); string(text) != "precious" {
					t.Errorf("another file = %q; want precious", text)
				}
				after, _ := os.ReadDir(dir)
				want := len(before)
				if gone != nil {
					want++
				}
				if len(after) != want {
					t.Errorf("files = %v; want %d", after, want)
				}
			})
		}
	}
}

func TestWritePidFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pid")
	for _, pid := range []int{4194304, 7} { // the second is shorter
		if err := writePidFile(path, pid); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != strconv.Itoa(pid) {
			t.Errorf("the file holds %q, %v; want %d without a line end", got, err, pid)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the directory holds %v, %v; want the file alone", list, err)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o644 {
		t.Errorf("the file is %v, %v; want 0644", fi.Mode(), err)
	}
	if err := writePidFile("", 1); err != nil {
		t.Errorf("writePidFile without a path = %v", err)
	}
}

func TestWritePidFileThatFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"missing/pid", "taken"} {
		err := writePidFile(filepath.Join(dir, name), 1)
		if err == nil || !strings.Contains(err.Error(), "write the pid file") {
			t.Errorf("writePidFile(%s) = %v; want an error that says what was being done", name, err)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("the directory holds %v; want what it held", list)
	}
}

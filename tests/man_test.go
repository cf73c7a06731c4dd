package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The man page names every file below the state root.
func TestManPageNamesTheStateFiles(t *testing.T) {
	needController(t, "pids")
	peersLack(t, "man")
	c := newContainer(t, args("sleep", "1000"), seccomp(specs.LinuxSyscall{Names: []string{"chroot"}, Action: specs.ActErrno}))
	c.must("man", c.bundle)
	page, err := os.ReadFile(filepath.Join(c.bundle, "onggi.8"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n.SH FILES\n")
	named := strings.Fields(strings.NewReplacer("/run/onggi/ID/", "", "/run/onggi/", "", ",", "").Replace(section))
	check := func(dir string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if entry.Name() != c.id && !slices.Contains(named, entry.Name()) {
				t.Errorf("onggi.8 does not name %s", filepath.Join(dir, entry.Name()))
			}
		}
	}
	c.create()
	check(c.root)
	check(filepath.Join(c.root, c.id))
	c.start()
	c.must("update", "--pids-limit", "100", c.id)
	c.added(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"})
	check(filepath.Join(c.root, c.id))
}

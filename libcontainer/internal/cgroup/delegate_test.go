package cgroup

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelEnterSub moves a process to a new cgroup below its present one. The new owner must be able to divide the
// new cgroup.
func TestKernelEnterSub(t *testing.T) {
	p, _ := create(t, newPaths(t, "entersub"), CreateOptions{})
	if p.Unified == nil {
		t.Skip("no cgroup2 hierarchy")
	}
	p = Paths{Unified: p.Unified}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if err := p.Join(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	const uid = 12345
	if err := p.EnterSub("payload/init", cmd.Process.Pid, uid); err != nil {
		t.Fatal(err)
	}
	now, err := p.Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := now.Unified.Path, path.Join(p.Unified.Path, "payload/init"); got != want {
		t.Errorf("the process is in %s; want %s", got, want)
	}
	for file, want := range map[string]uint32{"payload/init": uid, "payload/init/cgroup.procs": uid, "payload": 0, "cgroup.procs": 0} {
		var st unix.Stat_t
		if err := unix.Stat(path.Join(p.Unified.Abs(), file), &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != want {
			t.Errorf("owner of %q = %d; want %d", file, st.Uid, want)
		}
	}
}

// TestFilesToDelegate: without the kernel's list, filesToDelegate returns the list of the specification
// (config-linux.md, "Cgroup ownership").
func TestFilesToDelegate(t *testing.T) {
	list := filepath.Join(t.TempDir(), "delegate")
	want := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	if got := filesToDelegate(list); !slices.Equal(got, want) {
		t.Errorf("filesToDelegate(none) = %q; want %q", got, want)
	}
	if err := os.WriteFile(list, []byte("cgroup.procs\nmemory.reclaim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := filesToDelegate(list), []string{"cgroup.procs", "memory.reclaim"}; !slices.Equal(got, want) {
		t.Errorf("filesToDelegate(a list) = %q; want %q", got, want)
	}
}

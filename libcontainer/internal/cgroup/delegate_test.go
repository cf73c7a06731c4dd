package cgroup

import (
	"os/exec"
	"path"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelEnterSub moves a process below a cgroup that it was in, and wants
// that to be the new owner's to divide.
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

package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Without cgroups the container stays in its caller's cgroup and has no limits. Verbs that need a cgroup fail with an error.
func TestCgroupManagerDisabled(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "has no such flag")
	c := newContainer(t, resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(1))} }), sh("sleep 1000 & sleep 1000"))
	c.global = []string{"--cgroup-manager", "disabled"}
	pid := c.up()
	ours, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "cgroups", string(theirs), string(ours))
	want(t, "cgroups of its own", fmt.Sprint(c.cgroupDirs()), "[]")
	want(t, "exec", c.execOutput(nil, "echo", "works"), "works")
	want(t, "status", c.status(), "running")
	for _, verb := range [][]string{{"pause", c.id}, {"update", "--pids-limit", "5", c.id}} {
		refused(t, c.verb(verb...), 1, "cgroup")
	}
	want(t, "status after pause", c.status(), "running")
	c.must("events", "--stats", c.id)
	c.must("kill", c.id, "KILL")
	c.stopped()
	c.must("delete", c.id)

	// The state records the choice: a later verb needs no flag.
	c.up()
	c.global = nil
	c.must("delete", "--force", c.id)

	c.global = []string{"--cgroup-manager", "nonsense"}
	if r := c.run(); r.code != 1 || !strings.Contains(r.err, "want one of cgroupfs, systemd, disabled") {
		t.Error(r)
	}
}

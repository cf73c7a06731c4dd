package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// withManager starts a systemd instance for the user, as a login does, and stops it after the test.
func (u ordinary) withManager(t *testing.T) {
	t.Helper()
	unit := fmt.Sprintf("user@%d.service", u.uid)
	if out, err := exec.Command("systemctl", "start", unit).CombinedOutput(); err != nil {
		t.Fatalf("systemctl start %s: %v\n%s", unit, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("systemctl", "stop", unit, fmt.Sprintf("user-%d.slice", u.uid)).CombinedOutput(); err != nil {
			t.Errorf("systemctl stop %s: %v\n%s", unit, err, out)
		}
	})
}

// session returns a command that runs as the user in the mount namespace of process 1. systemd mounts the user's runtime
// directory there, and later mounts do not reach the namespace of the test run.
func (u ordinary) session() []string {
	return append([]string{"nsenter", "--target", "1", "--mount", "--"}, u.command()...)
}

func (u ordinary) environ() []string {
	return []string{fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", u.uid), fmt.Sprintf("DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/%d/bus", u.uid)}
}

// systemctl calls the user's systemd.
func (u ordinary) systemctl(t *testing.T, args ...string) string {
	t.Helper()
	line := append(u.session(), append([]string{"systemctl", "--user"}, args...)...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), u.environ()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl --user %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// An ordinary user's container is a scope of the user's systemd, with limits of the delegated controllers. The limits can be
// updated, they survive a reload of systemd, and the scope disappears with the container.
func TestRootlessScope(t *testing.T) {
	needSystemd(t)
	needV2(t)
	u := ordinaryUser(t)
	u.withManager(t)
	c := newRootless(t, u, u.many, args("sleep", "1000"))
	// The kernel moves a process only if the user may write to the common ancestor of both cgroups.
	c.wrapper = append(u.session(), "systemd-run", "--user", "--scope", "--quiet", "--")
	unit := "onggi-" + c.id + ".scope"
	c.cgroup = fmt.Sprintf("/user.slice/user-%d.slice/user@%[1]d.service/user.slice/%s", u.uid, unit)
	c.edit(func(s *specs.Spec) {
		s.Linux.CgroupsPath = "user.slice:onggi:" + c.id
		s.Linux.Resources = &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}, CPU: &specs.LinuxCPU{Shares: ptr(uint64(512)), Cpus: "0"},
			Pids: &specs.LinuxPids{Limit: ptr(int64(20))},
		}
	})
	c.global, c.env = append(c.global, "--systemd-cgroup"), append(c.env, u.environ()...)
	pid := c.up()
	check := func(when, pids string) {
		t.Helper()
		for file, text := range map[string]string{"pids.max": pids, "memory.max": "67108864", "cpu.weight": "59", "cpuset.cpus": "0"} {
			data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", c.cgroup, file))
			if err != nil {
				t.Fatal(err)
			}
			want(t, when+", "+file, strings.TrimSpace(string(data)), text)
		}
		want(t, when+", TasksMax", u.systemctl(t, "show", "--value", "-p", "TasksMax", unit), pids)
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "cgroup of the first process", strings.TrimSpace(string(data)), "0::"+c.cgroup)
	check("created", "20")
	c.must("update", "--pids-limit", "30", c.id)
	check("updated", "30")
	u.systemctl(t, "daemon-reload")
	check("after daemon-reload", "30")
	want(t, "exec", c.execOutput(nil, "id", "-u"), "0")
	outside := c.in(t)
	outside.wrapper = u.session()
	refused(t, outside.exec(nil, "true"), 255, "an ordinary user may move processes only within a delegated cgroup")
	c.must("pause", c.id)
	want(t, "status", c.status(), "paused")
	c.must("resume", c.id)
	c.must("delete", "--force", c.id)
	want(t, "the unit of a deleted container", u.systemctl(t, "show", "--value", "-p", "LoadState", unit), "not-found")
	if _, err := os.Stat(filepath.Join("/sys/fs/cgroup", c.cgroup)); !os.IsNotExist(err) {
		t.Errorf("the cgroup is left: %v", err)
	}
}

// The error for a user without a systemd instance names the missing variables.
func TestRootlessScopeWithoutAManager(t *testing.T) {
	needSystemd(t)
	u := ordinaryUser(t)
	c := newRootless(t, u, u.single)
	c.global = append(c.global, "--systemd-cgroup")
	refused(t, c.run(), 1, "the user's systemd cannot be found: neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set")
}

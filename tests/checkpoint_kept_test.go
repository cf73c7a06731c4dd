package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// keptProperty is a row of the table in docs/checkpoint.md: a property that a container has before a dump, and may have after
// the restore.
type keptProperty struct {
	name string
	has  func(c *container, pid int) bool
}

var keptProperties = []keptProperty{
	{"two read-only binds of one source are read-only", func(c *container, pid int) bool {
		return mountHas(c, pid, "/ro1", "ro") && mountHas(c, pid, "/ro2", "ro")
	}},
	{"`nosuid`, `nodev` of the second", func(c *container, pid int) bool {
		return mountHas(c, pid, "/ro2", "nosuid") && mountHas(c, pid, "/ro2", "nodev")
	}},
	{"masks of two files are read-only", func(c *container, pid int) bool {
		return mountHas(c, pid, "/etc/one", "ro") && mountHas(c, pid, "/etc/two", "ro")
	}},
	{"session keyring of its own", func(c *container, pid int) bool {
		return sessionKeyring(c, pid) == "_ses."+c.id
	}},
	{"cgroup namespace of its own", func(c *container, pid int) bool {
		own, _ := os.Readlink("/proc/self/ns/cgroup")
		its, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/cgroup", pid))
		return own != its
	}},
	{"`lo` is up in its network namespace", func(c *container, pid int) bool {
		return loopbackIsUp(c.t, pid)
	}},
	{"CPU affinity", func(c *container, pid int) bool {
		var set unix.CPUSet
		return unix.SchedGetaffinity(pid, &set) == nil && set.Count() == 1
	}},
	{"I/O priority", func(c *container, pid int) bool {
		prio, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0)
		return prio == 3<<13|4
	}},
	{"timer slack", func(c *container, pid int) bool {
		return strings.TrimSpace(textOf(c.t, fmt.Sprintf("/proc/%d/timerslack_ns", pid))) == "123456"
	}},
	{"`oom_score_adj`", func(c *container, pid int) bool {
		return strings.TrimSpace(textOf(c.t, fmt.Sprintf("/proc/%d/oom_score_adj", pid))) == "77"
	}},
	{"no_new_privs, capabilities", func(c *container, pid int) bool {
		status := strings.Join(strings.Fields(textOf(c.t, fmt.Sprintf("/proc/%d/status", pid))), " ")
		return strings.Contains(status, "NoNewPrivs: 1") && strings.Contains(status, "CapEff: 0000000000000000") && strings.Contains(status, "CapBnd: 0000000000000000")
	}},
	{"resource limits", func(c *container, pid int) bool {
		return strings.Contains(strings.Join(strings.Fields(textOf(c.t, fmt.Sprintf("/proc/%d/limits", pid))), " "), "Max open files 77 99")
	}},
	{"contents of a tmpfs", func(c *container, pid int) bool {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/root/scratch/x", pid))
		return string(data) == "kept\n"
	}},
}

// sessionKeyring returns the name of the keyring that the container's program has just written.
func sessionKeyring(c *container, pid int) (name string) {
	path := fmt.Sprintf("/proc/%d/root/scratch/keyring", pid)
	os.Remove(path)
	eventually(c.t, "the keyring is named", func() bool {
		data, err := os.ReadFile(path)
		name = strings.TrimSpace(string(data))
		return err == nil
	})
	return name
}

// mountHas reports whether the topmost mount at a path has an option.
func mountHas(c *container, pid int, point, option string) (has bool) {
	for line := range strings.Lines(textOf(c.t, fmt.Sprintf("/proc/%d/mountinfo", pid))) {
		if f := strings.Fields(line); len(f) > 5 && f[4] == point {
			has = slices.Contains(strings.Split(f[5], ","), option)
		}
	}
	return has
}

// loopbackIsUp reads /proc/PID/net: the local table has the address of lo if lo is up.
func loopbackIsUp(t testing.TB, pid int) bool {
	return strings.Contains(textOf(t, fmt.Sprintf("/proc/%d/net/fib_trie", pid)), "127.0.0.1")
}

// rich returns a container with all properties.
func rich(t *testing.T, runtime string) *container {
	t.Helper()
	c := newContainer(t)
	needsCRIU(t, c)
	c.runtime = runtime
	for _, dir := range []string{"twin", "rootfs/ro1", "rootfs/ro2", "rootfs/scratch"} {
		if err := os.MkdirAll(filepath.Join(c.bundle, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"rootfs/etc/one", "rootfs/etc/two"} {
		c.write(file, "secret")
	}
	score := 77
	c.edit(sh("echo kept >/scratch/x; while :; do probe keyring >/scratch/new; mv /scratch/new /scratch/keyring; sleep 0.05; done"), func(s *specs.Spec) {
		for _, at := range []string{"/ro1", "/ro2"} {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: at, Type: "bind", Source: filepath.Join(c.bundle, "twin"), Options: []string{"rbind", "ro", "nosuid", "nodev"}})
		}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/scratch", Type: "tmpfs", Source: "tmpfs"})
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/etc/one", "/etc/two")
		s.Process.OOMScoreAdj, s.Process.NoNewPrivileges, s.Process.Capabilities = &score, true, &specs.LinuxCapabilities{}
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 99}}
		if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace }) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}
	})
	pid := c.up()
	one := unix.CPUSet{}
	one.Set(0)
	if err := unix.SchedSetaffinity(pid, &one); err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, 1, uintptr(pid), 3<<13|4); errno != 0 {
		t.Fatal(errno)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", pid), []byte("123456"), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tmpfs has its file", func() bool { return strings.Contains(textOf(t, fmt.Sprintf("/proc/%d/root/scratch/x", pid)), "kept") })
	return c
}

// kept dumps and restores a container. For each property it returns whether the container had it before and after.
func kept(t *testing.T, runtime string) (before, after []bool) {
	t.Helper()
	c := rich(t, runtime)
	for _, p := range keptProperties {
		before = append(before, p.has(c, c.state().Pid))
	}
	c.must("checkpoint", "--image-path", c.images(), "--manage-cgroups-mode", "ignore", c.id)
	c.must(c.restoreArgs("--detach", "--manage-cgroups-mode", "ignore")...)
	for _, p := range keptProperties {
		after = append(after, p.has(c, c.state().Pid))
	}
	return before, after
}

// A restored container of onggi has all properties. The table of docs/checkpoint.md has runc's beside them.
func TestCheckpointKeeps(t *testing.T) {
	onOneLayout(t)
	was, ours := kept(t, "")
	for i, p := range keptProperties {
		if !was[i] || !ours[i] {
			t.Errorf("%s: before %v, after %v", p.name, was[i], ours[i])
		}
	}
	runc := os.Getenv("RUNC")
	if runc == "" {
		t.Skip("no runc to compare with: RUNC=")
	}
	before, theirs := kept(t, runc)
	var table strings.Builder
	table.WriteString("| after a restore | onggi | runc 1.5.1 |\n|---|---|---|\n")
	for i, p := range keptProperties {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", p.name, verdict(true, ours[i]), verdict(before[i], theirs[i]))
	}
	t.Log("\n" + table.String())
	if *update {
		publish(t, "<!-- kept -->\n", table.String())
	}
}

func verdict(before, after bool) string {
	switch {
	case !before:
		return "not before either"
	case after:
		return "yes"
	}
	return "**no**"
}

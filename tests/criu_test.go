package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// These tests need a kernel, a capability or a service that the usual machine lacks. Virtual machines run them.

// sizes returns the bytes of memory in directories of images.
func sizes(dirs ...string) string {
	var all []string
	for _, dir := range dirs {
		var sum int64
		files, _ := filepath.Glob(filepath.Join(dir, "pages-*.img"))
		for _, file := range files {
			if st, err := os.Stat(file); err == nil {
				sum += st.Size()
			}
		}
		all = append(all, fmt.Sprintf("%d KiB", sum>>10))
	}
	return strings.Join(all, ", ")
}

// hoarder is a counter in a process with 4 MiB of memory that never changes.
const hoarder = `x=$(dd if=/dev/zero bs=1M count=4 2>/dev/null | tr '\0' x); ` + counter + `; echo $x`

// idling is a program that survives a restore: after it, nanosleep(2) returns EINTR, and busybox's sleep ends.
const idling = "while true; do sleep 1; done"

// A dump after pre-dumps contains only the changes, and is restored with all its memory.
func TestCRIUPreDumps(t *testing.T) {
	c := counting(t, sh(hoarder))
	r := c.verb("checkpoint", "--image-path", c.images(), "--pre-dump-until", "10%", c.id)
	if strings.Contains(r.err, "CONFIG_MEM_SOFT_DIRTY") {
		t.Skip(strings.TrimSpace(r.err))
	}
	if r.code != 0 {
		t.Fatal(r)
	}
	rounds, _ := filepath.Glob(c.images() + "/pre-*")
	t.Logf("memory in the pre-dumps and in the dump: %s", sizes(append(rounds, c.images())...))
	if len(rounds) < 2 {
		t.Errorf("%d pre-dumps; want 2 or more", len(rounds))
	}
	n := c.count()
	c.must(c.restoreArgs("--detach")...)
	c.countsOn(n)
}

// CRIU reads the limits of an ordinary user's processes only with CAP_SYS_RESOURCE.
func TestCRIUOfAUser(t *testing.T) {
	c := newContainer(t, sh(idling), process(func(p *specs.Process) { p.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{10}} }))
	needsCRIU(t, c)
	pid := c.up()
	before := attributes(t, pid)
	r := c.verb("checkpoint", "--image-path", c.images(), c.id)
	if strings.Contains(r.err, "CRIU needs CAP_SYS_RESOURCE") {
		t.Skip(strings.TrimSpace(r.err))
	}
	if r.code != 0 {
		t.Fatal(r)
	}
	c.must(c.restoreArgs("--detach")...)
	want(t, "attributes", attributes(t, c.state().Pid), before)
}

// A restored process has its AppArmor profile again, or the one of --lsm-profile.
func TestCRIUAppArmor(t *testing.T) {
	needAppArmor(t)
	const rules = "file, mount, umount, capability, network, unix, signal, ptrace,"
	profile, other := loadProfile(t, rules+" deny /etc/secret r,"), loadProfile(t, rules)
	c := newContainer(t, sh(idling), apparmor(profile))
	needsCRIU(t, c)
	c.up()
	c.must("checkpoint", "--image-path", c.images(), "--leave-running", c.id)
	c.must("delete", "--force", c.id)
	for _, tt := range []struct {
		flags []string
		want  string
	}{{nil, profile}, {[]string{"--lsm-profile", "apparmor:" + other}, other}} {
		c.must(c.restoreArgs(append(tt.flags, "--detach")...)...)
		current := textOf(t, fmt.Sprintf("/proc/%d/attr/apparmor/current", c.state().Pid))
		want(t, "profile", strings.TrimSpace(current), tt.want+" (enforce)")
		c.must("delete", "--force", c.id)
	}
}

// A restored container is in a systemd scope again.
func TestCRIUScope(t *testing.T) {
	if env.driver != "systemd" {
		t.Skip("the containers are in no scope")
	}
	c := counting(t)
	before := textOf(t, fmt.Sprintf("/proc/%d/cgroup", c.state().Pid))
	c.must("checkpoint", "--image-path", c.images(), c.id)
	n := c.count()
	c.must(c.restoreArgs("--detach")...)
	c.countsOn(n)
	want(t, "cgroup", textOf(t, fmt.Sprintf("/proc/%d/cgroup", c.state().Pid)), before)
}

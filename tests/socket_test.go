package tests

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// needNoController skips the test if a v1 controller does the work of the eBPF program.
func needNoController(t *testing.T) {
	t.Helper()
	needUnified(t)
	for _, h := range hierarchies() {
		for _, name := range h.controllers {
			if name == "net_cls" || name == "net_prio" {
				t.Skipf("the %s controller of cgroup v1 is mounted", name)
			}
		}
	}
}

// TestSocketMarkAndPriority checks that new sockets have the class as their mark, and the priority. An nftables rule matches it.
func TestSocketMarkAndPriority(t *testing.T) {
	needNoController(t)
	c := newContainer(t, args("sleep", "1000"), resourcesJSON(t, `{"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":5}]}}`))
	pid := c.up()
	sockets := func() string { return c.execOutput(nil, "probe", "socket") }
	want(t, "mark and priority for IPv4 and IPv6", sockets(), "0x100001 5\n0x100001 5")

	inside(t, pid, "nft", "add table inet t; add chain inet t output { type filter hook output priority 0; }; add rule inet t output meta mark 0x00100001 counter")
	count := func() int {
		t.Helper()
		m := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(inside(t, pid, "nft", "list chain inet t output"))
		if m == nil {
			t.Fatal("the rule has no counter")
		}
		return atoi(t, m[1])
	}
	send := func() { c.execOutput(nil, "probe", "send", "udp", "127.0.0.1", "9", "1", "1000", "1000000") }
	send()
	before := count()
	if before == 0 {
		t.Error("the rule for the mark has counted no packet")
	}

	c.must("update", "--network-class", "0x100002", c.id)
	want(t, "with another class", sockets(), "0x100002 5\n0x100002 5")
	c.must("update", "--network-priority", "eth0=2", c.id)
	want(t, "with another priority", sockets(), "0x100002 2\n0x100002 2")
	send()
	if now := count(); now != before {
		t.Errorf("the rule has counted %d packets of another class", now-before)
	}
	if r := c.verb("update", "--network-class", "7", "--unified", "nosuch.max=1", c.id); r.code == 0 {
		t.Errorf("%v; want it refused", r)
	}
	want(t, "after a refused update", sockets(), "0x100002 2\n0x100002 2")
}

// TestPrioritiesThatDiffer checks the error for different priorities, which cgroup v2 cannot express.
func TestPrioritiesThatDiffer(t *testing.T) {
	needNoController(t)
	const config = `{"network":{"priorities":[{"name":"eth0","priority":5},{"name":"eth1","priority":6}]}}`
	const text = "cgroup v2 has one priority for all interfaces, and eth0 has 5, but eth1 6"
	c := newContainer(t, resourcesJSON(t, config))
	refused(t, c.run(), 1, text)
	if r := c.verb("check", c.bundle); r.code == 0 || !strings.Contains(r.out+r.err, text) {
		t.Errorf("%v; want %q", r, text)
	}
	c.edit(resourcesJSON(t, `{"network":{"priorities":[{"name":"eth0","priority":5}]}}`))
	c.up()
	refused(t, c.verb("update", "--network-priority", "eth1="+strconv.Itoa(6), c.id), 1, text)
	want(t, "after a refused update", c.execOutput(nil, "probe", "socket"), "0x0 5\n0x0 5")
}

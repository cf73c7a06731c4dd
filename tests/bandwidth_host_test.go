package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// noDevices removes the device rules: on cgroup v2 they are an eBPF program too.
func noDevices(s *specs.Spec) { s.Linux.Resources = nil }

// withoutBPF makes bpf(2) fail with errno for the runtime.
func (c *container) withoutBPF(errno unix.Errno) {
	c.wrapper = []string{env.probe, "deny", strconv.Itoa(unix.SYS_BPF), strconv.Itoa(int(errno))}
}

// TestBandwidthWithoutBPF checks the errors on a kernel that lacks or forbids bpf(2). Each is one line. create leaves nothing,
// and a refused update changes nothing.
func TestBandwidthWithoutBPF(t *testing.T) {
	needUnified(t)
	for _, host := range []struct {
		name  string
		errno unix.Errno
		text  string
	}{
		{"a kernel without it", unix.ENOSYS, "the kernel lacks eBPF programs for cgroups"},
		{"a kernel without programs of cgroups", unix.EINVAL, "the kernel lacks eBPF programs for cgroups"},
		{"a host that forbids it", unix.EPERM, "require CAP_BPF and CAP_NET_ADMIN on the host"},
	} {
		t.Run(host.name, func(t *testing.T) {
			for _, name := range []string{egressLimit, ingressLimit} {
				c := newContainer(t, noDevices, annotation(name, "5mbit"))
				c.withoutBPF(host.errno)
				refused(t, c.verb(c.withFlags("create")...), 1, host.text)
				want(t, "cgroups of a refused create", strings.Join(c.cgroupDirs(), " "), "")
				if r := c.verb("check", c.bundle); r.code == 0 || !strings.Contains(r.out+r.err, host.text) {
					t.Errorf("check: %v; want %q", r, host.text)
				}
			}
			c := newContainer(t, noDevices, annotation(egressLimit, "5mbit:100k"))
			c.up()
			c.withoutBPF(host.errno)
			refused(t, c.verb("update", "--network-egress", "7mbit", "--network-ingress", "7mbit", "--hugepage", "2MB=4m", c.id), 1, host.text)
			refused(t, c.verb("update", "--network-egress", "-1", c.id), 1, host.text)
			c.must("events", "--stats", c.id) // the other statistics still work
			c.wrapper = nil
			if s := c.bandwidth(); s.Egress == nil || s.Egress.Rate != 5e6 || s.Egress.Burst != 100<<10 || s.Ingress != nil {
				t.Errorf("limits after a refused update: %+v, %+v; want 5 Mbit/s out, and none in", s.Egress, s.Ingress)
			}
			if n := c.limit("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"); n == "4194304" {
				t.Error("the refused update has changed another limit")
			}
		})
	}
}

// TestNoBandwidthCostsNothing checks that a container without a limit calls bpf(2) only for its devices. The control has a limit.
func TestNoBandwidthCostsNothing(t *testing.T) {
	needUnified(t)
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace")
	}
	for _, limited := range []bool{false, true} {
		c := newContainer(t, noDevices, args("true"))
		if limited {
			c.edit(annotation(egressLimit, "5mbit"))
		}
		log := filepath.Join(c.bundle, "calls")
		c.wrapper = []string{"strace", "-f", "-qq", "-e", "trace=bpf", "-e", "signal=none", "-o", log}
		c.must(c.withFlags("run")...)
		c.wrapper = nil
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), "CGROUP_SKB"); n > 0 != limited {
			t.Errorf("limited %v: %d calls of bpf(2) for the network:\n%s", limited, n, data)
		}
	}
}

// TestBandwidthWithoutUnified checks that create, update and check refuse a limit on a host with cgroup v1 alone.
func TestBandwidthWithoutUnified(t *testing.T) {
	peersLack(t, "limits of bandwidth")
	if currentLayout() == "v2" {
		t.Skip("every container has a cgroup2 cgroup")
	}
	var apart []string
	if currentLayout() == "hybrid" {
		apart = []string{"unshare", "--mount", "sh", "-c", `umount /sys/fs/cgroup/unified && exec "$@"`, "sh"}
	}
	for _, name := range []string{egressLimit, ingressLimit} {
		c := newContainer(t, annotation(name, "5mbit"))
		c.wrapper = apart
		refused(t, c.verb(c.withFlags("create")...), 1, "/annotations/"+name+": needs cgroup v2, and the container has no cgroup2 cgroup")
		if r := c.verb("check", c.bundle); r.code == 0 || !strings.Contains(r.out+r.err, "needs cgroup v2") {
			t.Errorf("check: %v; want the cgroup2 cgroup that is missing", r)
		}
	}
	c := newContainer(t, args("sleep", "1000"))
	c.wrapper = apart
	c.up()
	refused(t, c.verb("update", "--network-egress", "5mbit", c.id), 1, "a limit of bandwidth needs cgroup v2")
	c.must("delete", "--force", c.id)
}

// TestBandwidthInNamespaces checks that the limit belongs to the cgroup, and not to the network namespace. In the first case
// the namespace is another container's. In the second case the container shares the namespace in which the runtime runs.
func TestBandwidthInNamespaces(t *testing.T) {
	needUnified(t)
	peer := newContainer(t, args("sleep", "1000"))
	peer.up()
	for n, name := range []string{"of an engine", "of the host"} {
		t.Run(name, func(t *testing.T) {
			sandbox := newPair(t, peer, n+1)
			pid := strconv.Itoa(sandbox.limited.state().Pid)
			c := newContainer(t, args("sleep", "1000"), without(specs.NetworkNamespace), annotation(egressLimit, "4mbit:64k"), annotation(ingressLimit, "8mbit:64k"))
			if name == "of an engine" {
				c.edit(func(s *specs.Spec) {
					s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/proc/" + pid + "/ns/net"})
				})
			} else {
				c.wrapper = []string{"nsenter", "--target", pid, "--net", "--"}
				c.edit(hostNetwork)
			}
			c.up()
			p := pair{limited: c, peer: peer, number: n + 1}
			const d = 2500 * time.Millisecond
			for _, s := range []stream{{protocol: "udp", flows: 1, bits: 20e6}, {protocol: "udp", flows: 1, bits: 20e6, inward: true}} {
				asked := 4e6
				if s.inward {
					asked = 8e6
				}
				// After 700 ms the burst is used up.
				if ratio := p.begin(t, s, d).end().rate(700, 2500) / asked; ratio < 0.9 || ratio > 1.05 {
					t.Errorf("%v: %v of the %v bit/s that were asked for; want 0.9 to 1.05", s, ratio, asked)
				}
			}
		})
	}
}

// hostNetwork removes the mounts and sysctls that a container in the host's network namespace cannot have.
func hostNetwork(s *specs.Spec) {
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type == "sysfs" })
	s.Linux.Sysctl = nil
}

// delegated gives the user a cgroup2 cgroup. The runtime starts in a child of it; the container's cgroup is a sibling.
func (c *container) delegated(t *testing.T, u ordinary) (slice string) {
	t.Helper()
	slice = filepath.Join("/sys/fs/cgroup", "onggi-tests-user-"+c.id)
	session := filepath.Join(slice, "session")
	for _, dir := range []string{slice, session} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeCgroup(dir) })
		for _, name := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
			if err := os.Chown(filepath.Join(dir, name), int(u.uid), int(u.gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	enter := []string{"sh", "-c", "echo 0 > " + session + `/cgroup.procs && exec "$@"`, "sh"}
	c.wrapper = append(enter, c.wrapper...)
	return slice
}

// allowed returns the user's command with capabilities in the host's namespaces.
func (u ordinary) allowed(capabilities string) []string {
	return []string{
		"setpriv", fmt.Sprintf("--reuid=%d", u.uid), fmt.Sprintf("--regid=%d", u.gid), "--clear-groups",
		"--inh-caps=-all," + capabilities, "--ambient-caps=-all," + capabilities, "--bounding-set=-all," + capabilities, "--",
	}
}

// TestRootlessBandwidth checks that an ordinary user's container can have a limit if the user owns the cgroup and may use
// BPF. Otherwise one line names the missing requirement, and create leaves nothing.
func TestRootlessBandwidth(t *testing.T) {
	u := ordinaryUser(t)
	t.Run("no cgroup", func(t *testing.T) {
		c := newRootless(t, u, u.single, annotation(egressLimit, "5mbit"))
		refused(t, c.run(), 1, "cgroup")
	})
	if currentLayout() != "v2" {
		return // on v1 and hybrid hosts an ordinary user has no cgroup2 cgroup
	}
	t.Run("a delegated cgroup, and no right to BPF", func(t *testing.T) {
		c := newRootless(t, u, u.many, annotation(egressLimit, "5mbit"))
		slice := c.delegated(t, u)
		refused(t, c.verb(c.withFlags("create")...), 1, "require CAP_BPF and CAP_NET_ADMIN on the host")
		if _, err := os.Stat(filepath.Join(slice, c.id)); !os.IsNotExist(err) {
			t.Errorf("the cgroup is left: %v", err)
		}
		c.edit(func(s *specs.Spec) { delete(s.Annotations, egressLimit) }, args("sleep", "1000"))
		c.up()
		refused(t, c.verb("update", "--network-egress", "5mbit", c.id), 1, "require CAP_BPF and CAP_NET_ADMIN on the host")
		c.must("delete", "--force", c.id)
	})
	t.Run("a delegated cgroup, and the right to BPF", func(t *testing.T) {
		c := newRootless(t, u, u.single, annotation(egressLimit, "5mbit:100k"), args("sleep", "1000"))
		c.wrapper = u.allowed("+bpf,+net_admin")
		c.delegated(t, u)
		c.up()
		refused(t, c.verb("update", "--network-egress", "7mbit", c.id), 1, "CAP_SYS_ADMIN")
		c.wrapper = u.allowed("+bpf,+net_admin,+sys_admin") // update has to find the present program
		if s := c.bandwidth(); s.Egress == nil || s.Egress.Rate != 5e6 || s.Egress.Burst != 100<<10 || s.Ingress != nil {
			t.Errorf("limits: %+v, %+v; want 5 Mbit/s out, and none in", s.Egress, s.Ingress)
		}
		c.must("update", "--network-egress", "7mbit:100k", c.id)
		if s := c.bandwidth(); s.Egress == nil || s.Egress.Rate != 7e6 {
			t.Errorf("limit after update: %+v; want 7 Mbit/s", s.Egress)
		}
		c.must("delete", "--force", c.id)
	})
}

// TestSystemdBandwidth checks that the limits are in the scope's cgroup. They stay after systemd has reloaded its files and
// applied the properties of the scope again.
func TestSystemdBandwidth(t *testing.T) {
	needSystemd(t)
	needUnified(t)
	c := bySystemd(newContainer(t, args("sleep", "1000"), annotation(egressLimit, "5mbit:100k"), annotation(ingressLimit, "6mbit:100k"),
		resourcesJSON(t, `{"pids":{"limit":20},"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":5}]}}`)))
	c.up()
	check := func(when string, egress, ingress uint64) {
		t.Helper()
		s := c.bandwidth()
		if s.Egress == nil || s.Egress.Rate != egress || s.Ingress == nil || s.Ingress.Rate != ingress {
			t.Errorf("%s: %+v, %+v; want %d and %d bit/s", when, s.Egress, s.Ingress, egress, ingress)
		}
		want(t, when+", mark and priority", c.execOutput(nil, "probe", "socket"), "0x100001 5\n0x100001 5")
	}
	check("created", 5e6, 6e6)
	daemonReload(t)
	check("after daemon-reload", 5e6, 6e6)
	c.must("update", "--network-egress", "7mbit:100k", "--pids-limit", "30", c.id)
	daemonReload(t)
	check("updated, after daemon-reload", 7e6, 6e6)
	// systemd attaches and detaches programs of its own at the same places.
	for _, accounting := range []string{"yes", "no"} {
		if out, err := exec.Command("systemctl", "set-property", "--runtime", filepath.Base(c.cgroup), "IPAccounting="+accounting).CombinedOutput(); err != nil {
			t.Fatalf("set-property: %v: %s", err, out)
		}
		check("with IPAccounting="+accounting, 7e6, 6e6)
	}
	c.must("delete", "--force", c.id)
}

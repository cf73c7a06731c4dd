package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// nsFiles maps the namespace types to their names in /proc/PID/ns.
var nsFiles = map[specs.LinuxNamespaceType]string{
	specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.MountNamespace: "mnt", specs.IPCNamespace: "ipc",
	specs.UTSNamespace: "uts", specs.UserNamespace: "user", specs.CgroupNamespace: "cgroup", specs.TimeNamespace: "time",
}

func nsOf(t testing.TB, pid any, kind specs.LinuxNamespaceType) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%v/ns/%s", pid, nsFiles[kind]))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func TestNamespacesAreNewWhenListedAndInheritedWhenNot(t *testing.T) {
	listed := newContainer(t, userNamespace(100000))
	listedPid := listed.up()
	bare := newContainer(t, func(s *specs.Spec) {
		s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
		s.Hostname, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = "", nil, nil
		s.Mounts = s.Mounts[:4] // mqueue belongs to an ipc namespace, sysfs to a network namespace
	})
	barePid := bare.up()
	for kind := range nsFiles {
		host := nsOf(t, "self", kind)
		switch inListed := nsOf(t, listedPid, kind); {
		case kind == specs.TimeNamespace:
			// not in the list
			want(t, "time namespace", inListed, host)
		case inListed == host:
			t.Errorf("the %s namespace is the host's", kind)
		}
		if kind != specs.MountNamespace {
			want(t, fmt.Sprintf("%s namespace of a container that does not ask for one", kind), nsOf(t, barePid, kind), host)
		}
	}
	bare.must("kill", bare.id, "KILL")
	bare.stopped()
}

func TestNamespacesAreJoinedByPath(t *testing.T) {
	for _, kind := range []specs.LinuxNamespaceType{
		specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace, specs.TimeNamespace,
	} {
		t.Run(string(kind), func(t *testing.T) {
			owner := newContainer(t)
			if kind == specs.TimeNamespace {
				peerFails(t, "runc", "has no time namespaces before 1.2")
				owner.edit(namespace(specs.LinuxNamespace{Type: kind}))
			}
			pid := owner.up()
			guest := newContainer(t, namespace(specs.LinuxNamespace{Type: kind, Path: fmt.Sprintf("/proc/%d/ns/%s", pid, nsFiles[kind])}))
			if kind == specs.UTSNamespace {
				guest.spec.Hostname = ""
				guest.edit()
			}
			guestPid := guest.up()
			want(t, "namespace", nsOf(t, guestPid, kind), nsOf(t, pid, kind))
			if kind == specs.UTSNamespace {
				want(t, "hostname", guest.execOutput(nil, "hostname"), "box")
			}
			// The guest goes first: its processes live in the other's pid namespace.
			guest.must("delete", "--force", guest.id)
			awaitExit(guestPid)
		})
	}
}

// The container joins a mount namespace and has at most a new pid namespace, which the first process gets at its birth. So
// no step of the stub creates a namespace, and the runtime must not wait for one.
func TestNothingIsNewBesideAJoinedMountNamespace(t *testing.T) {
	for name, born := range map[string][]specs.LinuxNamespace{
		"alone":                    nil,
		"with a new pid namespace": {{Type: specs.PIDNamespace}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, sh("echo ran"))
			path := mountNamespace(t)
			c.edit(func(s *specs.Spec) {
				s.Hostname, s.Linux.Namespaces = "", append(born, specs.LinuxNamespace{Type: specs.MountNamespace, Path: path})
				s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
				s.Mounts = []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}}
			})
			want(t, "output", c.output(), "ran")
		})
	}
}

// mountNamespace returns the path of a new mount namespace with the host's mounts.
func mountNamespace(t *testing.T) (path string) {
	t.Helper()
	owner := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { owner.Process.Kill(); owner.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil { // the namespace exists
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/ns/mnt", owner.Process.Pid)
}

func TestPodSharesPidNetworkAndIPC(t *testing.T) {
	sandbox := newContainer(t)
	pid := sandbox.up()
	guest := newContainer(t)
	for _, kind := range []specs.LinuxNamespaceType{specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace} {
		guest.edit(namespace(specs.LinuxNamespace{Type: kind, Path: fmt.Sprintf("/proc/%d/ns/%s", pid, nsFiles[kind])}))
	}
	guest.edit(sh("echo ready; exec sleep 4321"))
	i := guest.create()
	guestPid := guest.state().Pid
	guest.start()
	eventually(t, "guest runs", func() bool { return contents(i.out) == "ready\n" })
	if table := sandbox.execOutput(nil, "ps"); !strings.Contains(table, "sleep 1000") || !strings.Contains(table, "sleep 4321") {
		t.Errorf("processes seen from the sandbox:\n%s", table)
	}
	if table := guest.execOutput(nil, "ps"); !strings.Contains(table, "sleep 1000") || !strings.Contains(table, "sleep 4321") {
		t.Errorf("processes seen from the guest:\n%s", table)
	}
	// `ps` of the runtime is by container, not by namespace.
	if pids := guest.pids(); len(pids) != 1 || pids[0] != guestPid {
		t.Errorf("ps of the guest = %v; want %d", pids, guestPid)
	}
	guest.must("kill", guest.id, "KILL")
	if code := guest.reap(guestPid); code != 137 {
		t.Errorf("exit status %d", code)
	}
	want(t, "sandbox after the guest", sandbox.status(), "running")
}

func TestLoopbackIsUp(t *testing.T) {
	c := newContainer(t, sh("cat /sys/class/net/lo/flags; ls /sys/class/net; ping -c 1 -W 2 127.0.0.1 >/dev/null && echo pong"), caps("CAP_NET_RAW"))
	want(t, "flags of lo, interfaces, ping", c.output(), "0x9\nlo\npong")
}

func TestUserNamespace(t *testing.T) {
	c := newContainer(t, userNamespace(100000), sh(`id -u; id -g
		tr -s ' ' < /proc/self/uid_map; tr -s ' ' < /proc/self/gid_map; cat /proc/self/setgroups
		stat -c '%u:%g' /proc/1 /dev/mqueue /dev/shm /dev/pts/ptmx /proc/sys/net/ipv4/ip_forward /sys/class/net/lo/mtu
		touch /tmp/made && stat -c %u:%g /tmp/made`))
	peerFails(t, "runc", "the group of /dev/mqueue is nobody")
	// Objects of a namespace that was created before the id maps belong to nobody (65534) for ever.
	want(t, "output", c.output(), strings.Join([]string{
		"0", "0", " 0 100000 65536", " 0 100000 65536", "allow",
		"0:0", "0:0", "0:0", "0:0", "0:0", "0:0", "0:0",
	}, "\n"))
	var st unix.Stat_t
	if err := unix.Stat(c.rootfs+"/tmp/made", &st); err != nil || st.Uid != 100000 || st.Gid != 100000 {
		t.Errorf("owner on the host = %d:%d, %v; want 100000:100000", st.Uid, st.Gid, err)
	}
}

func TestUserNamespaceWithSeveralMaps(t *testing.T) {
	c := newContainer(t, userNamespace(100000), sh("id -u; tr -s ' ' < /proc/self/uid_map"), func(s *specs.Spec) {
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200000, Size: 10}, {ContainerID: 10, HostID: 300000, Size: 1000}}
		s.Process.User.UID = 12
	})
	want(t, "output", c.output(), "12\n 0 200000 10\n 10 300000 1000")
}

func TestUserNamespaceIsJoinedByPath(t *testing.T) {
	owner := newContainer(t, userNamespace(100000))
	pid := owner.up()
	guest := newContainer(t, sh("id -u; tr -s ' ' < /proc/self/uid_map"), func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: fmt.Sprintf("/proc/%d/ns/user", pid)})
		// Engines send both. This is valid if they agree.
		s.Linux.UIDMappings, s.Linux.GIDMappings = owner.spec.Linux.UIDMappings, owner.spec.Linux.GIDMappings
	})
	peerFails(t, "runc", "1.1 refuses mappings with a path")
	want(t, "output", guest.output(), "0\n 0 100000 65536")
}

func TestTimeNamespaceOffsets(t *testing.T) {
	peerFails(t, "runc", "has no time namespaces before 1.2")
	c := newContainer(t, sh("tr -s ' ' < /proc/self/timens_offsets; cut -d. -f1 /proc/uptime"), func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{
			"monotonic": {Secs: 1000, Nanosecs: 5}, "boottime": {Secs: 7777777},
		}
	})
	lines := strings.Split(c.output(), "\n")
	want(t, "offsets", strings.Join(lines[:2], "\n"), "monotonic 1000 5\nboottime 7777777 0")
	if uptime := atoi(t, lines[2]); uptime < 7777777 {
		t.Errorf("uptime = %d; want more than the offset", uptime)
	}
}

func TestCgroupNamespaceHidesThePath(t *testing.T) {
	c := newContainer(t, sh("cut -d: -f3 /proc/self/cgroup | sort -u"))
	want(t, "cgroup paths seen inside", c.output(), "/")
	c = newContainer(t, without(specs.CgroupNamespace), sh("cut -d: -f3 /proc/self/cgroup | sort -u"))
	if got := c.output(); !strings.Contains(got, c.cgroup) {
		t.Errorf("cgroup paths seen inside, without a cgroup namespace = %q; want %s", got, c.cgroup)
	}
}

func TestHostnameAndDomainname(t *testing.T) {
	want(t, "hostname", newContainer(t, args("hostname")).output(), "box")
	t.Run("domainname", func(t *testing.T) {
		peerFails(t, "runc", "has no domainname before 1.2")
		c := newContainer(t, args("cat", "/proc/sys/kernel/domainname"), func(s *specs.Spec) { s.Domainname = "example.com" })
		want(t, "domainname", c.output(), "example.com")
	})
	host, err := os.Hostname()
	if err != nil || host == "box" {
		t.Errorf("the host's name is now %q, %v", host, err)
	}
}

func TestNamespacePathsThatCannotBe(t *testing.T) {
	tests := []struct {
		name string
		ns   specs.LinuxNamespace
	}{
		{"missing", specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/proc/self/ns/nothing"}},
		{"of another type", specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/proc/1/ns/ipc"}},
		{"no namespace", specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/etc/passwd"}},
		{"relative", specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "proc/1/ns/net"}},
		{"unknown type", specs.LinuxNamespace{Type: "magic"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "relative" {
				peerFails(t, "runc", "takes it relative to its working directory")
			}
			refused(t, newContainer(t, namespace(test.ns)).run(), 1, "")
		})
	}
	t.Run("twice", func(t *testing.T) {
		c := newContainer(t, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.IPCNamespace})
		})
		refused(t, c.run(), 1, "ipc")
	})
}

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ip runs ip(8) on the host.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// virtual creates a network device on the host. Two of its addresses move to the container, and one does not.
func virtual(t *testing.T) string {
	t.Helper()
	peerFails(t, "runc", "newer than 1.3")
	name := "onggi" + strconv.FormatInt(number.Add(1), 10)
	ip(t, "link", "add", name, "address", "02:00:5e:00:53:01", "mtu", "1400", "type", "veth", "peer", "name", name+"p")
	t.Cleanup(func() { exec.Command("ip", "link", "del", name+"p").Run() })
	ip(t, "addr", "add", "192.0.2.7/25", "brd", "+", "dev", name)
	ip(t, "addr", "add", "2001:db8::7/64", "nodad", "dev", name)
	ip(t, "addr", "add", "10.9.8.7/32", "scope", "link", "dev", name)
	return name
}

func netDevice(host, name string) edit {
	return func(s *specs.Spec) {
		if s.Linux.NetDevices == nil {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{}
		}
		s.Linux.NetDevices[host] = specs.LinuxNetDevice{Name: name}
	}
}

// device prints a device's addresses, whether it is up, its MTU, and its hardware address.
const device = `ip -o addr show dev %d | tr -s ' ' | cut -d' ' -f4 | grep -v ^fe80; cd /sys/class/net/%d; echo $(($(cat flags) & 1)) $(cat mtu address)`

func show(name string) edit { return sh(strings.ReplaceAll(device, "%d", name)) }

// config-linux.md, "Network Devices": a device of the host moves to the container.
func TestNetDevices(t *testing.T) {
	const wanted = "192.0.2.7/25\n2001:db8::7/64\n1 1400 02:00:5e:00:53:01"
	for name, test := range map[string]struct {
		name   string
		inside string
		edits  []edit
	}{
		"the host's name": {"", "", nil},
		"another name":    {"eth7", "eth7", nil},
		"template":        {"eth%d", "eth0", nil},
		"user namespace":  {"eth7", "eth7", []edit{userNamespace(100000)}},
	} {
		t.Run(name, func(t *testing.T) {
			host := virtual(t)
			inside := test.inside
			if inside == "" {
				inside = host
			}
			c := newContainer(t, append(test.edits, netDevice(host, test.name), show(inside))...)
			want(t, "the device", c.output(), wanted)
			if _, err := os.Stat("/sys/class/net/" + host); err == nil {
				t.Error("the host still has it")
			}
		})
	}
	t.Run("joined namespace", func(t *testing.T) {
		owner := newContainer(t, args("sleep", "1000"))
		pid := owner.up()
		host := virtual(t)
		c := newContainer(t, netDevice(host, "eth7"), show("eth7"), func(s *specs.Spec) {
			for i := range s.Linux.Namespaces {
				if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
					s.Linux.Namespaces[i].Path = "/proc/" + strconv.Itoa(pid) + "/ns/net"
				}
			}
		})
		want(t, "the device", c.output(), wanted)
		want(t, "the device, once the container is gone", strings.TrimSpace(owner.execOutput(nil, list2args(show("eth7"))...)), wanted)
	})
	t.Run("two, and a sysctl of one", func(t *testing.T) {
		one, two := virtual(t), virtual(t)
		c := newContainer(t, netDevice(one, "eth0"), netDevice(two, "eth1"), func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.ipv4.conf.eth1.rp_filter": "2"}
		}, sh("cat /proc/sys/net/ipv4/conf/eth1/rp_filter; ls /sys/class/net"))
		want(t, "output", c.output(), "2\neth0\neth1\nlo")
	})
}

func TestNetDevicesRefused(t *testing.T) {
	peersLack(t, "says less")
	t.Run("no such device", func(t *testing.T) {
		newContainer(t, netDevice("nonsense0", "")).runFails().has(t, "/linux/netDevices/nonsense0: ", "no such device")
	})
	t.Run("clash", func(t *testing.T) {
		host := virtual(t)
		c := newContainer(t, netDevice(host, "lo"))
		c.runFails().has(t, "/linux/netDevices/"+host+": ", "file exists", "the container's network namespace has a device of that name")
		if _, err := os.Stat(filepath.Join("/sys/class/net", host)); err != nil {
			t.Error("the host has lost it")
		}
	})
	t.Run("one that cannot move", func(t *testing.T) {
		newContainer(t, netDevice("lo", "other")).runFails().has(t, "/linux/netDevices/lo: ", "invalid argument")
	})
	t.Run("the host's network namespace", func(t *testing.T) {
		newContainer(t, netDevice("lo", ""), without(specs.NetworkNamespace)).runFails().has(t, "/linux/netDevices", "", "unable to move network devices without a NET namespace")
	})
	t.Run("two of one name", func(t *testing.T) {
		newContainer(t, netDevice("a", "x"), netDevice("b", "x")).runFails().has(t, "/linux/netDevices/b/name", "", `"x" is the name of "a" already`)
	})
}

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fuseNode is a device that is not among the default devices, and that any user may open.
var fuseNode = specs.LinuxDevice{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}

func needFuse(t testing.TB) {
	t.Helper()
	f, err := os.Open("/dev/fuse")
	if err != nil {
		t.Skip("no /dev/fuse to open")
	}
	f.Close()
}

// withFuse adds the node, and the capability to create another one: only the device rules can then refuse access.
func withFuse(s *specs.Spec) {
	s.Linux.Devices = []specs.LinuxDevice{fuseNode}
	caps("CAP_MKNOD")(s)
}

// mayOpen checks the container's access to its node, to a node that it creates, and to the default devices.
func (c *container) mayOpen(when string, read, write bool) {
	c.t.Helper()
	const line = `rm -f /tmp/node; mknod /tmp/node c 10 229 && echo made
		for node in /dev/fuse /tmp/node; do true < $node && echo read; true > $node && echo written; done
		true > /dev/null < /dev/zero && echo defaults`
	wanted := "made\n"
	for range 2 {
		if read {
			wanted += "read\n"
		}
		if write {
			wanted += "written\n"
		}
	}
	want(c.t, when, c.exec([]string{"--cap", "CAP_MKNOD"}, "sh", "-c", line).out, wanted+"defaults\n")
}

// updateJSON runs update with text as its --resources.
func (c *container) updateJSON(text string) result {
	c.t.Helper()
	c.write("update.json", text)
	return c.verb("update", "--resources", filepath.Join(c.bundle, "update.json"), c.id)
}

func (c *container) update(flags ...string) result {
	c.t.Helper()
	return c.verb(slices.Concat([]string{"update"}, flags, []string{c.id})...)
}

// fuseAlone returns a list with one rule for the device.
func fuseAlone(access string) string {
	return `{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"` + access + `"}]}`
}

// The test changes the device rules of a running container. On v2 a new eBPF program replaces the old one. A systemd reload
// does not reset the rules.
func TestDeviceRulesChangeWhileRunning(t *testing.T) {
	peerFails(t, "runc", "does not update device rules")
	needFuse(t)
	c := newContainer(t, withFuse)
	c.up()
	c.mayOpen("at first", false, false)
	for i, step := range []struct {
		what        string
		update      func() result
		read, write bool
	}{
		{"reading is allowed", func() result { return c.update("--device-allow", "c 10:229 r") }, true, false},
		{"writing too", func() result { return c.update("--device-allow", "c 10:229 w") }, true, true},
		{"something else changes", func() result { return c.update(c.somethingElse()...) }, true, true},
		{"reading is denied", func() result { return c.update("--device-deny", "/dev/fuse r") }, false, true},
		{"a list of its own", func() result { return c.updateJSON(fuseAlone("r")) }, true, false},
		{"an engine's empty list", func() result { return c.updateJSON(`{"devices":[]}`) }, true, false},
		{"all is allowed", func() result { return c.update("--device-allow", "a") }, true, true},
		{"all is denied", func() result { return c.update("--device-deny", "a") }, false, false},
	} {
		if r := step.update(); r.code != 0 {
			t.Fatal(r)
		}
		c.mayOpen(step.what, step.read, step.write)
		if c.scope && i%3 == 1 { // a reload takes long
			daemonReload(t)
			c.mayOpen(step.what+", after daemon-reload", step.read, step.write)
		}
	}
}

// somethingElse returns flags of update that every layout supports.
func (c *container) somethingElse() []string {
	if env.layout == "v2" {
		return []string{"--unified", "cgroup.max.depth=5"}
	}
	return []string{"--pids-limit", "50"}
}

// During an update, there must be no moment without device rules, and none with the old and the new rules together. So an
// access that both lists allow never fails, and an access that neither allows never succeeds.
func TestDeviceRulesAreExchangedAtOnce(t *testing.T) {
	peerFails(t, "runc", "does not update device rules")
	needFuse(t)
	c := newContainer(t, withFuse, func(s *specs.Spec) {
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices,
			specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(229)), Access: "r"})
	}, sh(`n=0; mknod /tmp/other c 10 237
		while [ ! -e /tmp/end ]; do
			true < /dev/fuse || echo lost
			true < /tmp/other && echo gained
			n=$((n + 1))
		done
		[ $n -gt 20 ] && echo tried > /tmp/done; sleep 1000`))
	i := c.create()
	c.start()
	for range amount(5, 20, 60) {
		for _, access := range []string{"rw", "r"} {
			if r := c.updateJSON(fuseAlone(access)); r.code != 0 {
				t.Fatal(r)
			}
		}
	}
	c.write("rootfs/tmp/end", "")
	eventually(t, "the container has tried many times", func() bool {
		_, err := os.Stat(filepath.Join(c.rootfs, "tmp/done"))
		return err == nil
	})
	if out := contents(i.out); out != "" {
		t.Errorf("what both lists allow was refused, or what neither allows granted:\n%s", out)
	}
}

// A failed update leaves the device rules, whichever part of it failed. If the device rules fail, the limits stay too.
func TestARefusedUpdateLeavesDeviceRules(t *testing.T) {
	peerFails(t, "runc", "does not update device rules")
	needFuse(t)
	c := newContainer(t, withFuse)
	if env.driver == "cgroupfs" && env.layout != "v2" {
		c.belowADeniedDevice("10:236")
	}
	c.up()
	refused(t, c.update("--device-allow", "c 10:229 rw", "--unified", "hugetlb.no-such=1"), 1, "/linux/resources/unified")
	c.mayOpen("after a refused limit", false, false)

	if r := c.update("--device-allow", "c 10:229 r"); r.code != 0 {
		t.Fatal(r)
	}
	before := c.allLimits()
	rules := `{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"},{"allow":true,"type":"c","major":10,"minor":236,"access":"rw"}`
	text := "the cgroup above does not allow it"
	if env.layout == "v2" {
		// More rules than a program can hold.
		var all []string
		for n := range 1 << 13 {
			all = append(all, fmt.Sprintf(`{"allow":true,"type":"c","major":%d,"minor":%d,"access":"rw"}`, 300+n%2, n))
		}
		rules, text = strings.Join(all, ","), "/linux/resources/devices"
	} else if env.driver != "cgroupfs" {
		t.Skip("the cgroup above is systemd's")
	}
	limit := `"pids":{"limit":77}`
	if env.layout == "v2" {
		limit = `"unified":{"cgroup.max.depth":"7"}`
	}
	refused(t, c.updateJSON(`{"devices":[{"allow":false,"access":"rwm"},`+rules+`],`+limit+`}`), 1, text)
	c.mayOpen("after refused rules", true, false)
	if now := c.allLimits(); now != before {
		t.Errorf("limits changed:\n%s", diff(before, now))
	}
	// The state does not have the refused update either.
	if r := c.update("--device-allow", "c 10:229 w"); r.code != 0 {
		t.Fatal(r)
	}
	c.mayOpen("after another update", true, true)
}

// belowADeniedDevice puts the container's cgroup below a cgroup that may not use a device.
func (c *container) belowADeniedDevice(numbers string) {
	c.t.Helper()
	above := c.cgroup
	c.cgroup += "/below"
	c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = c.cgroup })
	for _, h := range hierarchies() {
		dir := filepath.Join(h.mountpoint, above)
		if slices.Contains(h.controllers, "devices") {
			if err := os.Mkdir(dir, 0o755); err != nil {
				c.t.Fatal(err)
			}
			// A rule that denies a part of all accesses.
			if err := os.WriteFile(filepath.Join(dir, "devices.deny"), []byte("c "+numbers+" rw"), 0); err != nil {
				c.t.Fatal(err)
			}
		}
		c.t.Cleanup(func() { // after the container below it
			c.verb("delete", "--force", c.id)
			removeCgroup(dir)
		})
	}
}

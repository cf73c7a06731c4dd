package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Who resolves a name twice may get two answers from a volume that another container controls, and every second one
// has been a way out (CVE-2021-30465, CVE-2024-45310, CVE-2025-52881).
func TestAVolumeIsAskedOnceForEachTarget(t *testing.T) {
	peerFails(t, "runc", "asks three times and more")
	c := newContainer(t, args("cat", "/proc/self/mountinfo"))
	v := newVolume(t, filepath.Join(c.bundle, "volume"))
	c.write("source/file", "")
	c.edit(mount(
		specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}},
		specs.Mount{Destination: "/vol/tmpfs", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=76k"}},
		specs.Mount{Destination: "/vol/ro", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		specs.Mount{Destination: "/vol/bind", Type: "bind", Source: filepath.Join(c.bundle, "source"), Options: []string{"bind", "ro", "nosuid", "private"}},
		specs.Mount{Destination: "/vol/pts", Type: "devpts", Source: "devpts"},
	), func(s *specs.Spec) {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/vol/masked")
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/vol/readonly")
	})
	info := c.output()
	for _, name := range []string{"tmpfs", "ro", "bind", "pts", "masked", "readonly"} {
		if !strings.Contains(info, " /vol/"+name+" ") {
			t.Errorf("control: nothing is mounted on /vol/%s", name)
		}
		if n := v.seen(name); n != 1 {
			t.Errorf("/vol/%s was looked up %d times; want 1", name, n)
		}
	}
}

// All interleavings of one such volume: the k-th time that it is asked, the target is a symlink.
func TestAVolumeThatChangesItsMind(t *testing.T) {
	c := newContainer(t, args("cat", "/proc/self/mountinfo"))
	v := newVolume(t, filepath.Join(c.bundle, "volume"))
	c.write("outside/file", "")
	c.edit(mount(
		specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}},
		specs.Mount{Destination: "/vol/d", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=76k"}},
	), func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/vol/m") })
	for _, to := range []string{"/proc", "/proc/self/attr", "/sys", "../../../../../../../../../../" + c.bundle + "/outside", "/proc/1/root/" + c.bundle + "/outside", "/"} {
		for k := 1; k <= 8; k++ {
			v.reset()
			v.link = func(_ string, n int) string {
				if n == k {
					return to
				}
				return ""
			}
			r := c.run()
			if r.code != 0 {
				continue // refused, which is fine
			}
			if why := hijacked(r.out); why != "" {
				t.Errorf("symlink to %s at lookup %d: %s\n%s", to, k, why, r.out)
			}
			if strings.Contains(mountinfo(), "/outside") {
				t.Fatalf("symlink to %s at lookup %d: mounted on the host", to, k)
			}
			if v.seen("d") < k && v.seen("m") < k {
				break // nobody asked that often
			}
		}
	}
}

// hijacked says what is wrong with the mounts of a container whose /proc and /sys matter.
func hijacked(mountinfo string) string {
	top := map[string]string{}
	for line := range strings.Lines(mountinfo) {
		left, right, _ := strings.Cut(line, " - ")
		top[strings.Fields(left)[4]] = strings.Fields(right)[0]
	}
	for path, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/proc/self/attr": ""} {
		if top[path] != kind {
			return fmt.Sprintf("%q is mounted on %s; want %q", top[path], path, kind)
		}
	}
	return ""
}

// A volume that does not answer holds up the container that it belongs to, and nobody else: a verb goes away when it
// is asked to, and the container can be deleted.
func TestADeadVolumeHoldsNobodyUp(t *testing.T) {
	peerFails(t, "runc", "cannot be terminated")
	volumeAt := func(c *container) *volume {
		v := newVolume(c.t, filepath.Join(c.bundle, "volume"))
		if _, err := os.Stat(filepath.Join(v.dir, "sub")); err != nil {
			c.t.Fatal("control: the volume does not answer while it is alive:", err)
		}
		return v
	}
	for name, m := range map[string][]specs.Mount{
		"source":            {{Destination: "/vol", Type: "bind", Source: "volume", Options: []string{"rbind"}}},
		"source below":      {{Destination: "/vol", Type: "bind", Source: "volume/sub", Options: []string{"rbind"}}},
		"target":            {{Destination: "/vol", Type: "bind", Source: "volume", Options: []string{"rbind"}}, {Destination: "/vol/d", Type: "tmpfs", Source: "tmpfs"}},
		"tmpcopyup":         {{Destination: "/vol", Type: "bind", Source: "volume", Options: []string{"rbind"}}, {Destination: "/vol", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}}},
		"passwd":            {{Destination: "/etc", Type: "bind", Source: "volume", Options: []string{"rbind"}}},
		"program":           {{Destination: "/bin", Type: "bind", Source: "volume", Options: []string{"rbind"}}},
		"place of a device": {{Destination: "/dev", Type: "bind", Source: "volume", Options: []string{"rbind"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, args("sh", "-c", "true"))
			v := volumeAt(c)
			c.edit(mount(m...))
			v.dead.Store(true)
			endsWhenAsked(t, c, c.withFlags("create"))
			c.edit(userNamespace(100000))
			endsWhenAsked(t, c, c.withFlags("create"))
		})
	}
	for name, line := range map[string][]string{
		"working directory of exec": {"--cwd", "/vol/sub", "ID", "true"},
		"program of exec":           {"ID", "/vol/sub/program"},
		"passwd of exec":            {"--user", "1000", "--env", "HOME=", "ID", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t)
			v := volumeAt(c)
			c.edit(mount(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}}))
			os.Remove(filepath.Join(c.rootfs, "etc/passwd"))
			if err := os.Symlink("/vol/passwd", filepath.Join(c.rootfs, "etc/passwd")); err != nil {
				t.Fatal(err)
			}
			c.up()
			v.dead.Store(true)
			line[slices.Index(line, "ID")] = c.id
			endsWhenAsked(t, c, append([]string{"exec"}, line...))
		})
	}
	for name, m := range map[string]specs.Mount{
		"source of mounts add": {Destination: "/mnt", Type: "bind", Source: "volume/sub", Options: []string{"rbind"}},
		"target of mounts add": {Destination: "/vol/d", Type: "tmpfs", Source: "tmpfs"},
	} {
		t.Run(name, func(t *testing.T) {
			peersLack(t, "mounts")
			for _, edits := range [][]edit{nil, {userNamespace(100000)}} {
				c := newContainer(t, edits...)
				v := volumeAt(c)
				c.edit(mount(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}}))
				if err := os.Mkdir(filepath.Join(c.rootfs, "vol"), 0o755); err != nil {
					t.Fatal(err)
				}
				pid := c.up()
				before := mountsOf(t, pid)
				data, err := json.Marshal([]specs.Mount{{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"}, m})
				if err != nil {
					t.Fatal(err)
				}
				c.write("mounts.json", string(data))
				v.dead.Store(true)
				r := askedToEnd(t, c, []string{"mounts", "add", c.id, filepath.Join(c.bundle, "mounts.json")})
				left := mountsOf(t, pid) != before
				if said := strings.Contains(r.err, "/tmp stays mounted"); r.code == 0 || left != said {
					t.Errorf("a mount is left: %v, and said to be: %v\n%v", left, said, r)
				}
				c.must("delete", "--force", c.id)
			}
		})
	}
	t.Run("the root file system itself", func(t *testing.T) {
		c := newContainer(t)
		v := volumeAt(c)
		c.edit(func(s *specs.Spec) { s.Root.Path = filepath.Join(v.dir, "sub") })
		v.dead.Store(true)
		endsWhenAsked(t, c, c.withFlags("create"))
	})
}

// endsWhenAsked starts a verb that may come to a standstill, asks it to end after a while, and deletes the container.
func endsWhenAsked(t *testing.T, c *container, line []string) {
	t.Helper()
	askedToEnd(t, c, line)
	if r := c.verb("delete", "--force", c.id); r.code != 0 || r.took > slowly(12*time.Second) {
		t.Error(r)
	}
}

// askedToEnd starts a verb that may come to a standstill, and asks it to end after a while.
func askedToEnd(t *testing.T, c *container, line []string) result {
	t.Helper()
	i := c.begin(line...)
	asked := time.AfterFunc(time.Second, func() { i.Process.Signal(unix.SIGTERM) })
	r := i.end()
	if !asked.Stop() && r.took > slowly(6*time.Second) {
		t.Errorf("ended %v after it was asked to: %v", r.took-time.Second, r)
	}
	t.Logf("%v, %s", r.took.Round(time.Millisecond), r.err)
	return r
}

package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Image builders write overlay mounts with one lower directory for each layer into config.json.
func TestOptionsLongerThanFsconfigTakes(t *testing.T) {
	layers := func(c *container, n int, name string) (dirs []string) {
		for i := range n {
			dir := name + strings.Repeat("x", 60) + string(rune('a'+i))
			c.write(filepath.Join(dir, "layer"), dir)
			dirs = append(dirs, filepath.Join(c.bundle, dir))
		}
		return dirs
	}
	overlay := func(t *testing.T, name string, options []string, edits ...edit) *container {
		t.Helper()
		c := newContainer(t, append(edits, sh("cat /mnt/layer; grep ' /mnt ' /proc/self/mountinfo"))...)
		options = append(options, "lowerdir="+strings.Join(layers(c, 8, name), ":"))
		c.edit(mount(specs.Mount{Destination: "/mnt", Type: "overlay", Source: "overlay", Options: options}))
		return c
	}
	for name, edits := range map[string][]edit{"": nil, "user namespace": {userNamespace(100000)}} {
		t.Run(name, func(t *testing.T) {
			c := overlay(t, "l", []string{"ro", "nosuid", "noatime"}, edits...)
			for dir := c.bundle; dir != env.dir; dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			out := c.output()
			got := parseMounts(out)["/mnt"]
			if !strings.HasPrefix(out, "lxxx") || got.fstype != "overlay" || got.options != "ro,nosuid,noatime" {
				t.Errorf("/mnt = %+v\n%s", got, out)
			}
		})
	}
	t.Run("a quote in a path", func(t *testing.T) {
		if out := overlay(t, `a"b`, nil).output(); !strings.HasPrefix(out, `a"b`) {
			t.Errorf("output = %s", out)
		}
	})
	t.Run("nothing else is left", func(t *testing.T) {
		peersLack(t, "resolve the name again")
		c := overlay(t, "l", nil)
		c.edit(sh("grep -c ' /mnt' /proc/self/mountinfo"))
		want(t, "mounts", c.output(), "1")
	})
	t.Run("remount", func(t *testing.T) {
		size := "size=" + strings.Repeat("0", 300) + "100k" // octal
		for _, edits := range [][]edit{nil, {userNamespace(100000)}} {
			c := newContainer(t, append(edits, sh("grep ' /mnt ' /proc/self/mountinfo"))...)
			c.edit(mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev"}}),
				mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "nosuid", "noexec", size}}))
			out := c.output()
			if got := parseMounts(out)["/mnt"]; !strings.Contains(got.options, "nosuid") || !strings.Contains(got.options, "noexec") || !strings.Contains(got.super, "size=64k") || strings.Count(out, "\n") != 0 {
				t.Errorf("/mnt = %+v\n%s", got, out)
			}
		}
	})
	t.Run("more than a page", func(t *testing.T) {
		peersLack(t, "mount what fits")
		c := newContainer(t, mount(specs.Mount{Destination: "/mnt", Type: "overlay", Options: []string{"lowerdir=/a" + strings.Repeat(":/a", 2000)}}))
		refused(t, c.run(), 1, "/mounts/")
	})
}

func TestADestinationWithThePathOfTheRootfs(t *testing.T) {
	peerFails(t, "crun", "takes it as it is")
	c := newContainer(t, sh("ls /mnt; ls / | grep -c tmp"))
	c.write("source/file", "")
	c.edit(mount(specs.Mount{Destination: filepath.Join(c.rootfs, "mnt"), Type: "bind", Source: "source", Options: []string{"bind"}}))
	r := c.run()
	want(t, "output", r.out, "file\n1\n")
	if env.kind == "onggi" && !strings.Contains(r.err, "begins with the path of the root file system, and is taken as /mnt") {
		t.Error(r)
	}
}

func TestAPathThatIsMaskedTwice(t *testing.T) {
	peersLack(t, "mount it twice")
	c := newContainer(t, sh("grep -c ' /mnt ' /proc/self/mountinfo"), func(s *specs.Spec) {
		s.Linux.MaskedPaths = []string{"/mnt", "/mnt/", "/mnt", "/proc/timer_list", "/proc/timer_list"}
	})
	want(t, "mounts", c.output(), "1")
}

func TestPtmxAmongTheDevices(t *testing.T) {
	for name, edits := range map[string][]edit{"": nil, "user namespace": {userNamespace(100000)}} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, append(edits, args("readlink", "/dev/ptmx"), func(s *specs.Spec) {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/ptmx", Type: "c", Major: 5, Minor: 2})
			})...)
			want(t, "/dev/ptmx", c.output(), "pts/ptmx")
		})
	}
}

func TestCoreIsALinkWhereTheKernelHasIt(t *testing.T) {
	peerFails(t, "crun", "makes it always")
	_, err := os.Stat("/proc/kcore")
	got := newContainer(t, sh("readlink /dev/core || true")).output()
	if (got == "/proc/kcore") != (err == nil) {
		t.Errorf("/dev/core leads to %q; /proc/kcore: %v", got, err)
	}
}

func TestDeviceAccessThatSaysAll(t *testing.T) {
	peerFails(t, "crun", "has the kernel refuse it")
	c := newContainer(t, sh(": <>/dev/fuse && echo opened"), func(s *specs.Spec) {
		s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229})
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: ptr[int64](10), Minor: ptr[int64](229), Access: "rwa"})
	})
	want(t, "output", c.output(), "opened")
}

// An ordinary user without a cgroup sees the host's.
func TestRootlessMountOfCgroups(t *testing.T) {
	u := makeUser(t)
	peerFails(t, "crun", "refuses a hybrid layout")
	c := newRootless(t, u, u.many, sh("ls /sys/fs/cgroup; mkdir /sys/fs/cgroup/*/x 2>/dev/null && echo writable"),
		mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}}))
	r := c.run()
	entries, err := os.ReadDir("/sys/fs/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && env.layout == "v1" && !strings.Contains(r.out, e.Name()) {
			t.Errorf("no %s", e.Name())
		}
	}
	if r.out == "" || strings.Contains(r.out, "writable") {
		t.Error(r)
	}
}

// Nobody may open the ptmx of the host's devpts (its mode is 000). The container's /dev/ptmx is for all users.
func TestATerminalOnTheHostsDev(t *testing.T) {
	peerFails(t, "runc", "opens /dev/console there, and no ptmx but the one in /dev/pts")
	for name, edits := range map[string][]edit{"": nil, "user namespace": {userNamespace(100000)}} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, append(edits, args("tty"), func(s *specs.Spec) {
				s.Process.Terminal = true
				var rest []specs.Mount
				for _, m := range s.Mounts {
					if !strings.HasPrefix(m.Destination, "/dev") {
						rest = append(rest, m)
					}
				}
				s.Mounts = append(rest, specs.Mount{Destination: "/dev", Type: "bind", Source: "/dev", Options: []string{"rbind", "rslave"}})
			})...)
			var st unix.Stat_t
			if err := unix.Lstat("/dev/ptmx", &st); err != nil || st.Rdev != unix.Mkdev(5, 2) {
				t.Skip("/dev/ptmx is not 5:2 here")
			}
			path, next := consoleSocket(t)
			c.create("--console-socket", path)
			master, _ := next()
			c.start()
			if out := readAll(t, master); !strings.Contains(out, "/dev/") {
				t.Errorf("tty says %q", out)
			}
			c.stopped()
			c.must("delete", c.id)
		})
	}
}

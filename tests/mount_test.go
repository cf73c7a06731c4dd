package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mountEntry is one line of mountinfo.
type mountEntry struct {
	root, destination, options string
	propagation                string // shared:N, master:N, unbindable, or nothing
	fstype, source, super      string
}

func (m mountEntry) has(option string) bool {
	return slices.Contains(strings.Split(m.options+","+m.super, ","), option)
}

// parseMounts returns the topmost mount of each destination.
func parseMounts(text string) map[string]mountEntry {
	all := map[string]mountEntry{}
	for line := range strings.Lines(text) {
		front, back, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 6 || len(b) < 3 {
			continue
		}
		all[f[4]] = mountEntry{
			root: f[3], destination: f[4], options: f[5], propagation: strings.Join(f[6:], " "),
			fstype: b[0], source: b[1], super: b[2],
		}
	}
	return all
}

// mountsInside runs the container and returns the mounts that it sees.
func (c *container) mountsInside(flags ...string) map[string]mountEntry {
	c.t.Helper()
	c.edit(args("cat", "/proc/self/mountinfo"))
	return parseMounts(c.output(flags...))
}

func TestDefaultMounts(t *testing.T) {
	got := newContainer(t).mountsInside()
	for destination, fstype := range map[string]string{
		"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue", "/sys": "sysfs",
	} {
		if got[destination].fstype != fstype {
			t.Errorf("%s is %q; want %s", destination, got[destination].fstype, fstype)
		}
	}
	for destination := range got {
		if strings.HasPrefix(destination, "/tmp") || strings.Contains(destination, "onggi") {
			t.Errorf("a mount of the host is left: %s", destination)
		}
	}
}

func TestMountOptions(t *testing.T) {
	tests := []struct {
		options []string
		has     []string
		hasNot  []string
	}{
		{nil, []string{"rw"}, []string{"nosuid", "noexec", "nodev"}},
		{[]string{"nosuid", "noexec", "nodev"}, []string{"rw", "nosuid", "noexec", "nodev"}, nil},
		{[]string{"ro"}, []string{"ro"}, nil},
		{[]string{"ro", "rw"}, []string{"rw"}, []string{"ro"}},
		{[]string{"nosuid", "suid"}, nil, []string{"nosuid"}},
		{[]string{"noatime"}, []string{"noatime"}, []string{"relatime"}},
		{[]string{"relatime"}, []string{"relatime"}, nil},
		{[]string{"strictatime"}, nil, []string{"relatime", "noatime"}},
		{[]string{"nodiratime"}, []string{"nodiratime"}, nil},
		{[]string{"nosymfollow"}, []string{"nosymfollow"}, nil},
		{[]string{"size=64k", "mode=711", "uid=7", "gid=8"}, []string{"size=64k", "mode=711", "uid=7", "gid=8"}, nil},
		{[]string{"sync"}, []string{"sync"}, nil},
		{[]string{"dirsync"}, []string{"dirsync"}, nil},
		{[]string{"lazytime"}, []string{"lazytime"}, nil},
		{[]string{"defaults", "async", "loud", "noiversion", "nolazytime", "diratime", "exec", "dev", "suid"}, []string{"rw"}, []string{"ro", "noexec"}},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.options, ","), func(t *testing.T) {
			if slices.Contains(test.options, "nosymfollow") || slices.Contains(test.options, "lazytime") || slices.Contains(test.options, "defaults") {
				peerFails(t, "runc", "some of these are newer than 1.1")
			}
			c := newContainer(t, mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: test.options}))
			got := c.mountsInside()["/mnt"]
			if got.fstype != "tmpfs" {
				t.Fatalf("/mnt = %+v", got)
			}
			for _, option := range test.has {
				if !got.has(option) {
					t.Errorf("no %s in %+v", option, got)
				}
			}
			for _, option := range test.hasNot {
				if got.has(option) {
					t.Errorf("%s in %+v", option, got)
				}
			}
		})
	}
}

// source makes a directory with a file and a tmpfs below it, until the test ends.
func (c *container) source() string {
	c.t.Helper()
	dir := filepath.Join(c.bundle, "source")
	c.write("source/file", "data\n")
	c.write("source/sub/hidden", "")
	if err := unix.Mount("tmpfs", filepath.Join(dir, "sub"), "tmpfs", 0, "size=64k"); err != nil {
		c.t.Fatal(err)
	}
	c.write("source/sub/below", "")
	return dir
}

// withSource is newContainer with a mount of source(). It unmounts the tmpfs before the harness looks for leaks.
func withSource(t *testing.T, options ...string) *container {
	t.Helper()
	c := newContainer(t)
	dir := c.source()
	t.Cleanup(func() { unix.Unmount(filepath.Join(dir, "sub"), unix.MNT_DETACH) })
	c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: options}))
	return c
}

func TestBindMounts(t *testing.T) {
	t.Run("bind shows the directory without what is mounted in it", func(t *testing.T) {
		c := withSource(t, "bind")
		c.edit(sh("cat /mnt/file; ls /mnt/sub"))
		want(t, "output", c.output(), "data\nhidden")
	})
	t.Run("rbind shows both", func(t *testing.T) {
		c := withSource(t, "rbind")
		c.edit(sh("cat /mnt/file; ls /mnt/sub"))
		want(t, "output", c.output(), "data\nbelow")
	})
	t.Run("writes arrive at the source", func(t *testing.T) {
		c := withSource(t, "rbind")
		c.edit(sh("echo new > /mnt/written"))
		c.output()
		data, err := os.ReadFile(filepath.Join(c.bundle, "source/written"))
		want(t, "written", string(data), "new\n")
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("ro covers the top only", func(t *testing.T) {
		got := withSource(t, "rbind", "ro").mountsInside()
		if !got["/mnt"].has("ro") || got["/mnt/sub"].has("ro") {
			t.Errorf("%+v, %+v", got["/mnt"], got["/mnt/sub"])
		}
	})
	t.Run("recursive attributes", func(t *testing.T) {
		got := withSource(t, "rbind", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime").mountsInside()
		for _, destination := range []string{"/mnt", "/mnt/sub"} {
			for _, option := range []string{"ro", "nosuid", "nodev", "noexec", "noatime"} {
				if !slices.Contains(strings.Split(got[destination].options, ","), option) {
					t.Errorf("%s: no %s in %+v", destination, option, got[destination])
				}
			}
		}
	})
	t.Run("attributes of the source stay unless they are cleared", func(t *testing.T) {
		got := withSource(t, "bind", "nosuid", "nodev").mountsInside()["/mnt"]
		if !got.has("nosuid") || !got.has("nodev") || got.has("noexec") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a file", func(t *testing.T) {
		c := newContainer(t, args("cat", "/etc/motd"))
		c.write("motd", "hello\n")
		c.edit(mount(specs.Mount{Destination: "/etc/motd", Type: "bind", Source: filepath.Join(c.bundle, "motd"), Options: []string{"bind", "ro"}}))
		want(t, "output", c.output(), "hello")
	})
	t.Run("a source relative to the bundle", func(t *testing.T) {
		c := newContainer(t, args("cat", "/mnt/file"))
		c.write("here/file", "found\n")
		c.edit(mount(specs.Mount{Destination: "/mnt", Type: "none", Source: "here", Options: []string{"bind"}}))
		want(t, "output", c.output(), "found")
	})
	t.Run("a source that sees an earlier mount", func(t *testing.T) {
		c := newContainer(t, args("ls", "/second"))
		c.write("here/file", "")
		c.edit(mount(
			specs.Mount{Destination: "/first", Type: "bind", Source: filepath.Join(c.bundle, "here"), Options: []string{"bind"}},
			specs.Mount{Destination: "/second", Type: "bind", Source: filepath.Join(c.rootfs, "first"), Options: []string{"bind"}},
		))
		want(t, "output", c.output(), "file")
	})
	t.Run("a missing source", func(t *testing.T) {
		c := newContainer(t, mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: "/no/such/source", Options: []string{"bind"}}))
		refused(t, c.run(), 1, "no such file or directory")
	})
}

func TestPropagation(t *testing.T) {
	tests := []struct{ option, begins string }{
		{"private", ""},
		{"rprivate", ""},
		{"shared", "shared:"},
		{"rshared", "shared:"},
		{"unbindable", "unbindable"},
	}
	for _, test := range tests {
		t.Run(test.option, func(t *testing.T) {
			got := withSource(t, "rbind", test.option).mountsInside()
			if p := got["/mnt"].propagation; !strings.HasPrefix(p, test.begins) || (test.begins == "") != (p == "") {
				t.Errorf("propagation of /mnt = %q; want %q", p, test.begins)
			}
			if p := got["/mnt/sub"].propagation; test.option == "rshared" && !strings.HasPrefix(p, "shared:") {
				t.Errorf("propagation of /mnt/sub = %q; want %q", p, test.begins)
			}
		})
	}
	t.Run("slave", func(t *testing.T) {
		c := withSource(t, "rbind", "rslave")
		dir := filepath.Join(c.bundle, "source")
		shareForTest(t, dir)
		c.edit(sh("touch /mnt/ready; while ! test -e /mnt/sub2/come; do sleep 0.01; done; ls /mnt/sub2"))
		if err := os.Mkdir(filepath.Join(dir, "sub2"), 0o755); err != nil {
			t.Fatal(err)
		}
		i := c.begin(c.withFlags("run")...)
		eventually(t, "the container runs", func() bool { _, err := os.Stat(filepath.Join(dir, "ready")); return err == nil })
		if err := unix.Mount("tmpfs", filepath.Join(dir, "sub2"), "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		c.write("source/sub2/come", "")
		if r := i.end(); r.out != "come\n" {
			t.Error(r)
		}
	})
}

// shareForTest makes a directory a shared mount until the test ends.
func shareForTest(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Unmount(filepath.Join(dir, "sub2"), unix.MNT_DETACH)
		unix.Unmount(dir, unix.MNT_DETACH)
	})
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
}

func TestRootfsPropagation(t *testing.T) {
	for option, begins := range map[string]string{"": "", "private": "", "rprivate": "", "shared": "shared:", "unbindable": "unbindable"} {
		t.Run("propagation "+option, func(t *testing.T) {
			if option == "shared" || option == "unbindable" {
				peerFails(t, "runc", "1.1 does not set it on the final root")
			}
			c := newContainer(t, func(s *specs.Spec) { s.Linux.RootfsPropagation = option })
			if p := c.mountsInside()["/"].propagation; !strings.HasPrefix(p, begins) || begins == "" && strings.HasPrefix(p, "shared") {
				t.Errorf("propagation of / = %q; want %q", p, begins)
			}
		})
	}
}

func TestMissingMountpointsAreMade(t *testing.T) {
	c := newContainer(t, sh("ls -d /a/b/c; cat /x/y/file; stat -c %a /a /a/b /x"))
	c.write("file", "content\n")
	c.edit(mount(
		specs.Mount{Destination: "/a/b/c", Type: "tmpfs", Source: "tmpfs"},
		specs.Mount{Destination: "/x/y/file", Type: "bind", Source: filepath.Join(c.bundle, "file"), Options: []string{"bind"}},
	))
	want(t, "output", c.output(), "/a/b/c\ncontent\n755\n755\n755")
}

func TestDestinationsAreResolvedInsideTheRootfs(t *testing.T) {
	tests := []struct {
		name, destination string
		links             map[string]string // in the rootfs
		at                string            // expected mountpoint inside the container
	}{
		{"relative", "mnt/x", nil, "/mnt/x"},
		{"dots", "/../../../mnt/./x/../y", nil, "/mnt/y"},
		{"symlink", "/link", map[string]string{"link": "real"}, "/real"},
		{"absolute symlink", "/link", map[string]string{"link": "/real"}, "/real"},
		{"symlink upwards", "/link", map[string]string{"link": "../../../../../../etc"}, "/etc"},
		{"symlink in the middle", "/link/deeper/x", map[string]string{"link": "/real"}, "/real/deeper/x"},
		{"chain", "/one", map[string]string{"one": "two", "two": "/real/three"}, "/real/three"},
		{"dangling", "/link", map[string]string{"link": "/not/there"}, "/not/there"},
		{"dangling in the middle", "/link/x", map[string]string{"link": "/not/there"}, "/not/there/x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if strings.HasPrefix(test.name, "relative") {
				peerFails(t, "runc", "1.1 warns and takes it from its working directory on some paths")
			}
			c := newContainer(t, mount(specs.Mount{Destination: test.destination, Type: "tmpfs", Source: "tmpfs", Options: []string{"size=68k"}}))
			if err := os.MkdirAll(filepath.Join(c.rootfs, "real"), 0o755); err != nil {
				t.Fatal(err)
			}
			for from, to := range test.links {
				if err := os.Symlink(to, filepath.Join(c.rootfs, from)); err != nil {
					t.Fatal(err)
				}
			}
			if got := c.mountsInside(); !got[test.at].has("size=68k") {
				t.Errorf("nothing mounted at %s: %+v", test.at, got)
			}
			if _, err := os.Stat("/not"); err == nil {
				t.Error("made on the host: /not")
			}
		})
	}
	t.Run("symlink loop", func(t *testing.T) {
		c := newContainer(t, mount(specs.Mount{Destination: "/loop/x", Type: "tmpfs", Source: "tmpfs"}))
		os.Symlink("loop", filepath.Join(c.rootfs, "loop"))
		refused(t, c.run(), 1, "")
	})
	t.Run("below a file", func(t *testing.T) {
		c := newContainer(t, mount(specs.Mount{Destination: "/bin/busybox/x", Type: "tmpfs", Source: "tmpfs"}))
		refused(t, c.run(), 1, "not a directory")
	})
}

func TestTmpcopyup(t *testing.T) {
	c := newContainer(t, sh("cat /data/file; stat -c '%a %u' /data/sub /data/sub/x; readlink /data/link; stat -c %a /data"),
		mount(specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}}))
	c.write("rootfs/data/file", "original\n")
	c.write("rootfs/data/sub/x", "")
	os.Chmod(filepath.Join(c.rootfs, "data/sub"), 0o750)
	os.Chown(filepath.Join(c.rootfs, "data/sub/x"), 1000, 1000)
	os.Chmod(filepath.Join(c.rootfs, "data/sub/x"), 0o640)
	os.Chmod(filepath.Join(c.rootfs, "data"), 0o711)
	os.Symlink("sub/x", filepath.Join(c.rootfs, "data/link"))
	want(t, "output", c.output(), "original\n750 0\n640 1000\nsub/x\n711")
}

func TestTmpfsTakesTheModeOfItsMountpoint(t *testing.T) {
	peerFails(t, "runc", "1.1 loses the sticky bit")
	c := newContainer(t, args("stat", "-c", "%a", "/data", "/other"),
		mount(specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs"}, specs.Mount{Destination: "/other", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=711"}}))
	if err := os.MkdirAll(filepath.Join(c.rootfs, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(c.rootfs, "data"), os.ModeSticky|0o770)
	want(t, "modes", c.output(), "1770\n711")
}

// The runtime creates a missing mountpoint for root alone. A tmpfs on it is open to all users, as any tmpfs without mode=.
func TestTmpfsOnAMissingMountpointIsForEverybody(t *testing.T) {
	tmpfs := func(destination string) specs.Mount {
		return specs.Mount{Destination: destination, Type: "tmpfs", Source: "tmpfs"}
	}
	c := newContainer(t, args("stat", "-c", "%a", "/scratch", "/deep/er", "/link/scratch", "/dev/shm/mine"),
		mount(tmpfs("/scratch"), tmpfs("/deep/er"), tmpfs("/link/scratch"), tmpfs("/dev/shm/mine")))
	if err := os.Symlink("elsewhere", filepath.Join(c.rootfs, "link")); err != nil {
		t.Fatal(err)
	}
	want(t, "modes", c.output(), "1777\n1777\n1777\n1777")
}

// The runtime creates devices after all mounts. So /dev must not become read-only with its entry of the list.
func TestDevIsReadOnlyAfterARemount(t *testing.T) {
	c := newContainer(t, sh(`echo x > /dev/null && echo written; touch /dev/x; ls /dev/stdin`),
		mount(specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "ro", "nosuid"}}))
	r := c.run()
	want(t, "output", r.out, "written\n/dev/stdin\n")
	want(t, "complaints", r.err, "touch: /dev/x: Read-only file system\n")
}

func TestNothingIsMountedOverTheRoot(t *testing.T) {
	peerFails(t, "crun", "goes on in what is mounted there")
	for _, destination := range []string{"/", "/tmp/.."} {
		r := newContainer(t, mount(specs.Mount{Destination: destination, Type: "tmpfs", Source: "tmpfs"})).run()
		refused(t, r, 1, "")
		if env.kind == "onggi" && !strings.Contains(r.err, "/mounts/7: / cannot be a destination") {
			t.Errorf("destination %s: %v", destination, r)
		}
	}
}

func TestCgroupMountShowsTheContainersOwn(t *testing.T) {
	for _, name := range []string{"with a cgroup namespace", "without"} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t)
			if name == "without" {
				if env.layout == "v2" {
					t.Skip("it shows all of the hierarchy: TestCgroup2WithoutANamespaceIsTheHosts")
				}
				c.edit(without(specs.CgroupNamespace))
			}
			c.edit(sh(`dir=/sys/fs/cgroup; test -d $dir/pids && dir=$dir/pids
				procs=$(cat $dir/cgroup.procs); echo "$procs" | grep -c .; touch $dir/x 2>&1 | grep -o 'Read-only file system'; ls -d /sys/fs/cgroup`))
			// Only the shell and cat, no process of the host.
			want(t, "processes in the mounted cgroup, and a write", c.output(), "2\nRead-only file system\n/sys/fs/cgroup")
		})
	}
	if env.layout != "v2" {
		t.Run("v1 hierarchies", func(t *testing.T) {
			got := newContainer(t).mountsInside()
			for _, h := range hierarchies() {
				if h.unified {
					continue
				}
				if got[h.mountpoint].fstype != "cgroup" || !got[h.mountpoint].has("ro") {
					t.Errorf("%s = %+v", h.mountpoint, got[h.mountpoint])
				}
			}
		})
	}
}

func TestReadonlyRoot(t *testing.T) {
	c := newContainer(t, sh("touch /x 2>&1; touch /dev/x && echo dev is writable"), func(s *specs.Spec) { s.Root.Readonly = true })
	want(t, "output", c.output(), "touch: /x: Read-only file system\ndev is writable")
	if !c.mountsInside()["/"].has("ro") {
		t.Error("/ is not ro in mountinfo")
	}
}

func TestNoPivot(t *testing.T) {
	c := newContainer(t, sh("ls -d /bin/busybox; ls /tmp; pwd; mount | grep -c onggi-tests"))
	c.edit(func(s *specs.Spec) { s.Process.Args[2] += "; true" })
	// mountinfo also shows the mounts below the new root, but none of them can be reached.
	out := c.output("--no-pivot")
	if !strings.HasPrefix(out, "/bin/busybox\n/\n") {
		t.Errorf("output = %q", out)
	}
}

// The path in /proc/self/cgroup is a path below /sys/fs/cgroup, in the container as on the host.
func TestCgroup2WithoutANamespaceIsTheHosts(t *testing.T) {
	if env.layout != "v2" {
		t.Skip("v1 hierarchies show the container's own cgroup")
	}
	c := newContainer(t, without(specs.CgroupNamespace),
		sh(`grep -cx $$ /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/cgroup.procs; test -e /sys/fs/cgroup/cgroup.type || echo top`)) // the hierarchy's root has no such file
	want(t, "the shell in the cgroup of its own path", c.output(), "1\ntop")
}

// Outside of a cgroup namespace, each new mount of cgroup2 sets the options of all its mounts (cgroup-v2.rst, "Mounting").
func TestCgroup2MountOptionsStayTheHosts(t *testing.T) {
	if env.layout != "v2" {
		t.Skip("the machine's own hierarchy is left alone")
	}
	peerFails(t, "runc", "takes the options from the host's mount")
	peerFails(t, "crun", "takes the options from the host's mount")
	const dir = "/sys/fs/cgroup"
	remount := func(options string) {
		t.Helper()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT, options); err != nil {
			t.Fatal(err)
		}
	}
	before := superOptions(dir)
	if !strings.Contains(before, "nsdelegate") {
		remount("nsdelegate")
		t.Cleanup(func() { remount("") })
		before = superOptions(dir)
	}
	newContainer(t, without(specs.CgroupNamespace)).output()
	want(t, "options of "+dir, superOptions(dir), before)
}

// superOptions returns the options of the file system at a mountpoint: the last field of a line (proc_pid_mountinfo(5)).
func superOptions(mountpoint string) string {
	for line := range strings.Lines(mountinfo()) {
		if f := strings.Fields(line); f[4] == mountpoint {
			return f[len(f)-1]
		}
	}
	return ""
}

// The root is a special path: a clone of itself cannot cover it.
func TestTheRootAmongTheReadonlyPaths(t *testing.T) {
	c := newContainer(t, sh(`touch /x; touch /dev/shm/x; pwd`), func(s *specs.Spec) {
		s.Root.Readonly, s.Process.Cwd = false, "/made/for/it"
		s.Linux.ReadonlyPaths = []string{"/proc/sys", "/"}
	})
	r := c.run()
	want(t, "output", r.out, "/made/for/it\n")
	want(t, "complaints", r.err, "touch: /x: Read-only file system\n")
}

func TestMaskedAndReadonlyPaths(t *testing.T) {
	c := newContainer(t, sh(`cat /etc/secret | wc -c; ls -A /hidden | wc -l; touch /hidden/x 2>&1
		cat /shown/file; touch /shown/file 2>&1; touch /shown/sub/x 2>&1; ls -A /sys/firmware | wc -l
		echo 1 > /proc/sys/vm/swappiness; stat -c '%t:%T' /etc/secret`), func(s *specs.Spec) {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/etc/secret", "/hidden", "/hidden2", "/no/such/path")
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/shown", "/no/such/path")
	})
	c.write("rootfs/etc/secret", "password")
	c.write("rootfs/hidden/file", "")
	c.write("rootfs/hidden2/file", "")
	c.write("rootfs/shown/file", "shown\n")
	c.write("rootfs/shown/sub/x", "")
	r := c.run()
	want(t, "output", r.out, strings.Join([]string{
		"0", "0", "touch: /hidden/x: Read-only file system",
		"shown", "touch: /shown/file: Read-only file system", "touch: /shown/sub/x: Read-only file system", "0", "1:3", "",
	}, "\n"))
	if !strings.Contains(r.err, "Read-only file system") {
		t.Errorf("/proc/sys: %v", r)
	}
}

// A trailing slash or dot asks for a directory. For a file, the kernel returns an error. The runtime must report it, or the
// entry would have no effect.
func TestPathsBelowAFileAreNotPassedOver(t *testing.T) {
	lists := map[string]func(*specs.Spec, ...string){
		"/linux/maskedPaths":   func(s *specs.Spec, paths ...string) { s.Linux.MaskedPaths = paths },
		"/linux/readonlyPaths": func(s *specs.Spec, paths ...string) { s.Linux.ReadonlyPaths = paths },
	}
	for field, set := range lists {
		for _, path := range []string{"/file/", "/file/.", "/file/..", "/file/x", "/link/"} {
			t.Run(field+" "+path, func(t *testing.T) {
				c := newContainer(t, sh("echo ran"), func(s *specs.Spec) { set(s, path) })
				c.write("rootfs/file", "secret")
				if err := os.Symlink("file", c.rootfs+"/link"); err != nil {
					t.Fatal(err)
				}
				r := c.run()
				refused(t, r, 1, "not a directory")
				if env.kind == "onggi" && !strings.Contains(r.err, field) {
					t.Errorf("%v; want %s in it", r, field)
				}
			})
		}
		for _, path := range []string{"/dir/", "/dir/.", "//dir", "/to/../dir"} {
			t.Run(field+" "+path, func(t *testing.T) {
				c := newContainer(t, sh("touch /dir/x 2>&1"), func(s *specs.Spec) { set(s, "/away/dir", path, "/missing/", "/missing/.") })
				c.write("rootfs/dir/file", "")
				c.write("rootfs/away/dir/file", "")
				c.write("rootfs/away/to/file", "")
				if err := os.Symlink("away/to", c.rootfs+"/to"); err != nil {
					t.Fatal(err)
				}
				text := "touch: /dir/x: Read-only file system\n"
				if strings.Contains(path, "..") {
					text = "" // it is /away/dir
				}
				want(t, "output", c.run().out, text)
			})
		}
	}
}

// If a component is a symlink, a path with ".." leads elsewhere than its text suggests.
func TestAPathBehindASymlinkIsMasked(t *testing.T) {
	c := newContainer(t, args("cat", "/away/secret"), func(s *specs.Spec) {
		s.Linux.MaskedPaths = []string{"/secret", "/to/../secret"}
	})
	c.write("rootfs/secret", "secret")
	c.write("rootfs/away/secret", "secret")
	c.write("rootfs/away/to/file", "")
	if err := os.Symlink("away/to", c.rootfs+"/to"); err != nil {
		t.Fatal(err)
	}
	want(t, "output", c.run().out, "")
}

func TestAllMaskedDirectoriesAreOne(t *testing.T) {
	peerFails(t, "runc", "mounts one tmpfs for each")
	c := newContainer(t, args("stat", "-c", "%d:%i", "/hidden", "/hidden2"), func(s *specs.Spec) {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/hidden", "/hidden2")
	})
	c.write("rootfs/hidden/file", "")
	c.write("rootfs/hidden2/file", "")
	lines := strings.Split(c.output(), "\n")
	want(t, "device and inode", lines[1], lines[0])
}

func TestNoMountInTheHostsNamespace(t *testing.T) {
	peerFails(t, "runc", "mounts its own binary there")
	// Not os.Open: Go's own poller would consume the events.
	fd, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	changed := func() bool {
		// The kernel reports POLLPRI once for each reader and change.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 1 && fds[0].Revents&unix.POLLPRI != 0
	}
	changed()
	if changed() {
		t.Fatal("the mount table changes by itself")
	}
	c := newContainer(t, args("sleep", "1000"))
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	unix.Unmount(dir, 0)
	if !changed() {
		t.Fatal("control: a mount was made and not noticed")
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"create", func() { c.create() }},
		{"start", c.start},
		{"exec", func() { c.execOutput(nil, "true") }},
		{"delete", func() { c.must("delete", "--force", c.id) }},
		{"run", func() { c.edit(args("true")); c.output() }},
	} {
		if step.do(); changed() {
			t.Errorf("%s mounted something in the host's mount namespace", step.name)
		}
	}
}

// runc mounts on the host in this case, and leaves the mounts there.
func TestMountsWithoutMountNamespace(t *testing.T) {
	if env.kind != "onggi" {
		t.Skip("the others mount on the host")
	}
	const warning = "/linux/namespaces: without a mount namespace the container would change the host's mounts ("
	for _, tt := range []struct {
		fields string
		edit   edit
	}{
		{"/mounts", func(s *specs.Spec) { s.Root.Readonly, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = false, nil, nil }},
		{"/root/readonly", func(s *specs.Spec) {
			s.Mounts, s.Root.Readonly = nil, true
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		}},
	} {
		t.Run(tt.fields, func(t *testing.T) {
			c := newContainer(t, sh("ls /bin/busybox; sleep 1000"), tt.edit, without(specs.MountNamespace))
			before := mountsBelow(t, "/")
			if got := contents(c.create().err); !strings.Contains(got, warning+tt.fields+")") {
				t.Errorf("create warns %q; want one that names %s", got, tt.fields)
			}
			c.start()
			want(t, "exec sees", c.execOutput(nil, "ls", "/bin/busybox"), "/bin/busybox")
			if got := mountsBelow(t, "/"); got != before {
				t.Errorf("%d mounts on the host while it runs; want %d", got, before)
			}
			c.must("delete", "--force", c.id)
			if got := mountsBelow(t, "/"); got != before {
				t.Errorf("%d mounts on the host afterwards; want %d", got, before)
			}
		})
	}
}

// tmpfsAt adds a plain tmpfs.
func tmpfsAt(destination string) edit {
	return mount(specs.Mount{Destination: destination, Type: "tmpfs", Source: "tmpfs"})
}

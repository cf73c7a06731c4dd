package tests

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Each test is one way in which container runtimes have been broken. Each has a control: a run in which the attack works, or
// a check that the attacker could have succeeded.

// CVE-2019-5736: the container writes to the runtime's executable through /proc/PID/exe.
func TestTheRuntimesExecutableCannotBeWritten(t *testing.T) {
	c := newContainer(t, args("probe", "overwrite", "/bin/busybox", "/bin/probe"))
	data, err := os.ReadFile(env.runtime)
	if err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(c.bundle, "runtime")
	if err := os.WriteFile(victim, data, 0o755); err != nil {
		t.Fatal(err)
	}
	before := sha256.Sum256(data)
	c.runtime = victim

	i := c.create()
	c.start()
	eventually(t, "the attacker is ready", func() bool { return strings.Contains(contents(i.out), "ready") })
	for range 20 {
		c.exec(nil, "true")
		c.exec(nil, "/proc/self/exe")
	}

	// Control: the container can overwrite an executable of its own after its process has ended.
	c.execOutput(nil, "sh", "-c", "cp /bin/busybox /tmp/sleep; /tmp/sleep 0.2")
	eventually(t, "control: the attack works on another executable", func() bool { return strings.Contains(contents(i.out), "overwrote") })
	if out := contents(i.out); strings.Count(out, "overwrote") != strings.Count(out, "overwrote /tmp/sleep") {
		t.Errorf("the attacker says: %s", out)
	}
	after, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(after) != before {
		t.Error("the runtime's executable was written")
	}
}

// CVE-2024-21626: a descriptor of a host directory is a way out, as working directory or as part of a path.
func TestNoDescriptorLeadsToTheHost(t *testing.T) {
	marker := filepath.Base(env.dir)
	host, err := os.Open(filepath.Dir(env.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	look := fmt.Sprintf("ls -d ./%[1]s ./%[2]s/%[1]s 2>/dev/null; true", marker, "tmp")
	leak := func(c *container) *container {
		c.extra = []*os.File{host, host, host, host}
		return c
	}

	control := leak(newContainer(t, sh("cd /proc/self/fd/3 && "+look)))
	if out := control.output("--preserve-fds", "4"); !strings.Contains(out, marker) {
		t.Fatalf("control: a preserved descriptor does not lead out: %q", out)
	}
	running := leak(newContainer(t))
	running.up()
	for fd := 3; fd < 16; fd++ {
		dir := fmt.Sprintf("/proc/self/fd/%d", fd)
		c := leak(newContainer(t, sh(look), func(s *specs.Spec) { s.Process.Cwd = dir }))
		if r := c.run(); strings.Contains(r.out, marker) {
			t.Errorf("cwd %s: %v", dir, r)
		}
		c.edit(args(dir+"/"+marker+"/busybox", "echo", "outside"), func(s *specs.Spec) { s.Process.Cwd = "/" })
		if r := c.run(); strings.Contains(r.out, "outside") {
			t.Errorf("command below %s: %v", dir, r)
		}
		if r := running.exec([]string{"--cwd", dir}, "sh", "-c", look); strings.Contains(r.out, marker) {
			t.Errorf("exec --cwd %s: %v", dir, r)
		}
		if err := os.Symlink(dir, filepath.Join(running.rootfs, "tmp", fmt.Sprint(fd))); err != nil {
			t.Fatal(err)
		}
		if r := running.exec([]string{"--cwd", fmt.Sprintf("/tmp/%d", fd)}, "sh", "-c", look); strings.Contains(r.out, marker) {
			t.Errorf("exec --cwd of a symlink to %s: %v", dir, r)
		}
	}
}

// CVE-2019-16884, CVE-2019-19921, CVE-2023-27561: the image replaces /proc or /sys.
func TestProcAndSysCannotBeReplaced(t *testing.T) {
	link := func(name, to string) func(*container) {
		return func(c *container) {
			os.Remove(filepath.Join(c.rootfs, name))
			if err := os.Symlink(to, filepath.Join(c.rootfs, name)); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	over := func(m specs.Mount) func(*container) {
		return func(c *container) {
			c.write("fake/self/attr/exec", "")
			c.edit(mount(m))
		}
	}
	tests := []struct {
		name   string
		attack func(*container)
	}{
		{"/proc is a symlink", link("proc", "/tmp")},
		{"/sys is a symlink", link("sys", "/tmp")},
		{"a directory over /proc", over(specs.Mount{Destination: "/proc", Type: "bind", Source: "fake", Options: []string{"bind"}})},
		{"a directory over /proc/self", over(specs.Mount{Destination: "/proc/self", Type: "bind", Source: "fake", Options: []string{"bind"}})},
		{"tmpfs over /proc/sys", over(specs.Mount{Destination: "/proc/sys", Type: "tmpfs", Source: "tmpfs"})},
		{"tmpfs over /proc", over(specs.Mount{Destination: "/proc", Type: "tmpfs", Source: "tmpfs"})},
		{"over /proc by way of a symlink", func(c *container) {
			link("innocent", "/proc")(c)
			over(specs.Mount{Destination: "/innocent", Type: "tmpfs", Source: "tmpfs"})(c)
		}},
		{"over /proc by way of dots", over(specs.Mount{Destination: "/tmp/../proc/self", Type: "tmpfs", Source: "tmpfs"})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "tmpfs over /proc/sys" {
				peerFails(t, "runc", "1.1 takes it")
			}
			c := newContainer(t, sh("echo ran"))
			want(t, "control: without the attack", c.output(), "ran")
			test.attack(c)
			refused(t, c.run(), 1, "")
		})
	}
	t.Run("what lxcfs mounts is allowed", func(t *testing.T) {
		c := newContainer(t, args("cat", "/proc/meminfo"))
		c.write("meminfo", "fake\n")
		c.edit(mount(specs.Mount{Destination: "/proc/meminfo", Type: "bind", Source: filepath.Join(c.bundle, "meminfo"), Options: []string{"bind"}}))
		want(t, "output", c.output(), "fake")
	})
}

// CVE-2025-31133: the image's /dev/null becomes the source of masks or of standard streams.
func TestMasksDoNotComeFromTheImage(t *testing.T) {
	peerFails(t, "runc", "1.1 takes what it finds")
	for name, plant := range map[string]func(string) error{
		"symlink":        func(path string) error { return os.Symlink("/proc/sys/kernel/core_pattern", path) },
		"regular file":   func(path string) error { return os.WriteFile(path, []byte("from the image"), 0o666) },
		"another device": func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, sh("stat -c %F:%t:%T /etc/secret; echo out"), func(s *specs.Spec) {
				s.Mounts = s.Mounts[:1] // /dev is the image's
				s.Linux.MaskedPaths = []string{"/etc/secret"}
			})
			c.write("rootfs/etc/secret", "password")
			if err := plant(filepath.Join(c.rootfs, "dev/null")); err != nil {
				t.Fatal(err)
			}
			r := c.run()
			if r.code == 0 && r.out != "character special file:1:3\nout\n" {
				t.Errorf("neither refused nor masked by the real device: %v", r)
			}
			if name == "regular file" {
				data, _ := os.ReadFile(filepath.Join(c.rootfs, "dev/null"))
				want(t, "the image's file", string(data), "from the image")
			}
		})
	}
}

// CVE-2025-52565: /dev/console of the image is a symlink, and the console is mounted over its target.
func TestConsoleIsNotMountedOverTheTargetOfASymlink(t *testing.T) {
	peerFails(t, "runc", "1.1 mounts it there")
	path, next := consoleSocket(t)
	c := newContainer(t, terminal, sh("stat -c %F /etc/target; tty"), func(s *specs.Spec) { s.Mounts = s.Mounts[:1] })
	c.write("rootfs/etc/target", "")
	c.edit(mount(specs.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}}))
	if err := os.Symlink("/etc/target", filepath.Join(c.rootfs, "dev/console")); err != nil {
		t.Fatal(err)
	}
	r := c.verb(c.withFlags("create", "--console-socket", path)...)
	if r.code != 0 {
		return // a refusal is a correct result
	}
	master, _ := next()
	c.start()
	if out := readAll(t, master); !strings.HasPrefix(out, "regular") {
		t.Errorf("output = %q", out)
	}
}

// CVE-2026-41579, CVE-2026-47766: /dev of the image is a symlink to a directory of the host.
func TestDevicesAreNotMadeOutsideTheRootfs(t *testing.T) {
	peerFails(t, "runc", "before 1.3.6 makes them there")
	for name, edit := range map[string]edit{
		"without mounts": func(s *specs.Spec) { s.Mounts = s.Mounts[:1] },
		"with /dev":      func(*specs.Spec) {},
		"with devices": func(s *specs.Spec) {
			s.Mounts = s.Mounts[:1]
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, edit)
			outside := filepath.Join(c.bundle, "outside")
			c.write("outside/ptmx", "")
			before := treeOf(t, outside)
			os.Remove(filepath.Join(c.rootfs, "dev"))
			if err := os.Symlink(outside, filepath.Join(c.rootfs, "dev")); err != nil {
				t.Fatal(err)
			}
			c.run()
			if after := treeOf(t, outside); after != before {
				t.Errorf("made on the host:\n%s", diff(before, after))
			}
		})
	}
}

// CVE-2022-29162, CVE-2025-27612: exec --cap makes capabilities inheritable.
func TestExecCapIsNotInheritable(t *testing.T) {
	c := newContainer(t)
	c.up()
	status := c.execOutput([]string{"--cap", "CAP_SYS_ADMIN"}, "cat", "/proc/self/status")
	want(t, "control: CapEff", field(status, "CapEff"), "0000000020200420")
	want(t, "CapInh", field(status, "CapInh"), "0000000000000000")
	want(t, "CapAmb", field(status, "CapAmb"), "0000000000000000")
}

// CVE-2021-43784: the id mappings overflow a length field.
func TestThousandsOfIDMappings(t *testing.T) {
	c := newContainer(t, userNamespace(100000), func(s *specs.Spec) {
		s.Linux.UIDMappings = nil
		for i := range uint32(6000) {
			s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: i, HostID: 100000 + 2*i, Size: 1})
		}
	})
	refused(t, c.run(), 1, "")
}

// CVE-2016-9962: a process of the container takes over the process of exec while that is privileged.
func TestExecNeverShowsMoreCapabilities(t *testing.T) {
	for name, edits := range map[string][]edit{
		"with CAP_SYS_PTRACE": {caps("CAP_SYS_PTRACE", "CAP_KILL", "CAP_DAC_READ_SEARCH")},
		"user namespace":      {caps("CAP_SYS_PTRACE", "CAP_KILL"), userNamespace(100000)},
		"without":             {caps("CAP_KILL")},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "with CAP_SYS_PTRACE" {
				peerFails(t, "runc", "shows a fully privileged process every time")
			}
			c := newContainer(t, append(edits, args("probe", "seize"))...)
			i := c.create()
			c.start()
			eventually(t, "the attacker is ready", func() bool { return strings.Contains(contents(i.out), "ready") })
			execs := 40
			if testing.Short() {
				execs = 10
			}
			for range execs {
				// A seized exec may be slow or fail. Only the capabilities of the seized process matter here.
				c.exec(nil, "usleep", "2000")
			}
			out := contents(i.out)
			if name != "without" && !strings.Contains(out, "seized") {
				t.Errorf("control: nothing was seized at all:\n%s", out)
			}
			if strings.Contains(out, "more") || strings.Contains(out, "foreign") {
				t.Errorf("the attacker got hold of more than it has:\n%s", out)
			}
		})
	}
}

// CVE-2019-18837: mount destinations lead through links of procfs.
func TestDestinationsDoNotLeadThroughProcfs(t *testing.T) {
	for _, target := range []string{"/proc/self/root/etc", "/proc/1/root/etc", "/proc/self/cwd", "/proc/self/fd/0", "/proc/thread-self/root"} {
		t.Run(target, func(t *testing.T) {
			c := newContainer(t, args("cat", "/proc/self/mountinfo"), mount(specs.Mount{Destination: "/link", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=76k"}}))
			if err := os.Symlink(target, filepath.Join(c.rootfs, "link")); err != nil {
				t.Fatal(err)
			}
			// Either a refusal, or a mount inside the container, which mountinfo shows.
			if r := c.run(); r.code == 0 && !strings.Contains(r.out, "size=76k") {
				t.Errorf("the mount went somewhere else: %v", r)
			}
		})
	}
}

// CVE-2026-30892: a user name is parsed as root.
func TestExecUserIsNotParsedIntoRoot(t *testing.T) {
	c := newContainer(t)
	c.up()
	want(t, "control", c.execOutput([]string{"--user", "2147483647"}, "id", "-u"), "2147483647")
	for _, user := range []string{"4294967296", "4294967295", "-1", "0x0", "1000:4294967296", "1000:-1", "1000:x", " 0", "0 ", "1e3", ":", "1:2:3", "99999999999999999999"} {
		r := c.exec([]string{"--user=" + user}, "id", "-u")
		if r.code == 255 && r.out == "" {
			continue
		}
		if env.kind == "runc" {
			continue // runc parses 4294967296 as root
		}
		t.Errorf("user %q: %v", user, r)
	}
}

// crun before 1.29: exec --cgroup leaves the container's cgroup.
func TestExecCgroupStaysInside(t *testing.T) {
	c := newContainer(t)
	c.up()
	for _, path := range []string{"..", "../..", "/..", "a/../..", "../" + c.cgroup} {
		r := c.exec([]string{"--cgroup", path}, "cat", "/proc/self/cgroup")
		if r.code == 255 {
			continue
		}
		for line := range strings.Lines(r.out) {
			// In the container's cgroup namespace, a cgroup outside of it begins with "..".
			if strings.Contains(line, ":/..") {
				t.Errorf("--cgroup %s: %v", path, r)
			}
		}
	}
}

// The key of a sysctl is a path in disguise: it must not lead out of /proc/sys.
func TestSysctlKeysDoNotLeadOut(t *testing.T) {
	read := func() string {
		data, err := os.ReadFile("/proc/sys/kernel/panic")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	before := read()
	for _, key := range []string{
		"net/../kernel/panic", "net.../kernel.panic", "net/./../kernel/panic", "/kernel/panic", "net//../kernel/panic", "fs.mqueue/../../kernel/panic",
		"net/ipv4/../../kernel/panic", "../sys/kernel/panic", "kernel/panic", "net..kernel.panic", "kernel.shmmax/../panic", "",
	} {
		c := newContainer(t, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{key: "77"} })
		if r := c.run(); r.code == 0 {
			t.Errorf("key %q was taken: %v", key, r)
		}
		if after := read(); after != before {
			t.Fatalf("key %q: the host's kernel.panic is %q", key, after)
		}
	}
}

// CVE-2016-10124: the container types into the terminal that it was started from.
func TestTheCallersTerminalCannotBeTypedInto(t *testing.T) {
	c := newContainer(t, args("probe", "type"))
	control := newScreen(t, filepath.Join(c.rootfs, "bin/probe")+" type")
	control.shows("typed")

	s := newScreen(t, fmt.Sprintf("%s --root %s run --bundle %s %s", env.runtime, c.root, c.bundle, c.id))
	s.shows("status 1")
	c.edit(args("sleep", "1000"))
	c.up()
	s = newScreen(t, fmt.Sprintf("%s --root %s exec %s probe type", env.runtime, c.root, c.id))
	s.shows("status 1")
}

// The runtime reads /etc/passwd of the image, which may block or never end.
func TestFilesOfTheImageCannotHoldUpTheRuntime(t *testing.T) {
	peerFails(t, "runc", "hangs for ever")
	plants := map[string]func(string) error{
		"FIFO":             func(path string) error { return unix.Mkfifo(path, 0o644) },
		"endless":          func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
		"huge":             func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"directory":        func(path string) error { return os.Mkdir(path, 0o755) },
		"symlink to a pty": func(path string) error { return os.Symlink("/dev/ptmx", path) },
	}
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, sh("echo ran"), func(s *specs.Spec) { s.Process.User.UID = 1000 })
			path := filepath.Join(c.rootfs, "etc/passwd")
			os.Remove(path)
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			if name == "huge" {
				if err := os.Truncate(path, 1<<40); err != nil {
					t.Skip(err)
				}
			}
			// run may fail, or use no home directory of the file. It must end.
			if r := c.run(); r.code == 0 && r.out != "ran\n" || r.took > slowly(20*time.Second) {
				t.Error(r)
			}
		})
	}
	t.Run("exec", func(t *testing.T) {
		c := newContainer(t)
		c.up()
		path := filepath.Join(c.rootfs, "etc/passwd")
		os.Remove(path)
		if err := unix.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if r := c.exec([]string{"--user", "1000"}, "echo", "ran"); r.code == 0 && r.out != "ran\n" {
			t.Error(r)
		}
	})
}

// Two lookups of a name may have two results. strace shows that the runtime resolves each target once.
func TestEachMountTargetIsResolvedOnce(t *testing.T) {
	peerFails(t, "runc", "resolves it three times and more")
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace: apt-get install strace")
	}
	c := newContainer(t, mount(specs.Mount{Destination: "/target-of-tmpfs", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		specs.Mount{Destination: "/target-of-bind", Type: "bind", Source: "source-of-bind", Options: []string{"rbind", "ro", "nosuid", "private"}}))
	for _, dir := range []string{"rootfs/target-of-tmpfs/.keep", "rootfs/target-of-bind/.keep", "source-of-bind/.keep"} {
		c.write(dir, "")
	}
	trace := filepath.Join(c.bundle, "trace")
	c.wrapper = []string{strace, "-f", "-qq", "-s", "4096", "-e", "trace=%file,openat2,open_tree,move_mount,mount_setattr,fspick", "-o", trace}
	if r := c.run(); r.code != 0 {
		t.Fatal(r)
	}
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"target-of-tmpfs", "target-of-bind"} {
		var lookups []string
		for line := range strings.Lines(string(data)) {
			if regexp.MustCompile(`"[^"]*`+name+`"`).MatchString(line) && !strings.Contains(line, "resumed") {
				lookups = append(lookups, line)
			}
		}
		if len(lookups) != 1 {
			t.Errorf("%s is resolved %d times:\n%s", name, len(lookups), strings.Join(lookups, ""))
		}
	}
}

package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestDefaultDevices(t *testing.T) {
	c := newContainer(t, sh("cd /dev; stat -c '%n %F %t:%T %a %u:%g' null zero full random urandom tty; stat -L -c '%n %t:%T' ptmx"))
	want(t, "devices", c.output(), strings.Join([]string{
		"null character special file 1:3 666 0:0",
		"zero character special file 1:5 666 0:0",
		"full character special file 1:7 666 0:0",
		"random character special file 1:8 666 0:0",
		"urandom character special file 1:9 666 0:0",
		"tty character special file 5:0 666 0:0",
		"ptmx 5:2",
	}, "\n"))
}

func TestDefaultDevicesWork(t *testing.T) {
	c := newContainer(t, sh(`cd /dev; head -c 4 zero | od -An -tx1 | tr -d ' '; echo x > full; head -c 8 urandom | wc -c
		head -c 8 random | wc -c; echo x > null; wc -c < null`))
	r := c.run()
	want(t, "output", r.out, "00000000\n8\n8\n0\n")
	if !strings.Contains(r.err, "No space left on device") {
		t.Errorf("/dev/full: %v", r)
	}
}

func TestDefaultLinks(t *testing.T) {
	c := newContainer(t, sh("cd /dev; for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done"))
	want(t, "links", c.output(), "fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\nptmx pts/ptmx")
}

func TestConfiguredDevices(t *testing.T) {
	mode := os.FileMode(0o620)
	c := newContainer(t, sh("stat -c '%n %F %t:%T %a %u:%g' /dev/fuse /dev/deep/down/loop /dev/queue /dev/null"), func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode, UID: ptr(uint32(7)), GID: ptr(uint32(8))},
			{Path: "/dev/deep/down/loop", Type: "b", Major: 7, Minor: 3},
			{Path: "/dev/queue", Type: "p", FileMode: &mode},
			{Path: "/dev/null", Type: "u", Major: 1, Minor: 3, FileMode: &mode},
		}
	})
	if env.kind == "runc" {
		c.spec.Linux.Devices = c.spec.Linux.Devices[:3] // runc lists the last one twice, and creates its own
		c.edit()
		c.spec.Process.Args[2] = strings.TrimSuffix(c.spec.Process.Args[2], " /dev/null")
		c.edit()
	}
	lines := strings.Split(c.output(), "\n")
	want(t, "character device", lines[0], "/dev/fuse character special file a:e5 620 7:8")
	if !strings.HasPrefix(lines[1], "/dev/deep/down/loop block special file 7:3 ") {
		t.Errorf("block device = %q", lines[1])
	}
	want(t, "fifo", lines[2], "/dev/queue fifo 0:0 620 0:0")
	if env.kind != "runc" {
		want(t, "default device, configured", lines[3], "/dev/null character special file 1:3 620 0:0")
	}
}

func TestDeviceRules(t *testing.T) {
	if env.layout != "v2" {
		needController(t, "devices")
	}
	kmsg := specs.LinuxDevice{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11}
	line := sh("head -c 0 /dev/kmsg && echo read; true > /dev/kmsg && echo write; mknod /tmp/m c 1 11 && echo mknod")
	tests := []struct {
		name   string
		access string
		want   string
	}{
		{"nothing allowed", "", "mknod\n"}, // c *:* m is among the defaults
		{"read", "r", "read\nmknod\n"},
		{"all", "rwm", "read\nwrite\nmknod\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, line, caps("CAP_MKNOD", "CAP_SYSLOG"), func(s *specs.Spec) {
				s.Linux.Devices = []specs.LinuxDevice{kmsg}
				if test.access != "" {
					s.Linux.Resources.Devices = append(s.Linux.Resources.Devices,
						specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(11)), Access: test.access})
				}
			})
			r := c.run()
			want(t, "output", r.out, test.want)
			if strings.Count(r.err, "Operation not permitted") != 3-strings.Count(test.want, "\n") {
				t.Error(r)
			}
		})
	}
	t.Run("order holds", func(t *testing.T) {
		c := newContainer(t, line, func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{kmsg}
			rule := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(11)), Access: "rw"}
			deny := rule
			deny.Allow, deny.Access = false, "w"
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, rule, deny)
		}, caps("CAP_SYSLOG"))
		want(t, "output", c.run().out, "read\n")
	})
}

func TestDevicesInAUserNamespaceAreTheHosts(t *testing.T) {
	c := newContainer(t, userNamespace(100000), sh("stat -c '%n %t:%T' /dev/null /dev/urandom; echo x > /dev/null && head -c 4 /dev/urandom | wc -c"))
	want(t, "output", c.output(), "/dev/null 1:3\n/dev/urandom 1:9\n4")
}

func TestADeviceThatIsThereAlreadyMustBeTheSame(t *testing.T) {
	peerFails(t, "runc", "takes what it finds")
	bare := func(s *specs.Spec) { s.Mounts = s.Mounts[:1] } // /dev is the image's directory
	t.Run("same", func(t *testing.T) {
		c := newContainer(t, bare, sh("stat -c %t:%T /dev/null"))
		if err := unix.Mknod(filepath.Join(c.rootfs, "dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		want(t, "output", c.output(), "1:3")
	})
	t.Run("another", func(t *testing.T) {
		c := newContainer(t, bare, func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11}}
		})
		if err := unix.Mknod(filepath.Join(c.rootfs, "dev/kmsg"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		refused(t, c.run(), 1, "/dev/kmsg")
	})
}

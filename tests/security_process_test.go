package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The program starts with default signal handling, even if its engine blocks or ignores signals.
func TestBlockedAndIgnoredSignalsAreNotPassedOn(t *testing.T) {
	peerFails(t, "runc", "passes them on")
	const fresh = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"
	look := []string{"grep", "^Sig[BI]", "/proc/self/status"}
	deaf := []string{env.probe, "deafen"}
	control, err := exec.Command(deaf[0], append(deaf[1:], look...)...).Output()
	if err != nil || strings.Contains(string(control), "00") {
		t.Fatalf("control: %s, %v; want all blocked and ignored", control, err)
	}
	c := newContainer(t, args(look...))
	c.wrapper = deaf
	want(t, "run", c.output(), fresh)
	c.edit(args("sleep", "1000"))
	c.up()
	want(t, "exec", c.execOutput(nil, look...), fresh)
}

// The runtime changes an existing node through a descriptor. By name, it could follow a symlink that replaces the node, and
// change any file of the host.
func TestANodeThatIsThereIsChangedButNotASymlink(t *testing.T) {
	peerFails(t, "runc", "leaves it as it is")
	device := func(s *specs.Spec) {
		mode, uid := os.FileMode(0o640), uint32(7)
		s.Mounts = s.Mounts[:1] // /dev is the image's directory
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11, FileMode: &mode, UID: &uid}}
	}
	t.Run("node", func(t *testing.T) {
		c := newContainer(t, device, args("stat", "-c", "%t:%T %a %u", "/dev/kmsg"))
		if err := unix.Mknod(filepath.Join(c.rootfs, "dev/kmsg"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11))); err != nil {
			t.Fatal(err)
		}
		want(t, "/dev/kmsg", c.output(), "1:b 640 7")
	})
	t.Run("symlink", func(t *testing.T) {
		c := newContainer(t, device)
		host := filepath.Join(c.bundle, "host")
		if err := unix.Mknod(host, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11))); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(host, filepath.Join(c.rootfs, "dev/kmsg")); err != nil {
			t.Fatal(err)
		}
		refused(t, c.run(), 1, "another file is there already")
		if info, err := os.Stat(host); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file that it points to: %v, %v", info.Mode(), err)
		}
	})
}

// A process file without confinement gets the container's confinement, not the runtime's.
func TestAProcessFileWithoutConfinement(t *testing.T) {
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 78}}
	})
	c.up()
	look := []string{"sh", "-c", "grep Cap /proc/self/status; ulimit -n"}
	c.write("process.json", `{"cwd": "/", "args": ["sh", "-c", "grep Cap /proc/self/status; ulimit -n"], "env": ["PATH=/bin"]}`)
	out := c.must("exec", "--process", filepath.Join(c.bundle, "process.json"), c.id).out
	want(t, "status of the process", out, c.execOutput(nil, look...)+"\n")
	if !strings.Contains(out, "CapBnd:\t0000000020000420\n") || !strings.HasSuffix(out, "\n77\n") {
		t.Errorf("control: %s", out)
	}
}

// Each bind mount needs a descriptor for a while. The runtime can exceed the caller's soft limit, but the program still gets
// this limit.
func TestMoreBindMountsThanDescriptors(t *testing.T) {
	for name, edits := range map[string][]edit{
		"root":           nil,
		"another user":   {func(s *specs.Spec) { s.Process.User.UID = 1000 }},
		"user namespace": {userNamespace(100000)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, append(edits, sh("ulimit -Sn; ulimit -Hn; grep -c /mnt/ /proc/self/mountinfo"), func(s *specs.Spec) { s.Process.Rlimits = nil })...)
			c.write("source/file", "")
			for n := range 300 {
				c.write(fmt.Sprintf("rootfs/mnt/%d", n), "")
				c.edit(mount(specs.Mount{Destination: fmt.Sprintf("/mnt/%d", n), Type: "bind", Source: "source/file", Options: []string{"bind", "ro"}}))
			}
			c.wrapper = []string{"/bin/sh", "-c", `ulimit -Sn 64; ulimit -Hn 1024; exec "$@"`, "sh"}
			want(t, "limits and mounts", c.output(), "64\n1024\n300")
			c.edit(func(s *specs.Spec) {
				s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 88}}
			})
			want(t, "with a limit of its own", c.output(), "77\n88\n300")
		})
	}
}

// If the caller's hard limit is low, the runtime keeps the descriptor of a mount only until the mount is attached.
func TestMoreMountsThanTheHardLimitOfDescriptors(t *testing.T) {
	c := newContainer(t, sh("grep -c /mnt/ /proc/self/mountinfo"), func(s *specs.Spec) { s.Process.Rlimits = nil })
	for n := range 60 {
		c.write(fmt.Sprintf("rootfs/mnt/%d/x", n), "")
		c.edit(mount(specs.Mount{Destination: fmt.Sprintf("/mnt/%d", n), Type: "mqueue", Source: "mqueue"}))
	}
	c.wrapper = []string{"/bin/sh", "-c", `ulimit -n 48; exec "$@"`, "sh"}
	want(t, "mounts", c.output(), "60")
}

// The process that creates the program's process has the same user. The limit must not count it: two would exceed the limit.
func TestExecWithALimitOnProcesses(t *testing.T) {
	user := func(s *specs.Spec) {
		s.Process.User.UID = 54321
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Soft: 2, Hard: 3}}
	}
	limits := []string{"sh", "-c", "ulimit -Su; ulimit -Hu"}
	for name, edits := range map[string][]edit{
		"root's namespace":              {user},
		"filter without privileges":     {user, seccomp(), func(s *specs.Spec) { s.Process.NoNewPrivileges = false }},
		"filter with no new privileges": {user, seccomp()},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, edits...)
			c.up()
			want(t, "limits", c.execOutput(nil, limits...), "2\n3")
			// Control: the limit is effective.
			c.execDetached(nil, "sleep", "1000")
			if r := c.exec(nil, "sh", "-c", "(true); echo forked"); r.code == 0 || !strings.Contains(r.err, "fork") {
				t.Errorf("control: %v", r)
			}
		})
	}
}

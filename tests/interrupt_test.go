package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// SIGTERM must end every wait of a verb.
func TestSIGTERMEndsAHookWithoutEnd(t *testing.T) {
	peerFails(t, "runc", "run ignores it")
	peerFails(t, "crun", "run ignores it")
	endless := func(c *container) edit {
		return hooks("poststop", hook("touch "+filepath.Join(c.bundle, "waits")+"; exec sleep 1000"))
	}
	for _, tt := range []struct {
		name    string
		prepare func(*container)
		line    func(*container) []string
	}{
		{"run", func(*container) {}, func(c *container) []string { return c.withFlags("run") }},
		{"delete", func(c *container) { c.create() }, func(c *container) []string { return []string{"delete", c.id} }},
		{"delete --force", func(c *container) { c.up() }, func(c *container) []string { return []string{"delete", "--force", c.id} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t)
			c.edit(endless(c))
			tt.prepare(c)
			i := c.begin(tt.line(c)...)
			eventually(t, "the hook runs", func() bool { _, err := os.Stat(filepath.Join(c.bundle, "waits")); return err == nil })
			began := time.Now()
			i.Process.Signal(syscall.SIGTERM)
			r := i.end()
			if took := time.Since(began); took > slowly(time.Second) {
				t.Errorf("it took %v; want at most a second\n%v", took, r)
			}
			c.edit(func(s *specs.Spec) { s.Hooks = nil })
			if left := c.leftovers(); left != "" {
				t.Errorf("left %s", left)
			}
		})
	}
}

// The file at the name of the pid file, or at a temporary name, is a FIFO or a hard link.
func TestPidFileBesideWhatIsThere(t *testing.T) {
	peerFails(t, "runc", "waits for a FIFO")
	c := newContainer(t)
	for _, name := range []string{"pid", ".pid"} {
		path := filepath.Join(c.bundle, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		r := c.run("--pid-file", filepath.Join(c.bundle, "pid"))
		if r.code != 0 {
			t.Error(r)
		}
		os.Remove(path)
	}
}

// Files that the caller names have a size limit, as config.json has.
func TestEndlessFiles(t *testing.T) {
	peerFails(t, "runc", "reads them")
	peerFails(t, "crun", "reads them")
	c := newContainer(t)
	c.up()
	for _, line := range [][]string{
		{"exec", "--process", "/dev/zero", c.id},
		{"update", "--resources", "/dev/zero", c.id},
		{"mounts", "add", c.id, "/dev/zero"},
		{"mounts", "remove", c.id, "/dev/zero"},
	} {
		code := 1
		if line[0] == "exec" {
			code = 255
		}
		refused(t, c.verb(line...), code, "more than the limit of 16777216 bytes")
	}
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	c.stdin = zero
	refused(t, c.verb("update", "--resources", "-", c.id), 1, "more than the limit of 16777216 bytes")
	// Control: a pipe of a shell works as a file does.
	c.stdin = nil
	c.wrapper = []string{"/bin/bash", "-c", `"$@" --process <(echo '{"args":["true"],"cwd":"/"}') ` + c.id, "bash"}
	if _, err := exec.LookPath(c.wrapper[0]); err == nil {
		c.must("exec")
	}
	c.wrapper = nil
}

// The user's line is beyond the first part of a long /etc/passwd, for create and for exec. Another line has no shell.
func TestHomeInALongPasswd(t *testing.T) {
	peerFails(t, "crun", "has another way to look it up")
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "user%d:x:%d:%d::/home/user%d:/bin/sh\n", i, 10000+i, 10000+i, i)
	}
	b.WriteString("far:x:5000:5000::/home/far:/bin/sh\nshort:x:5001:5001::/home/short\n")
	for uid, home := range map[uint32]string{5000: "/home/far", 5001: "/home/short", 5002: "/"} {
		c := newContainer(t, sh("echo $HOME > /tmp/home; exec sleep 1000"), func(s *specs.Spec) {
			s.Process.User.UID = uid
			s.Process.Env = []string{"PATH=/bin"}
		})
		c.write("rootfs/etc/passwd", b.String())
		c.up()
		eventually(t, "HOME is written", func() bool {
			data, _ := os.ReadFile(filepath.Join(c.rootfs, "tmp/home"))
			return len(data) > 0
		})
		data, _ := os.ReadFile(filepath.Join(c.rootfs, "tmp/home"))
		want(t, fmt.Sprintf("HOME of %d at create", uid), strings.TrimSpace(string(data)), home)
		want(t, fmt.Sprintf("HOME of %d at exec", uid), c.execOutput([]string{"--user", fmt.Sprint(uid)}, "sh", "-c", "echo $HOME"), home)
	}
}

package tests

import (
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hostMount mounts a tmpfs with flags on a directory of the bundle, and another one below it.
func hostMount(t *testing.T, c *container, flags uintptr) string {
	t.Helper()
	dir := filepath.Join(c.bundle, "volume")
	c.write("volume/under", "")
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	c.write("volume/sub/secret", "")
	if err := unix.Mount("tmpfs", filepath.Join(dir, "sub"), "tmpfs", 0, "mode=777"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// withHostMount returns a container with such a volume and CAP_SYS_ADMIN, so it may mount and unmount.
func withHostMount(t *testing.T, flags uintptr, options []string, edits ...edit) *container {
	t.Helper()
	c := newContainer(t, append(edits, caps("CAP_SYS_ADMIN"))...)
	dir := hostMount(t, c, flags)
	c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: options}))
	return c
}

// mount_namespaces(7), "Restrictions on mount namespaces": root of a user namespace cannot undo settings of the host's root.
// The positive control is a container without a user namespace.
func TestHostMountsAreLockedInAUserNamespace(t *testing.T) {
	peerFails(t, "crun", "clones sources on the host, where nothing locks them")
	const all = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	attempts := map[string]struct {
		flags   uintptr
		options []string
		line    string
	}{
		"ro":                      {unix.MS_RDONLY, []string{"rbind"}, "mount -o remount,bind,rw /mnt && touch /mnt/x"},
		"nosuid, nodev, noexec":   {all, []string{"rbind"}, "mount -o remount,bind,ro,nosuid,nodev,exec /mnt"},
		"what is mounted over it": {0, []string{"rbind"}, "umount /mnt/sub && ls /mnt/sub/secret"},
		"after another bind":      {unix.MS_RDONLY, []string{"rbind"}, "mount --rbind /mnt /tmp && mount -o remount,bind,rw /tmp"},
	}
	for name, a := range attempts {
		t.Run(name, func(t *testing.T) {
			line := sh("{ " + a.line + "; } >/dev/null 2>&1 && echo done || echo refused")
			want(t, "without a user namespace", withHostMount(t, a.flags, a.options, line).output(), "done")
			want(t, "with a user namespace", withHostMount(t, a.flags, a.options, line, userNamespace(100000)).output(), "refused")
		})
	}
}

func TestBindInAUserNamespace(t *testing.T) {
	t.Run("flags of the host stay", func(t *testing.T) {
		peerFails(t, "runc", "1.1 sets the flags of a bind mount anew")
		got := withHostMount(t, unix.MS_RDONLY|unix.MS_NODEV, []string{"rbind", "nosuid"}, userNamespace(100000)).mountsInside()["/mnt"]
		if !got.has("ro") || !got.has("nodev") || !got.has("nosuid") || got.has("noexec") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("rbind shows what is mounted below", func(t *testing.T) {
		c := withHostMount(t, 0, []string{"rbind", "rro"}, userNamespace(100000), sh("ls -A /mnt /mnt/sub; touch /mnt/sub/x 2>&1"))
		want(t, "output", c.run().out, "/mnt:\nsub\n\n/mnt/sub:\ntouch: /mnt/sub/x: Read-only file system\n")
	})
	t.Run("propagation to the host ends there", func(t *testing.T) {
		c := withHostMount(t, 0, []string{"rbind", "rshared"}, userNamespace(100000), sh("mkdir /mnt/here && mount -t tmpfs x /mnt/here && touch /mnt/here/seen; ls /mnt/here"))
		dir := filepath.Join(c.bundle, "volume")
		if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
			t.Fatal(err)
		}
		before := mountinfo()
		want(t, "inside", c.output(), "seen")
		if now := mountinfo(); now != before {
			t.Errorf("the container has mounted on the host:\n%s", diff(before, now))
		}
	})
	t.Run("a source by way of symlinks", func(t *testing.T) {
		c := newContainer(t, userNamespace(100000), args("cat", "/mnt/file"))
		c.write("real/file", "found\n")
		if err := unix.Symlink(filepath.Join(c.bundle, "real"), filepath.Join(c.bundle, "absolute")); err != nil {
			t.Fatal(err)
		}
		unix.Symlink("absolute", filepath.Join(c.bundle, "link"))
		c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: filepath.Join(c.bundle, "link"), Options: []string{"rbind"}}))
		want(t, "output", c.output(), "found")
	})
	t.Run("a source that others cannot reach", func(t *testing.T) {
		c := newContainer(t, userNamespace(100000), args("cat", "/mnt/file"))
		c.write("closed/open/file", "found\n")
		unix.Chmod(filepath.Join(c.bundle, "closed"), 0o700)
		c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: filepath.Join(c.bundle, "closed/open"), Options: []string{"rbind"}}))
		want(t, "output", c.output(), "found")
	})
	t.Run("a file of procfs", func(t *testing.T) {
		c := newContainer(t, userNamespace(100000), sh("readlink /proc/self/ns/uts; stat -L -c %i /tmp/ns"))
		c.edit(mount(specs.Mount{Destination: "/tmp/ns", Type: "bind", Source: "/proc/self/ns/uts", Options: []string{"rbind"}}))
		if r := c.run(); r.code != 0 || len(strings.Fields(r.out)) != 2 {
			t.Error(r)
		}
	})
}

// If the configuration asks to clear a locked flag, the error names the flag.
func TestLockedFlagsAreNamed(t *testing.T) {
	peersLack(t, "crun ignores them, runc names the errno")
	const all = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for option, name := range map[string]string{"rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec", "rrw": "ro", "strictatime": "the access time mode"} {
		t.Run(option, func(t *testing.T) {
			c := withHostMount(t, all, []string{"rbind", option}, userNamespace(100000))
			got := c.runFails()
			got.has(t, "/mounts/", "operation not permitted", "on /mnt", "("+name+" of the host's mount is locked")
		})
	}
	t.Run("several", func(t *testing.T) {
		c := withHostMount(t, all, []string{"rbind", "rw", "exec", "noatime"}, userNamespace(100000))
		c.runFails().has(t, "/mounts/", "operation not permitted", "ro, noexec of the host's mount is locked")
	})
	t.Run("bind over something mounted", func(t *testing.T) {
		c := withHostMount(t, unix.MS_RDONLY, []string{"bind"}, userNamespace(100000))
		c.runFails().has(t, "/mounts/", "invalid argument", "a mount below the source hides files", "use rbind")
	})
	t.Run("remount", func(t *testing.T) {
		c := withHostMount(t, all, []string{"rbind"}, userNamespace(100000))
		c.edit(mount(specs.Mount{Destination: "/mnt", Options: []string{"remount", "exec"}}))
		c.runFails().has(t, "/mounts/", "operation not permitted", "make /mnt", "noexec of the host's mount is locked")
	})
	t.Run("nothing locked without a user namespace", func(t *testing.T) {
		c := withHostMount(t, all, []string{"rbind", "rw", "exec"}, sh("touch /mnt/x && echo written"))
		want(t, "output", c.output(), "written")
	})
}

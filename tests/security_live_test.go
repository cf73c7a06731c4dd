package tests

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A program without capabilities can create a user namespace with a mount namespace, and remount read-only mounts in it. The
// control is that it does so with a mount of its own.
func TestLiveMountsAreNotForNamespacesOfTheProgramsOwn(t *testing.T) {
	peersLack(t, "mounts")
	for name, edits := range map[string][]edit{"no user namespace": nil, "user namespace": {userNamespace(100000)}} {
		t.Run(name, func(t *testing.T) {
			const attack = "mount -o bind /var /var && mount -o remount,bind,ro /var && mount -o remount,bind,rw /var && touch /tmp/able; " +
				"until mount -o remount,bind,rw /mnt && touch /mnt/written; do sleep 0.05; done 2>/dev/null; sleep 1000"
			ordinary := func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }
			c := newContainer(t, append(edits, caps(), ordinary, args("busybox", "unshare", "-U", "-r", "-m", "sh", "-c", attack))...)
			dir := filepath.Join(c.bundle, "source")
			if err := errors.Join(os.Mkdir(dir, 0o777), os.Chmod(dir, 0o777)); err != nil {
				t.Fatal(err)
			}
			c.create()
			c.added(bindOf(dir, "/home/user", "ro")) // before its program runs
			c.removed(bindOf(dir, "/home/user"))
			c.start()
			eventually(t, "the program has namespaces of its own", func() bool {
				_, err := os.Stat(filepath.Join(c.rootfs, "tmp/able"))
				return err == nil
			})
			refused(t, c.mountsVerb("add", bindOf(dir, "/mnt", "ro")), 1,
				"/linux/namespaces: look at the mount namespace of the first process: the container's own process created it, with a user namespace")
			refused(t, c.mountsVerb("remove", bindOf(dir, "/mnt")), 1, "/linux/namespaces: ")
			if _, err := os.Stat(filepath.Join(dir, "written")); err == nil {
				t.Error("the program has written to a read-only mount")
			}
		})
	}
}

// The container can replace a source in it by a symlink. The symlink must not give it a procfs without masks, nor a writable
// mount of a read-only volume.
func TestLiveSourcesInTheContainerKeepItsRestrictions(t *testing.T) {
	peersLack(t, "mounts")
	c := newContainer(t, caps())
	volume := filepath.Join(c.bundle, "volume")
	if err := os.Mkdir(volume, 0o777); err != nil {
		t.Fatal(err)
	}
	pid := c.up()
	c.added(bindOf(volume, "/var", "ro"))
	c.execOutput(nil, "sh", "-c", "mkdir /tmp/plain && ln -s /proc /tmp/proc && ln -s /proc/sys/kernel /tmp/sysctls && ln -s /sys /tmp/sys && ln -s /var /tmp/volume")
	before := mountsOf(t, pid)
	inside := func(name string, options ...string) specs.Mount {
		return specs.Mount{Destination: "/mnt/" + name, Type: "bind", Source: filepath.Join(c.rootfs, "tmp", name), Options: options}
	}
	for _, test := range []struct {
		mount specs.Mount
		text  string
	}{
		{inside("proc", "rbind"), "rbind " + filepath.Join(c.rootfs, "tmp/proc") + " on /mnt/proc (rslave): the source /tmp/proc leads into /proc"},
		{inside("sysctls", "rbind", "rw"), "the source /tmp/sysctls leads into /proc"},
		{inside("proc", "bind"), "/0: a source in a running container requires rbind"},
		{inside("sys", "rbind", "rw"), "the source /tmp/sys is on a restricted mount"},
		{inside("volume", "rbind", "rw"), "the source /tmp/volume is on a restricted mount"},
		{inside("volume", "rbind", "rrw"), "/0: mounts below a source in a running container keep their restrictions"},
	} {
		refused(t, c.mountsVerb("add", test.mount), 1, test.text)
		want(t, "mounts", mountsOf(t, pid), before)
	}
	c.added(inside("volume", "rbind"), inside("plain", "rbind", "rw"))
	if r := c.exec(nil, "touch", "/mnt/volume/x"); !strings.Contains(r.err, "Read-only file system") {
		t.Errorf("a read-only volume in another place: %v", r)
	}
	c.execOutput(nil, "touch", "/mnt/plain/x")
	c.removed(inside("volume"), inside("plain"))
}

// The image contains the symlink. The control is the same source as a directory.
func TestSourcesInTheImageDoNotLeadIntoProc(t *testing.T) {
	peersLack(t, "a check of sources in the root file system")
	for name, make := range map[string]func(string) error{
		"symlink":   func(at string) error { return os.Symlink("/proc", at) },
		"directory": func(at string) error { return os.Mkdir(at, 0o755) },
	} {
		c := newContainer(t)
		data := filepath.Join(c.rootfs, "data")
		if err := make(data); err != nil {
			t.Fatal(err)
		}
		c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: data, Options: []string{"bind"}}))
		switch r := c.verb("run", "--bundle", c.bundle, c.id); {
		case name == "symlink":
			refused(t, r, 1, "the source /data leads into /proc: its files may not be mounted elsewhere: operation not permitted")
		case r.code != 0:
			t.Error(r)
		}
	}
}

// needStatmount skips the test on a kernel without unique mount ids and statmount(2) (Linux 6.8).
func needStatmount(t *testing.T) {
	t.Helper()
	var v unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_MNT_ID_UNIQUE, &v); err != nil || v.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		t.Skip("unique ids of mounts, and statmount, are there since Linux 6.8")
	}
}

// The kernel reuses the number of an unmounted mount. The control is that the number does come back.
func TestLiveMountsAreKnownByIDsThatDoNotComeBack(t *testing.T) {
	peersLack(t, "mounts")
	needStatmount(t)
	c := newContainer(t, caps("CAP_SYS_ADMIN"))
	m := bindOf(c.volumeSource(), "/mnt")
	c.up()
	c.added(m)
	const again = `number() { while read a b c d e f; do [ "$e" = $1 ] && echo $a; done < /proc/self/mountinfo; }
old=$(number /mnt); umount -l /mnt; rmdir /mnt; ln -s /var /mnt
for i in 0 1 2 3 4 5 6 7 8 9; do mount -t tmpfs other /var; [ "$(number /var)" = "$old" ] && exit 0; done; exit 1`
	if r := c.exec(nil, "sh", "-c", again); r.code != 0 {
		t.Skip("the number has not come back: ", r)
	}
	refused(t, c.mountsVerb("remove", m), 1, "unmount /mnt: another mount has replaced it")
}

// The destination leads into a volume that is shared with the host. A mount there would appear on the host too.
func TestLiveMountsDoNotAppearOnTheHost(t *testing.T) {
	peersLack(t, "mounts")
	needStatmount(t)
	c := newContainer(t)
	volume := filepath.Join(c.bundle, "volume")
	if err := errors.Join(os.Mkdir(volume, 0o755), unix.Mount("tmpfs", volume, "tmpfs", 0, "size=64k"), unix.Mount("", volume, "", unix.MS_SHARED, "")); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(volume, unix.MNT_DETACH)
	c.edit(mount(bindOf(volume, "/var", "rshared")), func(s *specs.Spec) { s.Linux.RootfsPropagation = "shared" })
	pid := c.up()
	c.execOutput(nil, "sh", "-c", "ln -s /var/place /tmp/leads && mkdir /tmp/plain")
	before := mountsOf(t, os.Getpid())
	refused(t, c.mountsVerb("add", specs.Mount{Destination: "/tmp/leads", Type: "tmpfs"}), 1, "mount tmpfs on /tmp/leads: /tmp/leads is on a mount that is shared with the host")
	want(t, "the host's mounts", mountsOf(t, os.Getpid()), before)
	if strings.Contains(mountsOf(t, pid), "/var/place") {
		t.Error("a refused mount is there")
	}
	c.added(specs.Mount{Destination: "/tmp/plain", Type: "tmpfs"})
	c.must("delete", "--force", c.id)
}

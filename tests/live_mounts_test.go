package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mountsVerb runs `mounts add` or `mounts remove` with a file of the mounts.
func (c *container) mountsVerb(verb string, mounts ...specs.Mount) result {
	c.t.Helper()
	data, err := json.Marshal(mounts)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("mounts.json", string(data))
	return c.verb("mounts", verb, c.id, filepath.Join(c.bundle, "mounts.json"))
}

// added is mountsVerb for mounts that have to succeed.
func (c *container) added(mounts ...specs.Mount) {
	c.t.Helper()
	if r := c.mountsVerb("add", mounts...); r.code != 0 || r.out+r.err != "" {
		c.t.Fatal(r)
	}
}

func (c *container) removed(mounts ...specs.Mount) {
	c.t.Helper()
	if r := c.mountsVerb("remove", mounts...); r.code != 0 || r.out+r.err != "" {
		c.t.Fatal(r)
	}
}

// mountsOf returns the mounts of a process without their ids, which change with each call.
func mountsOf(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// volumeSource creates a source for mounts that are not in the configuration.
func (c *container) volumeSource() string {
	c.t.Helper()
	dir := c.source()
	c.t.Cleanup(func() { unix.Unmount(filepath.Join(dir, "sub"), unix.MNT_DETACH) })
	return dir
}

func bindOf(source, destination string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: append([]string{"rbind"}, options...)}
}

func TestLiveMounts(t *testing.T) {
	peersLack(t, "mounts")
	for name, edits := range map[string][]edit{"no user namespace": nil, "user namespace": {userNamespace(100000)}} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, edits...)
			dir := c.volumeSource()
			pid := c.up()
			before := mountsOf(t, pid)
			list := []specs.Mount{
				bindOf(dir, "/tmp/new/place", "ro"),
				bindOf(filepath.Join(dir, "file"), "/tmp/one", "ro"),
				{Destination: "/tmp/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=1777", "size=64k"}},
				bindOf(dir, "/tmp/tmp/inner"),
			}
			c.added(list...)
			want(t, "what is in the volume", c.execOutput(nil, "ls", "/tmp/new/place", "/tmp/tmp/inner", "/tmp/one"),
				"/tmp/one\n\n/tmp/new/place:\nfile\nsub\n\n/tmp/tmp/inner:\nfile\nsub")
			want(t, "the mount below it", c.execOutput(nil, "ls", "/tmp/new/place/sub"), "below")
			if r := c.exec(nil, "touch", "/tmp/new/place/x"); !strings.Contains(r.err, "Read-only file system") {
				t.Errorf("the read-only mount: %v", r)
			}
			c.execOutput(nil, "touch", "/tmp/tmp/x")
			c.removed(list...)
			want(t, "the mounts after all of them are removed", mountsOf(t, pid), before)
			refused(t, c.mountsVerb("remove", list[0]), 1, "/0/destination: unmount /tmp/new/place: it was not mounted")
		})
	}
}

// Each kind of file system belongs to a namespace, which must be the container's.
func TestLiveMountsAreOfTheContainersNamespaces(t *testing.T) {
	peersLack(t, "mounts")
	c := newContainer(t)
	c.up()
	c.added(
		specs.Mount{Destination: "/mnt/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}},
		specs.Mount{Destination: "/mnt/mqueue", Type: "mqueue", Source: "mqueue"},
		specs.Mount{Destination: "/mnt/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro"}},
	)
	want(t, "interfaces of the new sysfs", c.execOutput(nil, "ls", "/mnt/sys/class/net"), "lo")
	if procs := c.execOutput(nil, "find", "/mnt/cgroup", "-name", "cgroup.procs", "-maxdepth", "2"); procs == "" {
		t.Error("the new mount of cgroups has none")
	}
}

// Since Linux 6.18 a mount option selects the pid namespace of a procfs (pidns=). Before, it is the namespace of the
// mounting process, which would be visible in the container.
func TestLiveMountOfProcfs(t *testing.T) {
	peersLack(t, "mounts")
	c := newContainer(t)
	c.up()
	procfs := specs.Mount{Destination: "/mnt/proc", Type: "proc", Source: "proc"}
	if !kernelIs(t, 6, 18) {
		refused(t, c.mountsVerb("add", procfs), 1, "requires Linux 6.18")
		return
	}
	c.added(procfs)
	want(t, "process 1 of the new procfs", c.execOutput(nil, "cat", "/mnt/proc/1/comm"), "sleep")
}

func TestLiveMountsWithMappedIDs(t *testing.T) {
	peersLack(t, "mounts")
	for name, test := range map[string]struct {
		edits []edit
		maps  func(*specs.Mount)
		want  string
	}{
		"own mappings":                     {nil, idmaps(idmap(0, 1000, 10)), "1007:1007"},
		"that of the user namespace":       {[]edit{userNamespace(100000)}, idmaps(), "7:7"},
		"own mappings in a user namespace": {[]edit{userNamespace(100000)}, idmaps(idmap(0, 100500, 10)), "507:507"},
	} {
		t.Run(name, func(t *testing.T) {
			c := withOwners(t, test.edits...)
			c.up()
			m := bindOf(filepath.Join(c.bundle, "source"), "/mnt", "ridmap")
			test.maps(&m)
			c.added(m)
			want(t, "owners", c.execOutput(nil, "stat", "-c", "%u:%g", "/mnt/file", "/mnt/sub/below"), test.want+"\n"+test.want)
		})
	}
}

// This is TestHostMountsAreLockedInAUserNamespace for a mount that is added later.
func TestLiveMountsAreLockedInAUserNamespace(t *testing.T) {
	peersLack(t, "mounts")
	for name, test := range map[string]struct {
		edits []edit
		want  string
	}{
		"without a user namespace": {nil, "done"},
		"with a user namespace":    {[]edit{userNamespace(100000)}, "refused"},
	} {
		for _, attempt := range []string{"mount -o remount,bind,rw /mnt && touch /mnt/x", "umount /mnt/sub && ls /mnt/sub/secret"} {
			t.Run(name+", "+attempt, func(t *testing.T) {
				c := newContainer(t, append(test.edits, caps("CAP_SYS_ADMIN"))...)
				dir := hostMount(t, c, unix.MS_RDONLY)
				c.up()
				c.added(bindOf(dir, "/mnt"))
				want(t, attempt, c.execOutput(nil, "sh", "-c", "{ "+attempt+"; } >/dev/null 2>&1 && echo done || echo refused"), test.want)
			})
		}
	}
}

// If one of several mounts fails, none remains.
func TestLiveMountsAreAllOrNothing(t *testing.T) {
	peersLack(t, "mounts")
	c := newContainer(t)
	dir := c.volumeSource()
	pid := c.up()
	before := mountsOf(t, pid)
	tests := map[string]struct {
		last specs.Mount
		text string
	}{
		"no source":             {bindOf("/no/such", "/mnt"), "/1: failed to fulfil mount request: open /no/such: open_tree(AT_FDCWD, "},
		"a file on a directory": {bindOf(filepath.Join(dir, "file"), "/tmp"), "(the file " + filepath.Join(dir, "file") + " does not fit on a directory: are you trying to mount a directory onto a file (or vice-versa)?): not a directory"},
		"in /proc":              {bindOf(dir, "/proc/sys"), "/1: \\\"/proc/sys\\\" cannot be mounted because it is inside /proc"},
		"over the root":         {bindOf(dir, "/"), "/1: / cannot be a destination"},
		"a remount":             {specs.Mount{Destination: "/proc/sys", Options: []string{"remount", "rw"}}, "/1: a mount of a running container cannot be remounted"},
		"a copied symlink":      {bindOf(dir, "/mnt", "copy-symlink"), "/1: copy-symlink is impossible in a running container"},
		"no file system":        {specs.Mount{Destination: "/mnt", Type: "nonesuch"}, "(the kernel has no file system nonesuch): no such device"},
		"a wrong option":        {specs.Mount{Destination: "/mnt", Type: "tmpfs", Options: []string{"size=x"}}, "mount tmpfs on /mnt"},
		"no destination":        {specs.Mount{Type: "tmpfs"}, "/1/destination: required"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			refused(t, c.mountsVerb("add", bindOf(dir, "/var"), test.last), 1, test.text)
			want(t, "mounts", mountsOf(t, pid), before)
			refused(t, c.mountsVerb("remove", bindOf(dir, "/var")), 1, "it was not mounted in the running container")
		})
	}
}

func TestLiveMountsNeedAContainerThatLives(t *testing.T) {
	peersLack(t, "mounts")
	c := newContainer(t)
	m := bindOf(c.volumeSource(), "/mnt")
	refused(t, c.mountsVerb("add", m), 1, "does not exist")
	c.create()
	c.added(m) // before the program runs
	c.start()
	c.stopped()
	for _, verb := range []string{"add", "remove"} {
		refused(t, c.mountsVerb(verb, m), 1, "container not running")
	}
	refused(t, c.verb("mounts", "add", c.id, "/no/such"), 1, "open /no/such: no such file or directory")
	c.write("object.json", `{"destination": "/mnt"}`)
	refused(t, c.verb("mounts", "add", c.id, filepath.Join(c.bundle, "object.json")), 1, "object.json:1:1: cannot unmarshal an object where an array is expected")
}

// A destination is resolved inside the container's file system. It never leads out of it and never into /proc. A remove
// affects only added mounts. Control: in the container, the names do lead there.
func TestLiveMountsOfAContainerThatMovesNamesAbout(t *testing.T) {
	peersLack(t, "mounts")
	c := newContainer(t)
	dir := c.volumeSource()
	outside := filepath.Join(c.bundle, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	c.edit(func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/var/hidden") })
	if err := os.MkdirAll(filepath.Join(c.rootfs, "var/hidden/secret"), 0o755); err != nil {
		t.Fatal(err)
	}
	pid := c.up()
	c.execOutput(nil, "sh", "-c", "ln -s /proc/sys /etc/sysctls; ln -s ../../../../../../../.."+outside+" /etc/out; ln -s "+outside+" /etc/absolute")
	refused(t, c.mountsVerb("add", bindOf(dir, "/etc/sysctls")), 1, "/etc/sysctls leads into /proc, where nothing may be mounted: operation not permitted")
	if strings.Contains(mountsOf(t, pid), dir) {
		t.Error("a refused mount is there")
	}
	for _, name := range []string{"/etc/out", "/etc/absolute"} {
		c.added(bindOf(dir, name))
		if _, err := os.Stat(filepath.Join(c.rootfs, outside)); err != nil {
			t.Errorf("%s did not lead to a directory in the container: %v", name, err)
		}
		c.removed(bindOf(dir, name))
	}

	m := bindOf(dir, "/tmp/data/hidden")
	c.added(m)
	c.execOutput(nil, "sh", "-c", "mv /tmp/data /tmp/old && ln -s /var /tmp/data")
	want(t, "what the name leads to", c.execOutput(nil, "ls", "/tmp/data/hidden"), "")
	refused(t, c.mountsVerb("remove", m), 1, "unmount /tmp/data/hidden: another mount has replaced it: invalid argument")
	want(t, "what is hidden", c.execOutput(nil, "ls", "/var/hidden"), "")
	c.execOutput(nil, "sh", "-c", "rm /tmp/data && mv /tmp/old /tmp/data")
	c.removed(m)
}

func TestLiveMountsRootless(t *testing.T) {
	c := rootless(t, args("sleep", "1000"))
	dir := filepath.Join(c.bundle, "plain")
	c.write("plain/file", "")
	pid := c.up()
	before := mountsOf(t, pid)
	list := []specs.Mount{
		bindOf(dir, "/mnt", "ro"),
		{Destination: "/var", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}},
	}
	c.added(list...)
	want(t, "what is mounted", c.execOutput(nil, "sh", "-c", "ls /mnt && touch /var/x && ls /var"), "file\nx")
	c.removed(list...)
	want(t, "the mounts after all of them are removed", mountsOf(t, pid), before)
}

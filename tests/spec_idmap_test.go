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

func idmaps(maps ...specs.LinuxIDMapping) func(*specs.Mount) {
	return func(m *specs.Mount) { m.UIDMappings, m.GIDMappings = maps, maps }
}

func idmap(container, host, size uint32) specs.LinuxIDMapping {
	return specs.LinuxIDMapping{ContainerID: container, HostID: host, Size: size}
}

// withOwners returns a container with a source of two files, both of user and group 7. The second file is on a mount below:
// a tmpfs, or a plain directory if this kernel cannot map a tmpfs.
func withOwners(t *testing.T, edits ...edit) *container {
	t.Helper()
	c := newContainer(t, edits...)
	dir := c.source()
	sub := filepath.Join(dir, "sub")
	t.Cleanup(func() { unix.Unmount(sub, unix.MNT_DETACH) })
	if !kernelIs(t, 6, 3) {
		c.write("other/below", "")
		err := errors.Join(unix.Unmount(sub, 0), unix.Mount(filepath.Join(c.bundle, "other"), sub, "", unix.MS_BIND, ""))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"file", "sub/below", "sub"} {
		if err := os.Chown(filepath.Join(dir, name), 7, 7); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// volume mounts the source at /mnt.
func (c *container) volume(options []string, changes ...func(*specs.Mount)) {
	m := specs.Mount{Destination: "/mnt", Type: "bind", Source: filepath.Join(c.bundle, "source"), Options: options}
	for _, change := range changes {
		change(&m)
	}
	c.edit(mount(m))
}

func TestIdmappedBindMounts(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	owners := args("stat", "-c", "%u:%g", "/mnt/file", "/mnt/sub/below")
	const nobody = "65534:65534"
	tests := []struct {
		name    string
		options []string
		maps    func(*specs.Mount)
		edits   []edit
		want    string
	}{
		{"own mappings", []string{"bind", "idmap"}, idmaps(idmap(0, 1000, 10)), nil, "1007:1007"},
		{"own mappings, without the option", []string{"bind"}, idmaps(idmap(7, 42, 1)), nil, "42:42"},
		{"several mappings", []string{"rbind", "ridmap"}, idmaps(idmap(0, 5000, 1), idmap(7, 70, 1), idmap(8, 9000, 100)), nil, "70:70 70:70"},
		{"not mapped", []string{"bind", "idmap"}, idmaps(idmap(0, 1000, 7)), nil, nobody},
		{"rbind with idmap maps the top only", []string{"rbind", "idmap"}, idmaps(idmap(0, 1000, 10)), nil, "1007:1007 7:7"},
		{"rbind with ridmap maps all", []string{"rbind", "ridmap"}, idmaps(idmap(0, 1000, 10)), nil, "1007:1007 1007:1007"},
		{"that of the user namespace", []string{"bind", "idmap"}, idmaps(), []edit{userNamespace(100000)}, "7:7"},
		{"that of the user namespace, recursively", []string{"rbind", "ridmap"}, idmaps(), []edit{userNamespace(100000)}, "7:7 7:7"},
		{"that of the user namespace, the top only", []string{"rbind", "idmap"}, idmaps(), []edit{userNamespace(100000)}, "7:7 " + nobody},
		{"own mappings in a user namespace", []string{"bind", "idmap"}, idmaps(idmap(0, 100500, 10)), []edit{userNamespace(100000)}, "507:507"},
		{"none in a user namespace", []string{"bind"}, idmaps(), []edit{userNamespace(100000)}, nobody},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := withOwners(t, test.edits...)
			c.volume(test.options, test.maps)
			c.edit(owners)
			r := c.run()
			want(t, "owners", strings.Join(strings.Fields(r.out), " "), test.want)
		})
	}
}

func TestIdmappedWritesBelongToTheSource(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	for name, edits := range map[string][]edit{"no user namespace": nil, "user namespace": {userNamespace(100000)}} {
		t.Run(name, func(t *testing.T) {
			c := withOwners(t, edits...)
			c.volume([]string{"bind", "idmap"}, idmaps(idmap(7, 0, 1)))
			if edits != nil {
				c.volume([]string{"bind", "idmap"}, idmaps(idmap(7, 100000, 1)))
			}
			os.Chown(filepath.Join(c.bundle, "source"), 7, 7)
			c.edit(sh("echo > /mnt/written"))
			c.output()
			want(t, "owner on the host", ownerOf(t, filepath.Join(c.bundle, "source/written")), "7")
		})
	}
}

// Every file system that the kernel can map may have a mapping, not only a bind mount.
func TestIdmappedNewMounts(t *testing.T) {
	peersLack(t, "maps bind mounts only")
	owner := sh("touch /mnt/x; stat -c %u:%g /mnt /mnt/x")
	tmpfs := func(options []string, maps func(*specs.Mount)) edit {
		m := specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: append(options, "mode=777")}
		maps(&m)
		return mount(m)
	}
	if !kernelIs(t, 6, 3) { // "tmpfs: support idmapped mounts"
		c := newContainer(t, tmpfs([]string{"idmap"}, idmaps(idmap(0, 1000, 1))))
		refused(t, c.run(), 1, "/mounts/7: map the ids of /mnt: mount_setattr(</mnt>, AT_EMPTY_PATH, MOUNT_ATTR_IDMAP): (this kernel may not support id-mapped mounts")
		t.Skip("this kernel cannot map a tmpfs, and that is the error")
	}
	t.Run("tmpfs", func(t *testing.T) {
		c := newContainer(t, owner, tmpfs([]string{"idmap", "uid=7", "gid=7"}, idmaps(idmap(7, 1000, 1), idmap(0, 0, 1))))
		want(t, "owners", c.output(), "1000:1000\n0:0")
	})
	t.Run("tmpfs without the option", func(t *testing.T) {
		c := newContainer(t, owner, tmpfs([]string{"uid=7"}, idmaps(idmap(7, 1000, 1), idmap(0, 0, 1))))
		want(t, "owners", c.output(), "1000:0\n0:0")
	})
	t.Run("tmpfs in a user namespace has its mapping", func(t *testing.T) {
		c := newContainer(t, owner, userNamespace(100000), tmpfs([]string{"idmap", "uid=7", "gid=7"}, idmaps()))
		want(t, "owners", c.output(), "7:7\n0:0")
	})
	t.Run("tmpfs with own mappings in a user namespace", func(t *testing.T) {
		c := newContainer(t, owner, userNamespace(100000), tmpfs([]string{"idmap", "uid=7", "gid=7"}, idmaps(idmap(7, 100500, 1), idmap(0, 100000, 1))))
		want(t, "owners", c.output(), "500:500\n0:0")
	})
	t.Run("tmpfs with the content that it covers", func(t *testing.T) {
		c := newContainer(t, args("stat", "-c", "%u", "/mnt/copied"), tmpfs([]string{"idmap", "tmpcopyup"}, idmaps(idmap(0, 0, 1), idmap(7, 1000, 1))))
		c.write("rootfs/mnt/copied", "")
		os.Chown(filepath.Join(c.rootfs, "mnt/copied"), 7, 7)
		want(t, "owner", c.output(), "1000")
	})
	t.Run("overlay", func(t *testing.T) {
		c := newContainer(t, args("stat", "-c", "%u", "/mnt/file"))
		c.write("lower/file", "")
		c.write("upper/.keep", "")
		c.write("work/.keep", "")
		os.Remove(filepath.Join(c.bundle, "work/.keep"))
		os.Chown(filepath.Join(c.bundle, "lower/file"), 7, 7)
		m := specs.Mount{Destination: "/mnt", Type: "overlay", Source: "overlay", Options: []string{
			"idmap", "lowerdir=" + c.bundle + "/lower", "upperdir=" + c.bundle + "/upper", "workdir=" + c.bundle + "/work",
		}}
		idmaps(idmap(7, 1000, 1), idmap(0, 0, 1))(&m)
		c.edit(mount(m))
		c.runFails().has(t, "/mounts/", "invalid argument", "may not support id-mapped mounts")
	})
}

func TestIdmapRefused(t *testing.T) {
	peersLack(t, "says less")
	t.Run("nothing to map by", func(t *testing.T) {
		c := withOwners(t)
		c.volume([]string{"bind", "idmap"})
		c.runFails().has(t, "/mounts/", "", "id-mapped mounts must have both uid and gid mappings specified, or a user namespace")
	})
	t.Run("one of the two", func(t *testing.T) {
		c := withOwners(t)
		c.volume([]string{"bind", "idmap"}, func(m *specs.Mount) { m.UIDMappings = []specs.LinuxIDMapping{idmap(0, 1, 1)} })
		c.runFails().has(t, "/mounts/", "", "id-mapped mounts must have both uid and gid mappings specified")
	})
	t.Run("a file system that cannot", func(t *testing.T) {
		c := withOwners(t)
		m := specs.Mount{Destination: "/mnt", Type: "bind", Source: "/proc/sys", Options: []string{"bind", "idmap"}}
		idmaps(idmap(0, 1000, 10))(&m)
		c.edit(mount(m))
		c.runFails().has(t, "/mounts/", "invalid argument", "map the ids of /proc/sys", "may not support id-mapped mounts")
	})
}

// The stub opens a source in the root file system, after earlier mounts.
func TestIdmappedSourceInTheRootfs(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	for name, edits := range map[string][]edit{"no user namespace": nil, "user namespace": {userNamespace(100000)}} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, append(edits, args("stat", "-c", "%u:%g", "/mnt/file"))...)
			c.write("rootfs/here/file", "")
			os.Chown(filepath.Join(c.rootfs, "here/file"), 7, 7)
			host := uint32(1000)
			if edits != nil {
				host += 100000
			}
			m := specs.Mount{Destination: "/mnt", Type: "bind", Source: filepath.Join(c.rootfs, "here"), Options: []string{"bind", "idmap"}}
			idmaps(idmap(7, host, 1), idmap(0, host-1000, 1))(&m)
			c.edit(mount(m))
			want(t, "owner", c.output(), "1000:1000")
		})
	}
}

// The mapping applies to one mount. Neither the source nor a second mount of it shows the mapped ids.
func TestIdmapStaysInTheContainer(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	c := withOwners(t, args("stat", "-c", "%u", "/mnt/sub/below", "/plain/sub/below"))
	c.volume([]string{"rbind", "ridmap"}, idmaps(idmap(0, 1000, 10)))
	c.edit(mount(specs.Mount{Destination: "/plain", Type: "bind", Source: filepath.Join(c.bundle, "source"), Options: []string{"rbind"}}))
	want(t, "owners", c.output(), "1007\n7")
	want(t, "owner on the host", ownerOf(t, filepath.Join(c.bundle, "source/sub/below")), "7")
}

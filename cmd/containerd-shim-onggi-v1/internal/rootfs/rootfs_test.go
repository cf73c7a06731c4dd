package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options []string
		flags   uintptr
		data    string
		loop    bool
		fail    bool
	}{
		{name: "none"},
		{name: "bind", options: []string{"rbind", "ro"}, flags: unix.MS_BIND | unix.MS_REC | unix.MS_RDONLY},
		{name: "a later option wins", options: []string{"ro", "rw", "nosuid"}, flags: unix.MS_NOSUID},
		{name: "overlay", options: []string{"index=off", "lowerdir=/a:/b"}, data: "index=off,lowerdir=/a:/b"},
		{name: "loop", options: []string{"loop", "ro"}, flags: unix.MS_RDONLY, loop: true},
		{name: "of containerd itself", options: []string{"X-containerd.mkfs.fs=ext4"}},
		{name: "id-mapped layers", options: []string{"uidmap=0:1000:10,10:5000:1", "gidmap=0:1000:10"}},
		{name: "half a map", options: []string{"uidmap=0:1000"}, fail: true},
		{name: "a map of no number", options: []string{"gidmap=0:-1:10"}, fail: true},
		{name: "a NUL", options: []string{"a\x00b"}, fail: true},
	} {
		got, err := parse(&wire.Mount{Type: "t", Source: "s", Options: tc.options})
		if (err != nil) != tc.fail || err == nil && (got.flags != tc.flags || strings.Join(got.data, ",") != tc.data || got.loop != tc.loop) {
			t.Errorf("%s: parse(%q) = %+v, %v; want flags %#x, data %q, loop %v, an error: %v", tc.name, tc.options, got, err, tc.flags, tc.data, tc.loop, tc.fail)
		}
	}
}

func TestRelative(t *testing.T) {
	for _, tc := range []struct{ data, dir, want string }{
		{"lowerdir=/var/s/1/fs:/var/s/2/fs,upperdir=/up", "/var/s", "lowerdir=1/fs:2/fs,upperdir=/up"},
		{"lowerdir=/a/1:/b/2", "/", "lowerdir=a/1:b/2"},
		{"upperdir=/up", "/", "upperdir=/up"},
	} {
		dir, got := request{data: strings.Split(tc.data, ",")}.relative()
		if dir != tc.dir || got != tc.want {
			t.Errorf("relative(%q) = %q, %q; want %q, %q", tc.data, dir, got, tc.dir, tc.want)
		}
	}
}

// TestManyLayers mounts an overlay with options that are longer than a page.
func TestManyLayers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root mounts")
	}
	base := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	var layers []string
	for i := range 60 {
		dir := filepath.Join(base, fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("file", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, dir)
	}
	target := filepath.Join(t.TempDir(), "rootfs")
	m := []*wire.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + strings.Join(layers, ":")}}}
	if err := Mount(m, target); err != nil {
		t.Fatal(err)
	}
	defer Unmount(target)
	files, err := os.ReadDir(target)
	if err != nil || len(files) != 60 {
		t.Errorf("%d files of 60 layers, %v", len(files), err)
	}
	if err := Unmount(target); err != nil {
		t.Error(err)
	}
	if err := Unmount(target); err != nil {
		t.Errorf("Unmount of no mount = %v", err)
	}
}

// TestIDMapped mounts layers with other owners than they have on disk, as an overlay and as a bind mount.
func TestIDMapped(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root mounts")
	}
	base := t.TempDir()
	for _, dir := range []string{"one", "two", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(base, dir, dir), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	maps := []string{"uidmap=0:200000:65536", "gidmap=0:300000:65536"}
	for _, tc := range []struct {
		name  string
		mount *wire.Mount
		file  string
	}{
		{"overlay", &wire.Mount{Type: "overlay", Source: "overlay", Options: append(maps, fmt.Sprintf("lowerdir=%[1]s/two:%[1]s/one", base), "upperdir="+base+"/upper", "workdir="+base+"/work")}, "one"},
		{"read-only overlay", &wire.Mount{Type: "overlay", Source: "overlay", Options: append(maps, fmt.Sprintf("lowerdir=%[1]s/two:%[1]s/one", base), "ro")}, "two"},
		{"bind", &wire.Mount{Type: "bind", Source: base + "/one", Options: append(maps, "rbind", "ro")}, "one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "rootfs")
			if err := Mount([]*wire.Mount{tc.mount}, target); err != nil {
				t.Fatal(err)
			}
			defer Unmount(target)
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(target, tc.file), &st); err != nil || st.Uid != 200000 || st.Gid != 300000 {
				t.Errorf("owner of %s = %d:%d, %v; want 200000:300000", tc.file, st.Uid, st.Gid, err)
			}
			err := os.WriteFile(filepath.Join(target, "new"), nil, 0o644)
			if readOnly := tc.name != "overlay"; (err != nil) != readOnly {
				t.Errorf("write = %v; want an error: %v", err, readOnly)
			}
			if err := Unmount(target); err != nil {
				t.Error(err)
			}
		})
	}
	if after, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(after), t.Name()) {
		t.Errorf("mounts are left: %s, %v", after, err) // the directories have the name of the test
	}
	if children, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid())); len(children) != 0 {
		t.Errorf("processes are left: %s", children)
	}
}

// TestIDMappedOfNothing checks the errors of maps that no mount can have.
func TestIDMappedOfNothing(t *testing.T) {
	for _, tc := range []struct {
		mount *wire.Mount
		want  string
	}{
		{&wire.Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"uidmap=0:1000:10"}}, "only overlays and bind mounts"},
		{&wire.Mount{Type: "overlay", Source: "overlay", Options: []string{"uidmap=0:1000:10:1"}}, "CONTAINER:HOST:SIZE"},
	} {
		if err := Mount([]*wire.Mount{tc.mount}, filepath.Join(t.TempDir(), "rootfs")); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Mount(%+v) = %v; want %q", tc.mount, err, tc.want)
		}
	}
}

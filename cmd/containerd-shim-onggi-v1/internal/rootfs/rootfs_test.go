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
		{name: "id-mapped layers", options: []string{"uidmap=0:1000:10"}, fail: true},
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

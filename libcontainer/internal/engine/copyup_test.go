package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// dirent returns a struct linux_dirent64.
func dirent(name string) []byte {
	n := (19 + len(name) + 1 + 7) &^ 7
	p := make([]byte, n)
	binary.NativeEndian.PutUint16(p[16:], uint16(n))
	copy(p[19:], name)
	return p
}

func TestEntries(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    []byte
		want []string
	}{
		{"nothing", nil, nil},
		{"some", slices.Concat(dirent("."), dirent("a"), dirent(".."), dirent("bcdefgh"), dirent("...")), []string{"a", "bcdefgh", "..."}},
		{"cut off", append(dirent("a"), dirent("b")[:12]...), []string{"a"}},
		{"a length of 0", append(dirent("a"), make([]byte, 24)...), []string{"a"}},
		{"a length beyond the end", append(dirent("a"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 'x', 0), []string{"a"}},
	} {
		if got := entries(tt.p); !slices.Equal(got, tt.want) {
			t.Errorf("%s: entries = %q; want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzEntries(f *testing.F) {
	f.Add(slices.Concat(dirent("."), dirent("a")))
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, name := range entries(p) {
			if name == "." || name == ".." || strings.Contains(name, "\x00") {
				t.Errorf("entries(%x) has %q", p, name)
			}
		}
	})
}

func TestCopyUp(t *testing.T) {
	in := newInside(t)
	in.file("d/file", "hello")
	in.file("d/empty", "")
	in.file("d/sub/deep/file", strings.Repeat("x", 3<<20)+"end") // more than one chunk
	in.file("d/link", "->../outside")
	in.file("d/dir", "/")
	in.file("d/pipe-dir", "/")
	mkfifo(in, "d/pipe-dir/pipe")
	mknod(in, "d/pipe-dir/null", 3)
	if err := unix.Mknod(filepath.Join(in.rootfs, "d/pipe-dir/socket"), unix.S_IFSOCK|0o600, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // more than one getdents
		in.file(fmt.Sprintf("d/many/a-file-with-a-name-that-is-rather-long-%s-%d", strings.Repeat("n", 100), i), "x")
	}
	for path, mode := range map[string]os.FileMode{"d/file": 0o640, "d/sub": 0o700 | os.ModeSticky, "d/sub/deep/file": 0o755 | os.ModeSetuid} {
		if err := os.Chmod(filepath.Join(in.rootfs, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	for path, id := range map[string]int{"d/file": 5, "d/sub": 6, "d/link": 7} {
		if err := os.Lchown(filepath.Join(in.rootfs, path), id, id+1); err != nil {
			t.Fatal(err)
		}
	}
	before := 0
	err := in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/other")},
		plan.Mount{Type: "tmpfs", At: place("/d"), CopyUp: true, ModeFromTarget: true},
		plan.Mount{Type: "tmpfs", At: place("/new"), CopyUp: true},
	}, func(path func(string) string) {
		before = in.descriptors()
		sameTree(t, filepath.Join(in.rootfs, "d"), path("/d"))
		if err := os.WriteFile(path("/d/file"), nil, 0o644); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if before > 4 {
		t.Errorf("the stub has %d descriptors open behind the copy", before)
	}
	if p, err := os.ReadFile(filepath.Join(in.rootfs, "d/file")); err != nil || string(p) != "hello" {
		t.Errorf("the original holds %q, %v", p, err)
	}
}

// sameTree compares all files of two trees: their types, modes, owners, device
// numbers and contents.
func sameTree(t *testing.T, from, to string) {
	t.Helper()
	n := 0
	err := filepath.Walk(from, func(path string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		n++
		rel := strings.TrimPrefix(path, from)
		copied := filepath.Join(to, rel)
		var a, b unix.Stat_t
		if err := unix.Lstat(path, &a); err != nil {
			return err
		}
		if err := unix.Lstat(copied, &b); err != nil {
			t.Errorf("%s: %v", rel, err)
			return nil
		}
		if rel != "" && (a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid) {
			t.Errorf("%s: mode %o, owner %d:%d; want %o, %d:%d", rel, b.Mode, b.Uid, b.Gid, a.Mode, a.Uid, a.Gid)
		}
		if a.Rdev != b.Rdev {
			t.Errorf("%s: device %x; want %x", rel, b.Rdev, a.Rdev)
		}
		return sameContent(t, rel, path, copied, fi)
	})
	if err != nil || n < 300 {
		t.Errorf("%d files compared, %v", n, err)
	}
}

func sameContent(t *testing.T, rel, path, copied string, fi os.FileInfo) error {
	t.Helper()
	read := os.ReadFile
	switch {
	case fi.IsDir(), fi.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDevice) != 0:
		return nil
	case fi.Mode()&os.ModeSymlink != 0:
		read = func(p string) ([]byte, error) { s, err := os.Readlink(p); return []byte(s), err }
	}
	want, err := read(path)
	if err != nil {
		return err
	}
	if got, err := read(copied); err != nil || string(got) != string(want) {
		t.Errorf("%s: %d bytes, %v; want %d", rel, len(got), err, len(want))
	}
	return nil
}

// TestCopyUpOfAnOwner: the owner of the tmpfs is not the owner of new files in it.
func TestCopyUpOfAnOwner(t *testing.T) {
	in := newInside(t)
	for _, name := range []string{"d/root", "d/five"} {
		in.file(name, "x")
	}
	in.file("d/link", "->five")
	for _, name := range []string{"d/five", "d/link"} {
		if err := os.Lchown(filepath.Join(in.rootfs, name), 5, 6); err != nil {
			t.Fatal(err)
		}
	}
	options := []plan.Param{{Key: "uid", Value: "5"}, {Key: "gid", Value: "6"}}
	err := in.take(newMountNamespace(), []plan.Step{plan.Mount{Type: "tmpfs", Params: options, At: place("/d"), CopyUp: true}}, func(path func(string) string) {
		for name, want := range map[string]uint32{"root": 0, "five": 5, "link": 5} {
			var st unix.Stat_t
			if err := unix.Lstat(path("/d/"+name), &st); err != nil || st.Uid != want {
				t.Errorf("owner of %s = %d, %v; want %d", name, st.Uid, err, want)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCopyUpIsTraced: the calls for an entry belong to the step, not to the plan's item
// with the entry's number.
func TestCopyUpIsTraced(t *testing.T) {
	in := newInside(t)
	in.job.Trace = timeline.New("copy")
	for i := range 40 {
		in.file(fmt.Sprint("d/", i), "x")
	}
	if err := in.take(newMountNamespace(), []plan.Step{plan.Mount{Type: "tmpfs", At: place("/d"), CopyUp: true}}, nil); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := in.job.Trace.WriteTo(&b); err != nil || !strings.Contains(b.String(), "39") {
		t.Errorf("WriteTo = %v", err)
	}
}

// TestCopyUpIsBounded: an image cannot make the copy arbitrarily expensive.
func TestCopyUpIsBounded(t *testing.T) {
	in := newInside(t)
	in.file("d"+strings.Repeat("/d", copyDepth+2), "/")
	err := in.take(newMountNamespace(), []plan.Step{plan.Mount{Type: "tmpfs", At: place("/d"), CopyUp: true}}, nil)
	if !errors.Is(err, unix.ELOOP) || !strings.Contains(err.Error(), "directories deep") {
		t.Errorf("a copy of %d directories = %v; want ELOOP", copyDepth+2, err)
	}
	in = newInside(t)
	in.file("d/file", strings.Repeat("x", 100<<10))
	err = in.take(newMountNamespace(), []plan.Step{plan.Mount{Type: "tmpfs", Params: []plan.Param{{Key: "size", Value: "16k"}}, At: place("/d"), CopyUp: true}}, nil)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "<file>") {
		t.Errorf("a copy larger than the tmpfs = %v; want ENOSPC", err)
	}
}

// TestCopyUpWarnsOfDevices: mknod(2) refuses devices in a user namespace.
func TestCopyUpWarnsOfDevices(t *testing.T) {
	in := newInside(t)
	in.file("d/dev", "/")
	mkfifo(in, "d/dev/pipe")
	mknod(in, "d/dev/null", 3)
	mknod(in, "d/dev/zero", 5)
	var warnings []string
	in.job.Warn = func(msg string) { warnings = append(warnings, msg) }
	err := in.take(newUserNamespace(0), []plan.Step{plan.Mount{Type: "tmpfs", At: place("/d"), CopyUp: true}}, func(path func(string) string) {
		if fi, err := os.Lstat(path("/d/dev/pipe")); err != nil || fi.Mode().Type() != os.ModeNamedPipe {
			t.Errorf("the copy of a FIFO is %v, %v", fi, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "tmpcopyup of /d: 2 special files are not copied, /d/dev/") || !strings.HasSuffix(warnings[0], " first: operation not permitted") {
		t.Errorf("warnings = %q; want one that names /d and a device", warnings)
	}
}

// TestCopyUpLongNames: each batch fits into the stub's arena, however long the
// names are.
func TestCopyUpLongNames(t *testing.T) {
	in := newInside(t)
	for i := range 400 {
		name := fmt.Sprintf("d/%03d%s", i, strings.Repeat("n", 252))
		switch i % 3 {
		case 0:
			in.file(name, "content")
		case 1:
			in.file(name, "->"+strings.Repeat("t", 3000))
		case 2:
			mkfifo(in, name)
		}
	}
	in.file("d", "/")
	err := in.take(newMountNamespace(), []plan.Step{plan.Mount{Type: "tmpfs", At: place("/d"), CopyUp: true, ModeFromTarget: true}}, func(path func(string) string) {
		sameTree(t, filepath.Join(in.rootfs, "d"), path("/d"))
	})
	if err != nil {
		t.Fatal(err)
	}
}

package seccomp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var small = []byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","frobnicate"],"action":"SCMP_ACT_ALLOW"}]}`)

// loadFrom loads a profile and reports whether it had to be decoded.
func loadFrom(t testing.TB, c Cache, raw []byte) (f Filter, decoded bool) {
	t.Helper()
	f, err := c.Load(context.Background(), raw, func() (*specs.LinuxSeccomp, error) {
		decoded = true
		return decodeProfile(t, raw), nil
	})
	if err != nil {
		t.Fatalf("Load() = %v", err)
	}
	return f, decoded
}

// filled returns a cache with one entry, its file and its filter.
func filled(t testing.TB) (c Cache, file string, f Filter) {
	t.Helper()
	needBuilder(t)
	c = Cache{Dir: filepath.Join(t.TempDir(), "state", "seccomp")}
	f, decoded := loadFrom(t, c, small)
	if !decoded {
		t.Fatal("an empty cache has the filter")
	}
	files := entries(t, c)
	if len(files) != 1 {
		t.Fatalf("files in the cache: %q; want 1", files)
	}
	return c, filepath.Join(c.Dir, files[0]), f
}

func entries(t testing.TB, c Cache) []string {
	t.Helper()
	list, err := os.ReadDir(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestCacheHit(t *testing.T) {
	c, file, first := filled(t)
	second, decoded := loadFrom(t, c, small)
	if decoded {
		t.Error("the profile was decoded a second time")
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("Load() = %+v; want what was compiled, %+v", second, first)
	}
	for path, want := range map[string]os.FileMode{c.Dir: 0o700 | os.ModeDir, file: 0o600} {
		if st, err := os.Lstat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", path, st.Mode(), err, want)
		}
	}
}

func TestCacheKey(t *testing.T) {
	c, _, _ := filled(t)
	if _, decoded := loadFrom(t, c, append([]byte(" "), small...)); !decoded {
		t.Error("other bytes have the same entry")
	}
}

// TestCacheBadEntry checks that a damaged or foreign entry is compiled again, and
// that the entry is good afterwards.
func TestCacheBadEntry(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, file string)
	}{
		{"empty", func(t *testing.T, file string) { truncate(t, file, 0) }},
		{"header only", func(t *testing.T, file string) { truncate(t, file, entryHeader) }},
		{"truncated", func(t *testing.T, file string) { truncate(t, file, size(t, file)-1) }},
		{"longer", func(t *testing.T, file string) { truncate(t, file, size(t, file)+1) }},
		{"huge", func(t *testing.T, file string) { truncate(t, file, 1<<40) }},
		{"a bit flipped", func(t *testing.T, file string) { flip(t, file, entryHeader+3) }},
		{"a flag flipped", func(t *testing.T, file string) { flip(t, file, 8) }},
		{"another profile's", another},
		{"foreign", func(t *testing.T, file string) { chown(t, file) }},
		{"readable by others", func(t *testing.T, file string) { check(t, os.Chmod(file, 0o644)) }},
		{"symlink", func(t *testing.T, file string) {
			check(t, os.Rename(file, file+"x"))
			check(t, os.Symlink(file+"x", file))
		}},
		{"FIFO", func(t *testing.T, file string) {
			check(t, os.Remove(file))
			check(t, unix.Mkfifo(file, 0o600))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, file, want := filled(t)
			tt.spoil(t, file)
			got, decoded := loadFrom(t, c, small)
			if !decoded {
				t.Error("the entry was used")
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("Load() = %+v; want %+v", got, want)
			}
			if _, decoded := loadFrom(t, c, small); decoded {
				t.Error("the entry was not written anew")
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, file string) int64 {
	t.Helper()
	st, err := os.Stat(file)
	check(t, err)
	return st.Size()
}

func truncate(t *testing.T, file string, size int64) {
	t.Helper()
	check(t, os.Truncate(file, size))
}

func flip(t *testing.T, file string, at int) {
	t.Helper()
	b, err := os.ReadFile(file)
	check(t, err)
	b[at] ^= 0x10
	check(t, os.WriteFile(file, b, 0o600))
}

func chown(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	check(t, os.Chown(path, 65534, -1))
}

// another replaces a file by the entry of another profile.
func another(t *testing.T, file string) {
	t.Helper()
	c := Cache{Dir: t.TempDir()}
	check(t, os.Chmod(c.Dir, 0o700))
	loadFrom(t, c, []byte(`{"defaultAction":"SCMP_ACT_ALLOW"}`))
	check(t, os.Rename(filepath.Join(c.Dir, entries(t, c)[0]), file))
}

// TestCacheBadDirectory checks that an untrusted or unusable directory disables the cache.
func TestCacheBadDirectory(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
	}{
		{"foreign", func(t *testing.T, dir string) { chown(t, dir) }},
		{"open to others", func(t *testing.T, dir string) { check(t, os.Chmod(dir, 0o770)) }},
		{"symlink", func(t *testing.T, dir string) {
			check(t, os.Rename(dir, dir+"x"))
			check(t, os.Symlink(dir+"x", dir))
		}},
		{"file", func(t *testing.T, dir string) {
			check(t, os.RemoveAll(dir))
			check(t, os.WriteFile(dir, nil, 0o600))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, want := filled(t)
			tt.spoil(t, c.Dir)
			for range 2 {
				if got, decoded := loadFrom(t, c, small); !decoded || !reflect.DeepEqual(got, want) {
					t.Errorf("Load() = %+v, decoded %v; want %+v, true", got, decoded, want)
				}
			}
		})
	}
}

func TestCacheReadOnlyAndFull(t *testing.T) {
	needBuilder(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	tests := []struct {
		name, options string
		flags         uintptr
	}{
		{"read-only", "mode=700", unix.MS_RDONLY},
		{"full", "mode=700,nr_inodes=1", 0},
		{"full of bytes", "mode=700,size=4k", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Cache{Dir: t.TempDir()}
			if err := unix.Mount("none", c.Dir, "tmpfs", tt.flags, tt.options); err != nil {
				t.Skipf("mount: %v", err)
			}
			defer unix.Unmount(c.Dir, unix.MNT_DETACH)
			raw := profiles(t)["docker-29"]
			for range 2 {
				if _, decoded := loadFrom(t, c, raw); !decoded {
					t.Error("the filter was in the cache")
				}
			}
			if files := entries(t, c); len(files) > 0 {
				t.Errorf("left behind: %q", files)
			}
		})
	}
}

func TestCacheWithoutDirectory(t *testing.T) {
	needBuilder(t)
	for range 2 {
		if _, decoded := loadFrom(t, Cache{}, small); !decoded {
			t.Error("a filter came from nowhere")
		}
	}
}

func TestCacheErrors(t *testing.T) {
	c := Cache{Dir: t.TempDir()}
	want := errors.New("no profile")
	_, err := c.Load(context.Background(), []byte("{}"), func() (*specs.LinuxSeccomp, error) { return nil, want })
	if !errors.Is(err, want) {
		t.Errorf("Load() = %v; want %v", err, want)
	}
	_, err = c.Load(context.Background(), []byte("{}"), func() (*specs.LinuxSeccomp, error) { return new(specs.LinuxSeccomp), nil })
	if err == nil || !strings.HasPrefix(err.Error(), "/linux/seccomp/defaultAction: ") {
		t.Errorf("Load() = %v; want the error of Compile", err)
	}
	if files := entries(t, c); len(files) > 0 {
		t.Errorf("left behind: %q", files)
	}
}

// fake returns a filter without compiling anything.
func fake(n byte) Filter {
	return Filter{Program: bytes.Repeat([]byte{n}, 8*1000), Unknown: []string{fmt.Sprint(n)}}
}

func TestCacheWriters(t *testing.T) {
	c := Cache{Dir: filepath.Join(t.TempDir(), "seccomp")}
	var writers sync.WaitGroup
	for n := range byte(8) {
		writers.Go(func() {
			for range 50 {
				c.write(key("1"), fake(n+1))
				if f, ok := c.read(key("1")); !ok || !reflect.DeepEqual(f, fake(f.Program[0])) {
					t.Errorf("read() while others write = %v; want one writer's entry, whole", ok)
				}
			}
		})
	}
	writers.Wait()
	if files := entries(t, c); len(files) != 1 {
		t.Errorf("left behind: %q; want one entry", files)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := Cache{Dir: filepath.Join(t.TempDir(), "seccomp")}
	c.write(key("`"), fake(1))
	for i := range maxEntries - 1 {
		name := filepath.Join(c.Dir, fmt.Sprintf(".left-%d", i))
		check(t, os.WriteFile(name, nil, 0o600))
		old := time.Now().Add(time.Duration(i-1000) * time.Second)
		check(t, os.Chtimes(name, old, old))
	}
	for n := range byte(5) {
		c.write(key(rune('a'+n)), fake(1+n))
	}
	if files := entries(t, c); len(files) != maxEntries {
		t.Errorf("%d files; want %d", len(files), maxEntries)
	}
	for n := range byte(6) {
		if _, ok := c.read(key(rune('a' - 1 + n))); !ok {
			t.Errorf("entry %d is gone; want the oldest files removed", n)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Dir, ".left-4")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of the fifth oldest file: %v; want it removed", err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, ".left-5")); err != nil {
		t.Errorf("stat of the sixth oldest file: %v; want it kept", err)
	}
}

func TestMarshal(t *testing.T) {
	filters := []Filter{
		fake(1),
		{Program: make([]byte, 8)},
		{Program: make([]byte, maxCode), Flags: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, Listener: true, Unknown: []string{"a", "b"}},
	}
	for i, want := range filters {
		b := want.marshal(key("2"))
		if got, ok := unmarshal(key("2"), b); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("filter %d: unmarshal(marshal()) = %+v, %v", i, got, ok)
		}
		if _, ok := unmarshal(key("3"), b); ok {
			t.Errorf("filter %d: unmarshal() accepts another key's entry", i)
		}
		for n := range min(len(b), 200) {
			if _, ok := unmarshal(key("2"), b[:n]); ok {
				t.Errorf("filter %d: unmarshal() accepts the first %d bytes", i, n)
			}
		}
	}
	for _, f := range []Filter{{Program: make([]byte, maxCode+8)}, {Program: make([]byte, 8), Unknown: []string{strings.Repeat("x", maxNames+1)}}} {
		if f.marshal(key("")) != nil {
			t.Error("marshal() of too much is not refused")
		}
	}
}

// FuzzUnmarshal checks that marshal would write everything that unmarshal accepts.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte{})
	f.Add(fake(1).marshal(key("")))
	f.Add(Filter{Program: make([]byte, 16)}.marshal(key("")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= entryHeader { // repair the sum, which no mutation leaves right
			binary.NativeEndian.PutUint64(b[sumAt:], sum64(string(b[:sumAt]), string(b[entryHeader:])))
		}
		got, ok := unmarshal(key(""), b)
		if !ok {
			return
		}
		if len(got.Program) == 0 || len(got.Program)%8 != 0 || len(got.Program) > maxCode {
			t.Errorf("a program of %d bytes", len(got.Program))
		}
		if again := got.marshal(key("")); !bytes.Equal(again, b) {
			t.Errorf("marshal(unmarshal(%x)) = %x", b, again)
		}
	})
}

func BenchmarkLoadHit(b *testing.B) {
	needBuilder(b)
	c := Cache{Dir: filepath.Join(b.TempDir(), "seccomp")}
	raw := profiles(b)["docker-29"]
	loadFrom(b, c, raw)
	for b.Loop() {
		if _, decoded := loadFrom(b, c, raw); decoded {
			b.Fatal("a miss")
		}
	}
}

package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

func TestComponents(t *testing.T) {
	for in, want := range map[string]string{"/": "", "": "", "/a": "a", "//a///b/": "a b", "a/./..": "a . .."} {
		if got := strings.Join(components(in), " "); got != want {
			t.Errorf("components(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestRelative(t *testing.T) {
	for in, want := range map[string]string{"/": ".", "/a": "a", "/a/b": "a/b"} {
		if got := relative(in); got != want {
			t.Errorf("relative(%q) = %q; want %q", in, got, want)
		}
	}
}

// TestMissingMountpoints: a missing mountpoint is created where the lookup inside
// the root would have led if it had existed.
func TestMissingMountpoints(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string // of the root file system
		at    string            // the destination
		want  string            // the place of the mountpoint; "" for an error
		errno unix.Errno
	}{
		{"a directory", nil, "/a", "/a", 0},
		{"several", nil, "/a/b/c/d", "/a/b/c/d", 0},
		{"some are there", map[string]string{"a/b": "/"}, "/a/b/c/d", "/a/b/c/d", 0},
		{"behind a symlink", map[string]string{"real": "/", "a": "->real"}, "/a/b", "/real/b", 0},
		{"behind an absolute symlink", map[string]string{"x/real": "/", "x/a": "->/x/real"}, "/x/a/b", "/x/real/b", 0},
		{"a dangling symlink", map[string]string{"a": "->far/away"}, "/a", "/far/away", 0},
		{"an absolute dangling symlink", map[string]string{"x/a": "->/far/away"}, "/x/a", "/far/away", 0},
		{"behind a dangling symlink", map[string]string{"a": "->far/away"}, "/a/b", "/far/away/b", 0},
		{"a chain of them", map[string]string{"a": "->b", "b": "->/c", "c": "->d/e"}, "/a", "/d/e", 0},
		{"upward", map[string]string{"x/y/a": "->../../z"}, "/x/y/a", "/z", 0},
		{"upward out of the root", map[string]string{"a": "->../../../../outside"}, "/a", "/outside", 0},
		{"dots", map[string]string{"a": "->./b/./../c"}, "/a", "/c", 0},
		{"the root by a symlink", map[string]string{"a": "->/"}, "/a/b", "/b", 0},
		{"a loop", map[string]string{"a": "->b", "b": "->a"}, "/a/x", "", unix.ELOOP},
		{"a symlink to itself", map[string]string{"a": "->a"}, "/a", "", unix.ELOOP},
		{"a file on the way", map[string]string{"a": "text"}, "/a/b", "", unix.ENOTDIR},
		{"a file at the end", map[string]string{"a": "text"}, "/a", "", unix.ENOTDIR},
		{"a symlink to a file on the way", map[string]string{"f": "text", "a": "->f"}, "/a/b/c", "", unix.ENOTDIR},
		{"a name that is too long", nil, "/" + strings.Repeat("x", 300) + "/b", "", unix.ENAMETOOLONG},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			for path, text := range tt.files {
				in.file(path, text)
			}
			err := in.take(newMountNamespace(), []plan.Step{
				plan.Mount{Type: "tmpfs", Params: []plan.Param{{Key: "mode", Value: "731"}}, At: place(tt.at)},
			}, func(path func(string) string) {
				fi, err := os.Stat(path(tt.want))
				if err != nil || fi.Mode().Perm() != 0o731 {
					t.Errorf("the tmpfs is not on %s: %v, %v", tt.want, fi, err)
				}
			})
			switch {
			case tt.want != "" && err != nil:
				t.Error(err)
			case tt.want == "" && !errors.Is(err, tt.errno):
				t.Errorf("mounting = %v; want %v", err, tt.errno)
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(in.rootfs), "outside")); err == nil {
				t.Error("a file was made outside of the root file system")
			}
		})
	}
}

// TestMissingFiles: the mountpoint of a file is created as a file.
func TestMissingFiles(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		at    string
		want  string
	}{
		{"in the root", nil, "/a", "/a"},
		{"deep", nil, "/x/y/a", "/x/y/a"},
		{"a dangling symlink", map[string]string{"a": "->far/away"}, "/a", "/far/away"},
		{"behind one", map[string]string{"d": "->/far"}, "/d/a", "/far/a"},
		{"there already", map[string]string{"a": "text"}, "/a", "/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			for path, text := range tt.files {
				in.file(path, text)
			}
			err := in.take(newMountNamespace(), []plan.Step{plan.Bind{Source: source, At: place(tt.at)}}, func(path func(string) string) {
				if text, err := os.ReadFile(path(tt.want)); err != nil || string(text) != "hello" {
					t.Errorf("%s holds %q, %v", tt.want, text, err)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKindMismatch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ source, at, what string }{
		{file, "/dir", "the file " + file},
		{filepath.Dir(file), "/file", "the directory "},
	} {
		in := newInside(t)
		in.file("dir", "/")
		in.file("file", "text")
		err := in.take(newMountNamespace(), []plan.Step{plan.Bind{Source: tt.source, At: place(tt.at)}}, nil)
		if !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), tt.what) || !strings.HasSuffix(err.Error(), "not a directory") {
			t.Errorf("%s on %s = %v; want %q in it", tt.source, tt.at, err, tt.what)
		}
	}
}

// TestMountpointModes: other users may enter created directories and read created
// files, whatever this process's umask is.
func TestMountpointModes(t *testing.T) {
	in := newInside(t)
	err := in.take(newMountNamespace(), []plan.Step{plan.Bind{Source: "/dev/null", At: place("/a/b/file")}}, func(func(string) string) {
		for path, want := range map[string]os.FileMode{"a": 0o755, "a/b": 0o755, "a/b/file": 0o644} {
			fi, err := os.Lstat(filepath.Join(in.rootfs, path))
			if err != nil || fi.Mode().Perm() != want {
				t.Errorf("%s: %v, %v; want %o", path, fi, err, want)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestManyMissingMountpoints: only a few of many missing mountpoints interrupt the
// walk, and none is created below a mount.
func TestManyMissingMountpoints(t *testing.T) {
	in := newInside(t)
	in.file("etc", "->/usr/etc")
	in.file("covered", "/")
	source, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	private := plan.Attrs{Propagation: unix.MS_PRIVATE}
	steps := []plan.Step{plan.Mount{Type: "tmpfs", At: place("/covered")}}
	for i := range 200 {
		steps = append(steps, plan.Bind{Source: source, At: place(fmt.Sprintf("/m/%d", i)), Attrs: private})
	}
	steps = append(steps,
		plan.Bind{Source: file, At: place("/f/file"), Attrs: private},
		plan.Bind{Source: file, At: place("/etc/file"), Attrs: private},
		plan.Bind{Source: source, At: plan.Place{Path: "/covered/a", Below: true}, Attrs: private},
		plan.Mount{Type: "tmpfs", At: place("/t")},
	)
	err := in.take(newMountNamespace(), steps, func(func(string) string) {
		for _, s := range steps {
			p := strings.Replace(placeOf(s), "/etc", "/usr/etc", 1)
			if _, ok := in.mountOf(p); !ok {
				t.Errorf("%s is not mounted", p)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(in.rootfs, "covered/a")); err == nil {
		t.Error("a mountpoint was made below a mount")
	}
	if in.files.points.missing > 4 { // the first two, the one behind a symlink and the one in a mount
		t.Errorf("the walk was held up %d times", in.files.points.missing)
	}
}

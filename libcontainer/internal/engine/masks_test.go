package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

func TestMasks(t *testing.T) {
	for _, userns := range []bool{false, true} {
		t.Run(fmt.Sprintf("user namespace %v", userns), func(t *testing.T) {
			in := newInside(t)
			in.file("file", "secret")
			in.file("dir/below", "secret")
			in.file("real", "secret")
			in.file("link", "->/real")
			in.file("sys/file", "not a directory, as what is masked there is in Linux")
			in.file("sys/dir/below", "secret")
			namespaces := newMountNamespace()
			if userns {
				namespaces = newUserNamespace(0)
			}
			in.masked = true
			err := in.take(namespaces, []plan.Step{plan.Masks{Paths: []string{"/file", "/dir", "/link", "/missing", "/sys/file", "/sys/dir"}}}, func(path func(string) string) {
				var null, st unix.Stat_t
				if err := unix.Stat("/dev/null", &null); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"/file", "/real", "/sys/file"} {
					if err := unix.Stat(path(name), &st); err != nil || st.Rdev != null.Rdev || st.Mode&unix.S_IFMT != unix.S_IFCHR {
						t.Errorf("%s is not the null device: %v, mode %o", name, err, st.Mode)
					}
				}
				for _, name := range []string{"/dir", "/sys/dir"} {
					if list, err := os.ReadDir(path(name)); err != nil || len(list) != 0 {
						t.Errorf("%s holds %v, %v; want nothing", name, list, err)
					}
				}
				if err := os.Mkdir(path("/dir/new"), 0o755); err == nil {
					t.Error("a directory can be made in a masked one")
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestManyPaths: a container may have more paths than one batch takes.
func TestManyPaths(t *testing.T) {
	const n = 600
	in := newInside(t)
	in.masked = true
	var masked, readonly []string
	for i := range n {
		masked = append(masked, fmt.Sprintf("/masked/with/a/rather/long/name/%d", i))
		readonly = append(readonly, fmt.Sprintf("/readonly/with/a/rather/long/name/%d", i))
		in.file(readonly[i]+"/x", "text")
		in.file(masked[i], "text")
	}
	err := in.take(newMountNamespace(), []plan.Step{plan.Readonly{Paths: readonly}, plan.Masks{Paths: masked}}, func(path func(string) string) {
		for i := range n {
			if err := os.WriteFile(path(readonly[i]+"/x"), nil, 0o644); err == nil {
				t.Errorf("%s can be written to", readonly[i])
			}
			if p, err := os.ReadFile(path(masked[i])); err != nil || len(p) != 0 {
				t.Errorf("%s holds %q, %v", masked[i], p, err)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestReadonly(t *testing.T) {
	in := newInside(t)
	in.file("dir/below/file", "text")
	in.file("file", "text")
	in.file("dir/volume", "/")
	err := in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/dir/volume")},
		plan.Readonly{Paths: []string{"/dir", "/file", "/missing"}},
	}, func(path func(string) string) {
		for name, writable := range map[string]bool{"/dir/below/file": false, "/file": false, "/dir/volume/file": true} {
			err := os.WriteFile(path(name), []byte("x"), 0o644)
			if (err == nil) != writable {
				t.Errorf("a write to %s = %v; want it possible: %v", name, err, writable)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	if p, err := os.ReadFile(filepath.Join(in.rootfs, "file")); err != nil || string(p) != "text" {
		t.Errorf("outside, the file holds %q, %v", p, err)
	}
}

// TestMaskSourcesAreHidden: the container cannot reach the mask sources.
func TestMaskSourcesAreHidden(t *testing.T) {
	in := newInside(t)
	in.masked = true
	in.file("file", "secret")
	err := in.take(newMountNamespace(), []plan.Step{plan.Masks{Paths: []string{"/file"}}, plan.Pivot{}}, func(path func(string) string) {
		info, err := os.ReadFile(strings.TrimSuffix(path("/"), "/root") + "/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(info)) {
			if f := strings.Fields(line); len(f) > 4 && f[4] != "/" && f[4] != "/file" {
				t.Errorf("the container has a mount more: %s", line)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

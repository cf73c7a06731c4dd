package cgroup

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMissing(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"/a": "", "/a/b": "", "/x": "/x", "/a/b/c": "/a/b/c", "/a/x/y/z": "/a/x /a/x/y /a/x/y/z", "/ab/b": "/ab /ab/b",
	} {
		got := strings.ReplaceAll(strings.Join(Dir{Mountpoint: root, Path: p}.missing(), " "), root, "")
		if got != want {
			t.Errorf("missing of %s = %q; want %q", p, got, want)
		}
	}
}

// TestLevels makes and removes directories one below the other. The relative names must not grow with the depth.
func TestLevels(t *testing.T) {
	for _, n := range []int{1, 2, 3, stride, stride + 1, 4*stride + 3} {
		root := t.TempDir()
		d := Dir{Mountpoint: root, Path: "/there" + strings.Repeat("/d", n)}
		if err := os.Mkdir(filepath.Join(root, "there"), 0o755); err != nil {
			t.Fatal(err)
		}
		c := creation{}
		var seen []string
		err := c.mkdirs(d.missing(), func(at group, name string) error {
			seen = append(seen, at.join(name))
			if strings.Count(name, "/") > stride {
				t.Errorf("%d levels: %q is prepared from %s", n, name, at.path)
			}
			if left := (Dir{Mountpoint: root, Path: d.Path}).missing(); len(left) != n-len(seen) {
				t.Errorf("%d levels: %d are missing when %d are made", n, len(left), len(seen))
			}
			return nil
		})
		if err != nil || !slices.Equal(c.made, seen) || len(seen) != n || seen[n-1] != d.Abs() {
			t.Errorf("%d levels: mkdirs = %v, made %v, prepared %v", n, err, c.made, seen)
		}
		made := slices.Clone(c.made)
		slices.Reverse(made)
		removeUnused(made)
		if entries, err := os.ReadDir(filepath.Join(root, "there")); err != nil || len(entries) > 0 {
			t.Errorf("%d levels: %v, %v is left", n, err, entries)
		}
	}
}

// TestRemoveUnused checks that removal stops at the first directory in use.
func TestRemoveUnused(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"a/b/c/d", "a/b/other"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := func(dir string) string { return filepath.Join(root, dir) }
	removeUnused([]string{at("a/b/c/d"), at("a/b/c"), at("a/b"), at("a")})
	if _, err := os.Stat(at("a/b/c")); !os.IsNotExist(err) {
		t.Errorf("a/b/c: %v; want it removed", err)
	}
	if _, err := os.Stat(at("a/b/other")); err != nil {
		t.Error(err)
	}
}

// TestKernelManyLevels checks that every level has the controllers, and that Remove leaves nothing.
func TestKernelManyLevels(t *testing.T) {
	p := newPaths(t, "levels"+strings.Repeat("/d", 20))
	missing := p.Missing()
	used, made, err := p.Create(CreateOptions{Missing: missing})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(made, missing) {
		t.Errorf("made %v; want %v", made, missing)
	}
	if u := used.Unified; u != nil {
		available, err := readPath(path.Join(u.Mountpoint, "cgroup.controllers"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readPath(path.Join(u.Abs(), "cgroup.controllers")); err != nil || got != available {
			t.Errorf("the lowest level has the controllers %q, %v; want %q", got, err, available)
		}
	}
	for _, d := range used.V1 {
		if contains(d.Controllers, "cpuset") {
			top, _ := readPath(path.Join(d.Mountpoint, "cpuset.cpus"))
			if got, err := readPath(path.Join(d.Abs(), "cpuset.cpus")); err != nil || got == "\n" || got != top {
				t.Errorf("the lowest level has the processors %q, %v; want %q", got, err, top)
			}
		}
	}
	if err := used.Remove(testContext(t), made); err != nil {
		t.Error(err)
	}
}

// TestKernelParentVanishes: another container removes the parent that it made, between Missing and Create.
func TestKernelParentVanishes(t *testing.T) {
	p, other := newPaths(t, "vanishes/below/x"), newPaths(t, "vanishes/below/other")
	theirs, madeByThem, err := other.Create(CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	missing := p.Missing()
	if err := theirs.Remove(testContext(t), madeByThem); err != nil {
		t.Fatal(err)
	}
	_, made, err := p.Create(CreateOptions{Missing: missing})
	if !errors.Is(err, ErrVanished) || len(made) > 0 {
		t.Errorf("Create with what was missing before made %v, %v; want ErrVanished", made, err)
	}
	used, made, err := p.Create(CreateOptions{Missing: p.Missing()})
	if err != nil {
		t.Fatal(err)
	}
	if err := used.Remove(testContext(t), made); err != nil {
		t.Error(err)
	}
}

// TestKernelSharedParents starts and ends containers with shared parents. None may fail because of another.
func TestKernelSharedParents(t *testing.T) {
	const containers, lives = 4, 50
	var wg sync.WaitGroup
	for n := range containers {
		p := newPaths(t, "shared/a/b/c/"+string(rune('0'+n)))
		wg.Go(func() {
			for range lives {
				used, made, err := p.Create(CreateOptions{})
				if err != nil {
					t.Errorf("Create: %v", err)
					return
				}
				if err := used.Remove(testContext(t), made); err != nil {
					t.Errorf("Remove: %v", err)
				}
			}
		})
	}
	wg.Wait()
	// A container leaves behind a level that it made if another container uses it.
	for d := range newPathsParent(newPaths(t, "shared/a/b/c/x")).dirs() {
		for dir := d.Path; dir != "/"; dir = path.Dir(dir) {
			_ = unix.Rmdir(path.Join(d.Mountpoint, dir))
		}
	}
}

// TestKernelLookAtMany compares one look at many cgroups with a look at each: frozen itself, frozen from above, or not.
func TestKernelLookAtMany(t *testing.T) {
	ctx := testContext(t)
	all, _ := create(t, newPaths(t, "look"), CreateOptions{})
	at := map[string]Paths{}
	for _, name := range []string{"frozen", "beside", "frozen/a", "frozen/b/c", "beside/a", "beside/b", "beside/c"} {
		p := all.clone()
		dirs, _ := p.named("")
		for _, d := range dirs {
			d.Path = path.Join(d.Path, name)
		}
		at[name], _ = create(t, p, CreateOptions{})
		if strings.Contains(name, "/") {
			start(t, at[name], "sleep", "100")
		}
	}
	look := LookAtMany()
	want := map[string]bool{"frozen/a": true, "frozen/b/c": true, "beside": false, "beside/a": false, "beside/b": true, "beside/c": false}
	for _, p := range []Paths{at["frozen"], at["beside/b"]} {
		if err := p.Freeze(ctx); err != nil {
			t.Fatal(err)
		}
		defer p.Thaw(ctx)
	}
	for name, want := range want {
		one, err := at[name].Frozen()
		if err != nil || one != want {
			t.Errorf("%s is frozen: %t, %v; want %t", name, one, err, want)
		}
		if many, err := look.Frozen(at[name]); err != nil || many != one {
			t.Errorf("%s is frozen, among many: %t, %v; want %t", name, many, err, one)
		}
	}
}

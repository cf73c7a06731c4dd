package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// field holds everything for the run of one layout.
type field struct {
	layout      string
	dir         string
	competitors []*competitor
	result      Result
}

// newField prepares the layout and the competitors of those names.
func newField(layout string, names ...string) (*field, error) {
	if layout == "v2" {
		if err := enterV2(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("/run", "onggi-bench-")
	if err != nil {
		return nil, err
	}
	// The state is in memory, as on most hosts. Some have /run on a disk, and the work of that
	// file system must not count.
	if err := unix.Mount("onggi-bench", dir, "tmpfs", 0, ""); err != nil {
		os.Remove(dir)
		return nil, fmt.Errorf("mount a tmpfs on %s: %w", dir, err)
	}
	f := &field{layout: layout, dir: dir, result: Result{Layout: layout, Machine: machine()}}
	if err := f.enlist(names); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// close removes everything. The mount is this process's own, and disappears with it.
func (f *field) close() {
	_ = unix.Unmount(f.dir, unix.MNT_DETACH)
	os.RemoveAll(f.dir)
}

func enterV2() error {
	if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Mount("none", "/sys/fs/cgroup", "cgroup2", 0, "")
}

func (f *field) enlist(names []string) error {
	own, err := filepath.Abs(subject)
	if err != nil {
		return err
	}
	floor := filepath.Join(f.dir, "floor.bin")
	for _, c := range []*competitor{
		{name: "floor", path: setting("FLOOR", floor), floor: true},
		{name: subject, path: setting("ONGGI", own)},
		{name: "crun", path: setting("CRUN", "crun")},
		{name: "runc", path: setting("RUNC", "runc")},
	} {
		if c.path == "none" || !slices.Contains(names, c.name) {
			continue
		}
		if c.path == floor {
			if err := buildFloor(floor); err != nil {
				return err
			}
		}
		if c.path, err = exec.LookPath(c.path); err != nil {
			return fmt.Errorf("%w (set %s to its path, or to none)", err, strings.ToUpper(c.name))
		}
		if err := errors.Join(reread(c.path), f.prepare(c)); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		f.competitors = append(f.competitors, c)
		f.result.Competitors = append(f.result.Competitors, Competitor{c.name, c.version})
	}
	return nil
}

func buildFloor(path string) error {
	cc := setting("CC", "cc")
	if out, err := exec.Command(cc, "-O2", "-static", "-o", path, "tests/bench/floor/floor.c").CombinedOutput(); err != nil {
		return fmt.Errorf("floor.c: %w\n%s", err, out)
	}
	return nil
}

// prepare gives a competitor its namespace, its rootfs, its bundle and its cgroup.
func (f *field) prepare(c *competitor) error {
	var err error
	c.lane, err = newLane(func() error {
		if c.name == "crun" && f.layout == "hybrid" {
			// crun refuses a hybrid layout. Without the unified mount it sees a v1 one.
			return unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.id = "bench"
	c.home = filepath.Join(f.dir, c.name)
	c.dir, c.root = filepath.Join(c.home, "bundle"), filepath.Join(c.home, "state")
	c.cgroup = fmt.Sprintf("/onggi-bench-%d-%s", os.Getpid(), c.name)
	c.version = "straight-line C"
	if !c.floor {
		c.version = version(c.name, c.path)
	}
	if err := errors.Join(os.MkdirAll(c.dir, 0o755), makeRootfs(filepath.Join(c.home, "rootfs"))); err != nil {
		return err
	}
	c.log, err = os.Create(filepath.Join(f.dir, c.name+".log"))
	return err
}

// runtimes returns the competitors without the floor, which can only run.
func (f *field) runtimes() []*competitor {
	return slices.DeleteFunc(slices.Clone(f.competitors), func(c *competitor) bool { return c.floor })
}

// stage gives each competitor a bundle with a command, and returns those that can run it. The floor knows the default one.
func (f *field) stage(name string, args ...string) ([]*competitor, error) {
	var able []*competitor
	for _, c := range f.competitors {
		if c.floor && name != defaultBundle {
			continue
		}
		if err := os.RemoveAll(filepath.Join(c.dir, "files")); err != nil {
			return nil, err
		}
		if files := filepath.Join(bundles, name, "files"); exists(files) {
			if err := os.CopyFS(filepath.Join(c.dir, "files"), os.DirFS(files)); err != nil {
				return nil, err
			}
		}
		if err := f.give(c, name, "/bin/true"); err != nil {
			return nil, err
		}
		if exists(filepath.Join(c.root, c.id)) { // left by a failed measurement
			c.verb("delete", "--force", c.id)
		}
		if _, err := c.run(); err != nil {
			f.note("%s: without %s, which cannot run it here: %v", name, c.name, err)
			c.verb("delete", "--force", c.id)
			continue
		}
		able = append(able, c)
		if err := f.give(c, name, args...); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(able, func(c *competitor) bool { return c.name == subject }) {
		return nil, fmt.Errorf("bundle %s: %s", name, strings.Join(f.result.Notes, "\n"))
	}
	return able, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// give writes a bundle with a command for a competitor.
func (f *field) give(c *competitor, name string, args ...string) error {
	spec, err := f.spec(name, args...)
	if err != nil {
		return err
	}
	return c.write(spec)
}

// spec returns a bundle's configuration with a command, without the limits for which this layout has no controller.
func (f *field) spec(name string, args ...string) (*specs.Spec, error) {
	spec, err := loadBundle(name)
	if err != nil {
		return nil, err
	}
	spec.Process.Args = args
	if f.layout == "v2" && !hasController("memory") {
		spec.Linux.Resources = &specs.LinuxResources{Devices: spec.Linux.Resources.Devices}
	}
	return spec, nil
}

// note adds a line to the report, once.
func (f *field) note(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	if !slices.Contains(f.result.Notes, text) {
		f.result.Notes = append(f.result.Notes, text)
		fmt.Fprintln(os.Stderr, "bench:", text)
	}
}

func hasController(name string) bool {
	data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return slices.Contains(strings.Fields(string(data)), name)
}

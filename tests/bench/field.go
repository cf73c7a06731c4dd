package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// competitor is a runtime, or the floor.
type competitor struct {
	name    string
	version string
	path    string
	floor   bool
	lane    *lane
	dir     string // its bundle; state is beside it
	root    string
	cgroup  string
	cgroups []string // the floor's, absolute
	log     *os.File
}

// field is everything that one layout's run needs.
type field struct {
	layout      string
	rules       bool // the bundle has device rules
	note        string
	dir         string
	competitors []*competitor
}

// newField prepares the layout and every competitor that works in it.
func newField(layout string) (*field, error) {
	if layout == "v2" {
		if err := enterV2(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("/run", "onggi-bench-")
	if err != nil {
		return nil, err
	}
	f := &field{layout: layout, dir: dir}
	if err := f.enlist(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *field) close() { os.RemoveAll(f.dir) }

func enterV2() error {
	if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Mount("none", "/sys/fs/cgroup", "cgroup2", 0, "")
}

func (f *field) enlist() error {
	floor, err := f.buildFloor()
	if err != nil {
		return err
	}
	own, err := filepath.Abs("onggi")
	if err != nil {
		return err
	}
	for _, c := range []*competitor{
		{name: "floor", path: setting("FLOOR", floor), floor: true},
		{name: "onggi", path: setting("ONGGI", own)},
		{name: "crun", path: setting("CRUN", "crun")},
		{name: "runc", path: setting("RUNC", "runc")},
	} {
		if c.path == "none" {
			continue
		}
		if c.path, err = exec.LookPath(c.path); err != nil {
			return fmt.Errorf("%w (set %s to its path, or to none)", err, strings.ToUpper(c.name))
		}
		if err := f.prepare(c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		f.competitors = append(f.competitors, c)
	}
	return f.agree()
}

func (f *field) buildFloor() (string, error) {
	path := filepath.Join(f.dir, "floor.bin")
	cc := setting("CC", "cc")
	if out, err := exec.Command(cc, "-O2", "-static", "-o", path, "tests/bench/floor/floor.c").CombinedOutput(); err != nil {
		return "", fmt.Errorf("floor.c: %w\n%s", err, out)
	}
	return path, nil
}

// prepare gives a competitor its namespace, its copy of the bundle, and its cgroup.
func (f *field) prepare(c *competitor) error {
	var err error
	c.lane, err = newLane(func() error {
		if c.name == "crun" && f.layout == "hybrid" {
			// It refuses a hybrid layout; without the unified mount it sees a v1 one.
			return unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
		}
		return nil
	})
	if err != nil {
		return err
	}
	home := filepath.Join(f.dir, c.name)
	c.dir, c.root = filepath.Join(home, "bundle"), filepath.Join(home, "state")
	c.cgroup = fmt.Sprintf("/onggi-bench-%d-%s", os.Getpid(), c.name)
	if c.floor {
		c.cgroups, c.version = cgroupDirs(c.cgroup), "straight-line C"
	} else {
		out, _ := exec.Command(c.path, "--version").Output()
		first, _, _ := strings.Cut(string(out), "\n")
		c.version = strings.TrimPrefix(first, c.name+" version ")
	}
	if c.log, err = os.Create(filepath.Join(f.dir, c.name+".log")); err != nil {
		return err
	}
	return makeRootfs(filepath.Join(c.dir, "rootfs"))
}

// agree finds the bundle that all competitors accept, so that all run the same.
//
// Without CAP_SYS_RESOURCE, crun before 1.9 cannot load a v2 device filter (it raises a limit that kernels since 5.11 do
// not look at). Then nobody gets device rules, and the report says so.
func (f *field) agree() error {
	f.rules = true
	failed := f.tryAll()
	if failed == nil {
		return nil
	}
	f.rules = false
	if err := f.tryAll(); err != nil {
		return errors.Join(failed, err)
	}
	f.note = "without device rules, because not everybody can load them here: " + strings.ReplaceAll(failed.Error(), "\n", " ")
	return nil
}

// spec is the default bundle's, as this layout's competitors have agreed on it.
func (f *field) spec(c *competitor, args ...string) *specs.Spec {
	spec := defaultSpec(c.cgroup, args...)
	if !f.rules {
		spec.Linux.Resources = nil
	}
	return spec
}

// bundles gives every competitor the command.
func (f *field) bundles(args ...string) error {
	for _, c := range f.competitors {
		if err := c.write(f.spec(c, args...)); err != nil {
			return err
		}
	}
	return nil
}

func (c *competitor) write(spec *specs.Spec) error {
	data, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, "config.json"), data, 0o644)
}

func (f *field) tryAll() error {
	if err := f.bundles("/bin/true"); err != nil {
		return err
	}
	for _, c := range f.competitors {
		if _, err := c.run(); err != nil {
			return err
		}
	}
	return nil
}

// cgroupDirs are the absolute names of a cgroup in every hierarchy.
func cgroupDirs(path string) []string {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	var dirs []string
	for line := range strings.Lines(string(data)) {
		front, back, _ := strings.Cut(line, " - ")
		if strings.HasPrefix(back, "cgroup ") || strings.HasPrefix(back, "cgroup2 ") {
			dirs = append(dirs, filepath.Join(strings.Fields(front)[4], path))
		}
	}
	return dirs
}

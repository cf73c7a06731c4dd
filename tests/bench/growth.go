package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Curve shows how a cost grows with the number of something.
type Curve struct {
	Name   string // of the file
	Title  string
	Axis   string
	Per    string // the noun for one unit of X
	Unit   string // of the values; empty: milliseconds
	Points []Point
}

// Point is one place on the axis, with the values there.
type Point struct {
	X       float64
	Samples map[string][]float64
}

func (c *Curve) add(x int, competitor string, value float64) {
	n := len(c.Points)
	if n == 0 || c.Points[n-1].X != float64(x) {
		c.Points = append(c.Points, Point{float64(x), map[string][]float64{}})
		n++
	}
	samples := c.Points[n-1].Samples
	samples[competitor] = append(samples[competitor], value)
}

// growth is a part of a container of which there can be more or less.
type growth struct {
	Curve
	points []int
	slow   int  // the last point for runc, which is slow
	cold   bool // with an unused state directory
	shape  func(c *competitor, spec *specs.Spec, x int) error
	after  func(c *competitor)
}

func (f *field) growths() []growth {
	source := filepath.Join(f.dir, "source")
	return []growth{
		{
			Curve:  Curve{Name: "mounts", Title: "run, with more bind mounts", Axis: "bind mounts, read-only", Per: "mount"},
			points: []int{0, 50, 100, 250, 500, 750, 1000}, slow: 250,
			shape: func(c *competitor, spec *specs.Spec, x int) error { return manyMounts(c, spec, source, x) },
		},
		{
			Curve:  Curve{Name: "environment", Title: "run, with more environment", Axis: "KiB of process.env, in variables of 1 KiB", Per: "KiB"},
			points: []int{0, 128, 256, 512, 768, 1024}, slow: 1024,
			shape: func(_ *competitor, spec *specs.Spec, x int) error { return bigEnvironment(spec, x) },
		},
		{
			Curve:  Curve{Name: "seccomp-cold", Title: "run, with more seccomp rules, compiled", Axis: "rules with an argument", Per: "rule"},
			points: []int{0, 50, 100, 250, 375, 500}, slow: 500, cold: true,
			shape: func(_ *competitor, spec *specs.Spec, x int) error { return manyRules(spec, x) },
		},
		{
			Curve:  Curve{Name: "seccomp-warm", Title: "run, with more seccomp rules, compiled before", Axis: "rules with an argument", Per: "rule"},
			points: []int{0, 50, 100, 250, 375, 500}, slow: 500,
			shape: func(_ *competitor, spec *specs.Spec, x int) error { return manyRules(spec, x) },
		},
		{
			Curve:  Curve{Name: "cgroup-depth", Title: "run, deeper in the cgroup hierarchy", Axis: "cgroups above the container's", Per: "level"},
			points: []int{0, 4, 8, 16, 32, 64}, slow: 64,
			shape: func(c *competitor, _ *specs.Spec, x int) error {
				c.cgroup += strings.Repeat("/d", x) + "/c"
				return nil
			},
			after: func(c *competitor) { removeCgroups(c.cgroup) },
		},
	}
}

func manyMounts(c *competitor, spec *specs.Spec, source string, count int) error {
	for n := range count {
		name := fmt.Sprintf("m/%04d", n)
		if err := os.MkdirAll(filepath.Join(c.home, "rootfs", name), 0o755); err != nil {
			return err
		}
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/" + name, Type: "bind", Source: source, Options: []string{"bind", "ro"}})
	}
	return os.MkdirAll(source, 0o755)
}

func bigEnvironment(spec *specs.Spec, kib int) error {
	for n := range kib {
		entry := fmt.Sprintf("VARIABLE_%04d=", n)
		spec.Process.Env = append(spec.Process.Env, entry+strings.Repeat("x", 1023-len(entry)))
	}
	return nil
}

// manyRules writes a profile that allows everything, with that many comparisons of an argument, which never match.
func manyRules(spec *specs.Spec, count int) error {
	seccomp := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	names := []string{"personality", "ioctl", "prctl", "socket", "fcntl", "madvise", "kcmp", "keyctl", "setsockopt", "getsockopt"}
	for n := range count {
		seccomp.Syscalls = append(seccomp.Syscalls, specs.LinuxSyscall{
			Names: names[n%len(names) : n%len(names)+1], Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: uint64(0x10000000 + n), Op: specs.OpEqualTo}},
		})
	}
	if count > 0 {
		spec.Linux.Seccomp = seccomp
	}
	return nil
}

// removeCgroups removes a cgroup and its parents, up to the one that the first word of the path names.
func removeCgroups(path string) {
	for ; path != "/"; path = filepath.Dir(path) {
		for _, dir := range cgroupDirs(path) {
			os.Remove(dir)
		}
	}
}

// measureGrowth draws the curves.
func (f *field) measureGrowth(s settings) error {
	able, err := f.stage(defaultBundle, "/bin/true")
	if err != nil {
		return err
	}
	for _, g := range f.growths() {
		if err := f.grow(&g, able, s.curveRuns); err != nil {
			return fmt.Errorf("%s: %w", g.Name, err)
		}
		f.result.Curves = append(f.result.Curves, g.Curve)
	}
	return f.measureCrowded(s)
}

func (f *field) grow(g *growth, able []*competitor, runs int) error {
	for _, x := range g.points {
		grown := make([]*competitor, 0, len(able))
		for _, c := range able {
			if c.floor || c.name == "runc" && x > g.slow {
				continue
			}
			shaped, err := f.shape(g, c, x)
			if err != nil {
				return err
			}
			grown = append(grown, shaped)
		}
		for n := range 1 + runs { // one more to warm up
			for _, c := range shuffled(grown, n) {
				used, err := c.warmOrCold(g.cold)
				if err := f.tolerate(c, err); err != nil {
					return err
				}
				if n > 0 && err == nil {
					g.add(x, c.name, used.wall)
				}
			}
			runtime.GC()
		}
		for _, c := range grown {
			if g.after != nil {
				g.after(c)
			}
		}
	}
	return nil
}

// shape returns the competitor with a bundle that has x units of the growing part.
func (f *field) shape(g *growth, c *competitor, x int) (*competitor, error) {
	spec, err := f.spec(defaultBundle, "/bin/true")
	if err != nil {
		return nil, err
	}
	shaped := *c
	if err := g.shape(&shaped, spec, x); err != nil {
		return nil, err
	}
	return &shaped, shaped.write(spec)
}

func (c *competitor) warmOrCold(cold bool) (usage, error) {
	if !cold {
		return c.run()
	}
	fresh := *c
	fresh.root = filepath.Join(c.home, "fresh")
	defer os.RemoveAll(fresh.root)
	used, err := fresh.run()
	if err != nil {
		fresh.verb("delete", "--force", fresh.id)
	}
	return used, err
}

// slope fits a line to the medians, by least squares. It returns the milliseconds for one more unit, and the line's start.
func (c Curve) slope(competitor string) (slope, start float64) {
	var n, sx, sy, sxx, sxy float64
	for _, p := range c.Points {
		if samples := p.Samples[competitor]; len(samples) > 0 {
			y := summarize(samples).median
			n, sx, sy, sxx, sxy = n+1, sx+p.X, sy+y, sxx+p.X*p.X, sxy+p.X*y
		}
	}
	slope = (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return slope, (sy - slope*sx) / n
}

// bend returns the ratio of the last median to the straight line through the first and the middle one: about 1 for linear
// growth, more for faster growth. A line with hardly any growth is "flat".
func (c Curve) bend(competitor string) string {
	var xs, ys []float64
	for _, p := range c.Points {
		if samples := p.Samples[competitor]; len(samples) > 0 {
			xs, ys = append(xs, p.X), append(ys, summarize(samples).median)
		}
	}
	if len(xs) < 3 {
		return "–"
	}
	last, middle := len(xs)-1, len(xs)/2
	if ys[last] < 1.15*ys[0] {
		return "flat"
	}
	straight := ys[0] + (ys[middle]-ys[0])/(xs[middle]-xs[0])*(xs[last]-xs[0])
	// A middle below the first point is noise. Then the line is level.
	return fmt.Sprintf("%.2f", ys[last]/max(straight, ys[0]))
}

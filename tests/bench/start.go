package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// mountPoints are the numbers of the host's mounts, cgroup2 included.
var mountPoints = []int{22, 100, 250, 500, 1000, 2000, 4000}

// startRuns is the number of starts of each binary at each point. The minimum is taken: other work of the machine
// cannot lower it.
const startRuns = 200

// starts measures `--version` by the number of the host's mounts, with and without the patch of .ci/toolchain. It writes
// a plot and a table.
func starts() error {
	dir, err := os.MkdirTemp("", "onggi-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	patched, plain := filepath.Join(dir, "patched"), filepath.Join(dir, "plain")
	overlay, err := exec.Command(".ci/toolchain/overlay", "bin/_overlay").Output()
	if err != nil || len(overlay) == 0 {
		return fmt.Errorf("no patch for this Go: %w", cmp.Or(err, errors.New("see .ci/toolchain/results")))
	}
	if err := errors.Join(link(patched, "-overlay", string(bytes.TrimSpace(overlay))), link(plain)); err != nil {
		return err
	}
	os.Args = append(os.Args[:2], patched, plain) // for the process in the other mount namespace
	var c Curve
	if err := inLayout("v2", &c); err != nil {
		return err
	}
	out := setting("BENCH_OUT", published)
	if err := os.WriteFile(filepath.Join(out, c.Name+".svg"), []byte(Plot(c, startLines)), 0o644); err != nil {
		return err
	}
	table := c.minima()
	fmt.Print(table)
	if out != published {
		return nil
	}
	return rewrite(published+".md", map[string]string{"start": table})
}

// link builds onggi as the Makefile does, without its version.
func link(to string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-tags", "onggi_helper", "-ldflags=-s -w"}, flags...)
	cmd := exec.Command("go", append(args, "-o", to, "./cmd/onggi")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// startLines are the lines of the plot, by binary and by the place of the cgroup mount among the others.
var startLines = []Competitor{{"patched, early", ""}, {"patched, late", ""}, {"plain, early", ""}, {"plain, late", ""}}

// measureStarts runs in a mount namespace of its own, which has nothing but the points.
func measureStarts(binaries []string) (*Curve, error) {
	c := &Curve{Name: "start", Title: "--version, with more mounts on the host", Axis: "mounts in /proc/self/mountinfo", Per: "mount"}
	log, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	for _, binary := range binaries {
		if err := reread(binary); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "onggi-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, n := range mountPoints {
		for _, place := range []string{"early", "late"} {
			l, err := newLane(func() error { return mountMany(dir, n, place) })
			if err != nil {
				return nil, err
			}
			least, err := minimum(l, log, binaries)
			l.close()
			if err != nil {
				return nil, err
			}
			c.add(n, "patched, "+place, least[0])
			c.add(n, "plain, "+place, least[1])
		}
	}
	return c, nil
}

// mountMany adds mounts until the namespace has n of them. It mounts cgroup2 before the added ones ("early") or behind
// them.
func mountMany(dir string, n int, place string) error {
	if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
		return err
	}
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	add := n - strings.Count(string(data), "\n") - 1
	if add < 0 {
		return fmt.Errorf("%d mounts are here; want at most %d", n-add, n)
	}
	cgroup := func() error { return unix.Mount("none", "/sys/fs/cgroup", "cgroup2", 0, "") }
	if place == "early" {
		err = cgroup()
	}
	for range add {
		err = errors.Join(err, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	}
	if place == "late" {
		err = errors.Join(err, cgroup())
	}
	return err
}

// minimum returns the least time of a start of each binary, which take turns.
func minimum(l *lane, log *os.File, binaries []string) ([]float64, error) {
	least := make([]float64, len(binaries))
	for i := range least {
		least[i] = math.Inf(1)
	}
	for range startRuns {
		for i, binary := range binaries {
			used, err := l.run(log, binary, "--version")
			if err != nil {
				return nil, fmt.Errorf("%s --version: %w", binary, err)
			}
			least[i] = min(least[i], used.wall)
		}
	}
	return least, nil
}

// minima returns the table of the curve, in milliseconds.
func (c Curve) minima() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s. The minimum of %d starts in milliseconds:\n\n", machine(), runtime.Version(), startRuns)
	fmt.Fprintf(&b, "| mounts | with the patch, cgroup mounted early | late | without, early | late |\n|---:|---:|---:|---:|---:|\n")
	for _, p := range c.Points {
		fmt.Fprintf(&b, "| %.0f |", p.X)
		for _, line := range startLines {
			fmt.Fprintf(&b, " %.2f |", summarize(p.Samples[line.Name]).min)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n![%s](performance/%s.svg)\n", c.Title, c.Name)
	return b.String()
}

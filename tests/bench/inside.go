package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// insideTree is an archive of a Debian with the programs of insideWorkloads.
const insideTree = "bin/inside.tar"

// insideUser runs them: postgres refuses to be root.
const insideUser = 1000

// insideWorkloads are programs under load, by the names of inside.sh.
var insideWorkloads = []struct{ name, unit string }{
	{"redis", "redis, GET over a Unix socket, requests/s"},
	{"pgbench", "pgbench, select only, 4 clients, transactions/s"},
	{"nginx", "nginx, a page of 4 KiB, 16 connections, requests/s"},
	{"fio", "fio, random reads and writes of 4 KiB, operations/s"},
	{"fork", "fork, execve and wait of `true`, a second"},
}

// inside measures programs that run in containers, and on the host, and prints the table.
func inside() error {
	if os.Getuid() != 0 {
		return errors.New("needs root")
	}
	var found InsideResult
	if err := inLayout("v2", &found); err != nil {
		return err
	}
	fmt.Print(found.table())
	return nil
}

// InsideResult has the figures of all workloads.
type InsideResult struct {
	Machine string
	Names   []string // the columns
	Rounds  int
	Load    [2]float64 // processes ready to run, a minute's mean: before and after
	Rates   map[string]map[string][]float64
}

// insideLayout measures each workload with each runtime and on the host, in turns.
func insideLayout(layout string) (*InsideResult, error) {
	f, err := newField(layout, subject, "crun", "runc")
	if err != nil {
		return nil, err
	}
	defer f.close()
	rounds, err := strconv.Atoi(setting("BENCH_RUNS", "5"))
	if err != nil {
		return nil, fmt.Errorf("BENCH_RUNS: %w", err)
	}
	root, err := os.MkdirTemp("", "onggi-inside-") // on a disk, as images are
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	if err := unpackInside(root); err != nil {
		return nil, err
	}
	r := &InsideResult{Machine: f.result.Machine, Rounds: rounds, Rates: map[string]map[string][]float64{}}
	for _, c := range f.competitors {
		r.Names = append(r.Names, c.name+" "+c.version)
	}
	r.Names = append(r.Names, "host")
	r.Load[0] = loadAverage()
	for _, w := range insideWorkloads {
		if only := words("BENCH_ITEMS", w.name); !slices.Contains(only, w.name) {
			continue
		}
		rates := map[string][]float64{}
		r.Rates[w.name] = rates
		for round := range rounds {
			for i := range r.Names {
				i = (i + round) % len(r.Names) // in each round another one is first
				var rate float64
				if i < len(f.competitors) {
					rate, err = f.competitors[i].inside(root, w.name)
				} else {
					rate, err = hostInside(root, w.name)
				}
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", w.name, r.Names[i], err)
				}
				rates[r.Names[i]] = append(rates[r.Names[i]], rate)
			}
		}
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", w.name, rates)
	}
	r.Load[1] = loadAverage()
	return r, nil
}

// unpackInside makes a root file system with the workloads, and a directory that their user may write to.
func unpackInside(root string) error {
	if out, err := exec.Command("tar", "-C", root, "-xf", insideTree).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s (make bin/inside.tar)", insideTree, err, out)
	}
	script, err := os.ReadFile("tests/bench/inside.sh")
	data := filepath.Join(root, "data")
	return errors.Join(err,
		os.WriteFile(filepath.Join(root, "inside.sh"), script, 0o755),
		os.Mkdir(data, 0o755), os.Chown(data, insideUser, insideUser), os.Chmod(root, 0o755),
		os.WriteFile(filepath.Join(root, "etc/passwd"), fmt.Appendf(nil, "root:x:0:0::/:/bin/sh\nbench:x:%d:%[1]d::/data:/bin/sh\n", insideUser), 0o644))
}

// inside runs a workload in a container of the default configuration.
func (c *competitor) inside(root, workload string) (float64, error) {
	spec := defaultSpec()
	spec.Process.Args = []string{"/inside.sh", workload, "/data"}
	spec.Process.User = specs.User{UID: insideUser, GID: insideUser}
	spec.Process.Rlimits, spec.Root.Readonly = nil, false
	if err := c.write(spec); err != nil {
		return 0, err
	}
	// The root file system is a mount of its own, as an engine's.
	home := filepath.Join(c.home, "rootfs")
	if err := unix.Mount(root, home, "", unix.MS_BIND, ""); err != nil {
		return 0, err
	}
	defer unix.Unmount(home, unix.MNT_DETACH)
	return rateOf(c.argv("run", "--bundle", c.dir, c.id)...)
}

// hostInside runs the same programs in the same tree without a container.
func hostInside(root, workload string) (float64, error) {
	return rateOf("unshare", "--mount", "--", "sh", "-ec",
		`mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"; exec chroot --userspec=`+fmt.Sprint(insideUser, ":", insideUser)+` "$1" /inside.sh "$2" /data`, "sh", root, workload)
}

// rateOf runs a command line that prints one number.
func rateOf(argv ...string) (float64, error) {
	var out, said bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%w: %s%s", err, out.String(), said.String())
	}
	return strconv.ParseFloat(strings.TrimSpace(out.String()), 64)
}

func loadAverage() float64 {
	data, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(data), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

// table returns the medians as a table in Markdown.
func (r *InsideResult) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s Medians of %d rounds in turns, higher is better. Before the run, %.1f processes were ready to run on this machine (the mean of a minute); after it, %.1f",
		r.Machine, r.Rounds, r.Load[0], r.Load[1])
	if r.Load[0] > 1 {
		b.WriteString(", so the machine was busy with other work")
	}
	fmt.Fprintf(&b, ".\n\n| workload | %s |\n%s|\n", strings.Join(r.Names, " | "), strings.Repeat("|---", 1+len(r.Names)))
	for _, w := range insideWorkloads {
		if r.Rates[w.name] == nil {
			continue
		}
		b.WriteString("| " + w.unit + " |")
		for _, name := range r.Names {
			rates := slices.Sorted(slices.Values(r.Rates[w.name][name]))
			fmt.Fprintf(&b, " %d |", int(math.Round(rates[len(rates)/2])))
		}
		b.WriteString("\n")
	}
	return b.String()
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// historyFile is the file of the recorded counts.
const historyFile = "tests/bench/history.tsv"

// The numbers of lives of a container that are counted. The smallest count is taken: most variation is additional work,
// such as an interrupted wait or a missing directory. Page faults vary most, with the work of the threads.
const (
	tracedLives  = 5
	plainLives   = 15
	countedLives = 15
)

// countedBundles are the default bundle and one of an engine, with a seccomp profile.
var countedBundles = []string{defaultBundle, "docker-29"}

// counts compares the counts with the recorded ones and fails if one has become worse. With the argument "record" it
// records them instead.
func counts(args []string) error {
	now := map[string]float64{}
	for _, layout := range countedLayouts() {
		var found map[string]float64
		if err := inLayout(layout, &found); err != nil {
			return err
		}
		maps.Copy(now, found)
	}
	if err := errors.Join(countAllocations(now), countBytes(now)); err != nil {
		return err
	}
	data, err := os.ReadFile(historyFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	h, err := parseHistory(string(data))
	if err != nil {
		return fmt.Errorf("%s: %w", historyFile, err)
	}
	if len(args) > 0 && args[0] == "record" {
		h.record(commit(), kernel(), runtime.Version(), now)
		return os.WriteFile(historyFile, []byte(h.String()), 0o644)
	}
	return judge(h, now)
}

// judge prints the changes. Different counts with another kernel or another compiler are no failure.
func judge(h history, now map[string]float64) error {
	if len(h.commits) == 0 {
		return fmt.Errorf("%s is empty: make counts-update", historyFile)
	}
	end := len(h.commits) - 1
	changes := compare(h.last(), now)
	worse, noise := 0, 0
	for _, c := range changes {
		switch {
		case c.noise:
			noise++
			continue
		case c.worse:
			worse++
		}
		fmt.Println(c)
	}
	fmt.Printf("%d figures; since %s %d have changed, %d of them for the worse; %d differ by no more than they vary\n",
		len(now), h.commits[end], len(changes)-noise, worse, noise)
	if h.kernels[end] != kernel() || h.goes[end] != runtime.Version() {
		fmt.Printf("not judged: recorded on Linux %s with %s, this is %s with %s\n", h.kernels[end], h.goes[end], kernel(), runtime.Version())
		return nil
	}
	if worse > 0 {
		return fmt.Errorf("%d figures are worse; if that is meant, make counts-update", worse)
	}
	return nil
}

// kernel returns the version of the kernel without its last parts, which do not change the calls.
func kernel() string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err.Error()
	}
	parts := strings.SplitN(unix.ByteSliceToString(uts.Release[:]), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=8", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// countedLayouts returns both layouts, or v2 alone if the machine has no other.
func countedLayouts() []string {
	if exists("/sys/fs/cgroup/cgroup.controllers") {
		return []string{"v2"}
	}
	return []string{"hybrid", "v2"}
}

// countLayout counts in one layout.
func countLayout(layout string) (map[string]float64, error) {
	f, err := newField(layout, subject)
	if err != nil {
		return nil, err
	}
	defer f.close()
	c := f.competitors[0]
	now := map[string]float64{}
	counters, release, err := f.eventCounters()
	if err != nil {
		return nil, err
	}
	defer release()
	traced, others := tracedLives, plainLives+countedLives
	if lives := os.Getenv("BENCH_LIVES"); lives != "" {
		if traced, err = strconv.Atoi(lives); err != nil {
			return nil, fmt.Errorf("BENCH_LIVES: %w", err)
		}
		others = 0
	}
	for _, bundle := range words("BENCH_BUNDLES", strings.Join(countedBundles, " ")) {
		if _, err := f.stage(bundle, "/bin/true"); err != nil {
			return nil, err
		}
		for n := range traced + others {
			count := f.countCalls
			switch {
			case n >= traced+plainLives:
				count = counters.countEvents
			case n >= traced:
				count = f.countFaults
			}
			found, err := count(c, bundle)
			if err != nil {
				return nil, fmt.Errorf("%s: %w: %s", bundle, err, c.lastLine())
			}
			for name, count := range found {
				keepLeast(now, layout+"/"+bundle+"/"+name, count)
			}
		}
	}
	return now, nil
}

func keepLeast(all map[string]float64, name string, count float64) {
	if before, ok := all[name]; !ok || count < before {
		all[name] = count
	}
}

// countFaults counts the page faults of each verb of a life.
func (f *field) countFaults(c *competitor, bundle string) (map[string]float64, error) {
	found := map[string]float64{}
	return found, f.round(c, bundle, func(name string, used usage) {
		if name != whole {
			found[name+"/faults"] = used.faults
		}
	})
}

// eventCounts counts with the kernel's counters, which do not influence a verb.
type eventCounts struct {
	*field
	counters []counter
}

// eventCounters opens the counters. Without tracepoints the counts are left out.
func (f *field) eventCounters() (*eventCounts, func(), error) {
	counters, err := withPoints(f.dir, append(slices.Clone(allCalls), someCalls...)...)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: only page faults and context switches: %v\n", err)
		counters = software
	}
	release, err := f.hold(counters)
	return &eventCounts{f, counters}, release, err
}

// countEvents counts the system calls, by kind, and the context switches of each verb of a life, on both sides. Page faults
// are those of countFaults, which has no counter that could cause one.
func (e *eventCounts) countEvents(c *competitor, bundle string) (map[string]float64, error) {
	found := map[string]float64{}
	return found, e.counted(c, bundle, e.counters, func(verb string, counts map[string]float64) {
		for kind, count := range counts {
			if kind != "cpu" && kind != "faults" {
				found[verb+"/"+kind] = count
			}
		}
	})
}

// countCalls counts the system calls of each verb of a life, on both sides.
func (f *field) countCalls(c *competitor, bundle string) (map[string]float64, error) {
	found := map[string]float64{}
	traced := *c
	dirs := map[string]string{}
	traced.wrap = func(argv []string) []string {
		verb := argv[3] // argv[3] comes after the path and --root
		dirs[verb] = filepath.Join(f.dir, "trace", verb)
		os.MkdirAll(dirs[verb], 0o755)
		return append([]string{"/usr/bin/strace", "-D", "-ff", "-o", filepath.Join(dirs[verb], "t")}, argv...)
	}
	defer os.RemoveAll(filepath.Join(f.dir, "trace"))
	if err := f.round(&traced, bundle, func(string, usage) {}); err != nil {
		return nil, err
	}
	awaitTracers()
	for verb, dir := range dirs {
		n, err := readTrace(dir)
		if err != nil {
			return nil, err
		}
		found[verb+"/runtime"] = float64(n.runtime)
		if n.container > 0 {
			found[verb+"/container"], found[verb+"/trips"] = float64(n.container), float64(n.trips)
		}
	}
	return found, nil
}

// awaitTracers waits for strace, which ends later than the traced processes.
func awaitTracers() {
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && err != syscall.EINTR {
			return
		}
	}
}

// allocations are the benchmarks of the pure parts, which compute before anything changes.
var allocations = map[string]string{
	"./specconv":                   "^Benchmark(Parse|Validate)$",
	"./libcontainer/internal/plan": "^BenchmarkCreate$",
}

var benchLine = regexp.MustCompile(`^Benchmark(\w+?)(?:-\d+)?\s.*\s(\d+) B/op\s+(\d+) allocs/op`)

// countAllocations runs those benchmarks, for their allocations only.
func countAllocations(now map[string]float64) error {
	for pkg, pattern := range allocations {
		out, err := exec.Command("go", "test", "-run", "^$", "-bench", pattern, "-benchmem", "-benchtime", "200x", pkg).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", pkg, err, out)
		}
		if err := readAllocations(bytes.NewReader(out), filepath.Base(pkg), now); err != nil {
			return err
		}
	}
	return nil
}

func readAllocations(r io.Reader, prefix string, now map[string]float64) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		match := benchLine.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		size, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			return err
		}
		count, err := strconv.ParseFloat(match[3], 64)
		if err != nil {
			return err
		}
		name := prefix + "/" + strings.ToLower(match[1])
		now[name+"/bytes"], now[name+"/allocations"] = size, count
	}
	return lines.Err()
}

func countBytes(now map[string]float64) error {
	info, err := os.Stat(subject)
	if err == nil {
		now["binary/bytes"] = float64(info.Size())
	}
	return err
}

// inLayout runs this program again in a mount namespace with a layout, and decodes its output.
func inLayout(layout string, into any) error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), innerEnv+"="+layout)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("layout %s: %w", layout, err)
	}
	return json.Unmarshal(out, into)
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// innerEnv passes the layout to the second run of this program, in the private mount namespace.
const innerEnv = "ONGGI_BENCH_LAYOUT"

func main() {
	var err error
	switch layout := os.Getenv(innerEnv); {
	case layout != "":
		err = inner(layout)
	case asked("counts"):
		err = counts(os.Args[2:])
	case asked("start"):
		err = starts()
	case asked("inside"):
		err = inside()
	case asked("shim"):
		err = shimBench()
	default:
		err = outer()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// asked reports whether the command line asks for something else than times: "counts", "start", "inside" or "shim".
func asked(what string) bool { return len(os.Args) > 1 && os.Args[1] == what }

// item is one measurement.
type item struct {
	name    string
	measure func(*field, settings) error
}

// items are all measurements, in order.
var items = []item{
	{"lifecycle", (*field).measureLifecycle},
	{"cold", (*field).measureCold},
	{"concurrency", (*field).measureConcurrency},
	{"exec-loop", (*field).measureExecLoop},
	{"events", (*field).measureEvents},
	{"memory", (*field).measureMemory},
	{"growth", (*field).measureGrowth},
}

// settings are the settings of the environment.
type settings struct {
	items       []string
	bundles     []string
	runs        int // back to back; a load has four times as many
	pausedRuns  int
	curveRuns   int
	pause       time.Duration
	concurrency []int
	alive       []int
}

func readSettings(layout string) (settings, error) {
	s := settings{
		items:   words("BENCH_ITEMS", "lifecycle cold concurrency exec-loop events memory growth"),
		bundles: words("BENCH_BUNDLES", "default docker-29 cri-container podman-5"),
	}
	for _, name := range s.items {
		if !slices.ContainsFunc(items, func(i item) bool { return i.name == name }) {
			return s, fmt.Errorf("BENCH_ITEMS: no item %q", name)
		}
	}
	// The curves take long, so one layout is enough for them.
	if layout != setting("BENCH_GROWTH_LAYOUT", "v2") {
		s.items = slices.DeleteFunc(s.items, func(name string) bool { return name == "growth" })
	}
	var err error
	number := func(name, otherwise string) int {
		n, e := strconv.Atoi(setting(name, otherwise))
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, e))
		}
		return n
	}
	numbers := func(name, otherwise string) []int {
		var all []int
		for _, word := range words(name, otherwise) {
			n, e := strconv.Atoi(word)
			if e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", name, e))
			}
			all = append(all, n)
		}
		return all
	}
	s.runs = number("BENCH_RUNS", "60")
	s.pausedRuns = number("BENCH_PAUSED_RUNS", strconv.Itoa((s.runs+1)/2))
	s.curveRuns = number("BENCH_CURVE_RUNS", strconv.Itoa(max(1, s.runs/6)))
	s.concurrency = numbers("BENCH_CONCURRENCY", "1 2 8 32")
	s.alive = numbers("BENCH_ALIVE", "0 100 250 500 1000 2000")
	pause, e := time.ParseDuration(setting("BENCH_PAUSE", "20ms"))
	s.pause = pause
	return s, errors.Join(err, e)
}

// outer runs every layout in a process of its own and writes the report.
func outer() error {
	if os.Getuid() != 0 {
		return errors.New("needs root")
	}
	began := time.Now()
	var all []Result
	var failed []error
	for _, layout := range words("BENCH_LAYOUTS", "hybrid v2") {
		if _, err := readSettings(layout); err != nil {
			return err
		}
		var result Result
		if err := inLayout(layout, &result); err != nil {
			return err
		}
		all = append(all, result)
		for _, text := range result.Failed {
			failed = append(failed, errors.New(text))
		}
	}
	fmt.Fprintf(os.Stderr, "bench: %v\n", time.Since(began).Round(time.Second))
	return errors.Join(append(failed, publish(all))...)
}

// inner measures or counts in one layout and writes the result to standard output.
func inner(layout string) error {
	// This process has to wait for the processes that create leaves, like an engine.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	var found any
	var err error
	switch {
	case asked("start"):
		found, err = measureStarts(os.Args[2:])
	case asked("counts"):
		found, err = countLayout(layout)
	case asked("inside"):
		found, err = insideLayout(layout)
	default:
		found, err = measureLayout(layout)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func measureLayout(layout string) (*Result, error) {
	s, err := readSettings(layout)
	if err != nil {
		return nil, err
	}
	// A garbage collection during a measurement would count for a competitor.
	debug.SetGCPercent(-1)
	f, err := newField(layout, "floor", subject, "crun", "runc")
	if err != nil {
		return nil, err
	}
	defer f.close()
	for _, item := range items {
		if !slices.Contains(s.items, item.name) {
			continue
		}
		began := time.Now()
		if err := item.measure(f, s); err != nil {
			// The figures of the other items are good without it.
			f.result.Failed = append(f.result.Failed, fmt.Sprintf("%s: %s: %v", layout, item.name, err))
			fmt.Fprintln(os.Stderr, "bench:", f.result.Failed[len(f.result.Failed)-1])
			reapAll()
		}
		fmt.Fprintf(os.Stderr, "bench: %s: %s took %.1f s\n", layout, item.name, time.Since(began).Seconds())
	}
	f.result.Runs = s.runs
	return &f.result, nil
}

// setting returns an environment variable, or the default if that is empty.
func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// words returns a setting that is a list, with commas or spaces.
func words(name, otherwise string) []string {
	return strings.Fields(strings.ReplaceAll(setting(name, otherwise), ",", " "))
}

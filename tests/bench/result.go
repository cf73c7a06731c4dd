package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// subject is the competitor that is compared with the others.
const subject = "onggi"

// Result has the figures of one layout's run, in the order of the report.
type Result struct {
	Layout      string
	Machine     string
	Runs        int
	Notes       []string
	Failed      []string // items without figures, or without some of them
	Competitors []Competitor
	Rows        []*Row
	Curves      []Curve

	index map[Key]*Row
}

// Competitor is a runtime or the floor, and its version.
type Competitor struct{ Name, Version string }

// Key names one measurement.
type Key struct {
	Block  string // the part of the report
	Bundle string
	Mode   string // the way of running, such as a pause
	Name   string // the verb or the row
	Metric string // wall, cpu, …: see units
}

// Row has the samples of one measurement, for each competitor that can do it.
type Row struct {
	Key
	Samples map[string][]float64
}

// units of the metrics.
var units = map[string]string{"wall": "ms", "cpu": "ms", "memory": "KiB", "rate": "/s", "machine": "ms", "faults": "", "calls": "", "switches": ""}

func (r *Result) add(key Key, competitor string, values ...float64) {
	row := r.index[key]
	if row == nil {
		row = &Row{key, map[string][]float64{}}
		if r.index == nil {
			r.index = map[Key]*Row{}
		}
		r.index[key] = row
		r.Rows = append(r.Rows, row)
	}
	row.Samples[competitor] = append(row.Samples[competitor], values...)
}

// used records the cost of a process.
func (r *Result) used(key Key, competitor string, used usage) {
	for _, m := range []struct {
		metric string
		value  float64
	}{{"wall", used.wall}, {"cpu", used.cpu}, {"faults", used.faults}} {
		key.Metric = m.metric
		r.add(key, competitor, m.value)
	}
}

// find returns the samples of a row, or nil.
func (r *Result) find(key Key) map[string][]float64 {
	for _, row := range r.Rows {
		if row.Key == key {
			return row.Samples
		}
	}
	return nil
}

// distinct returns the values of part in the rows of a block, each once, in order.
func (r *Result) distinct(block string, part func(Key) string) []string {
	var all []string
	for _, row := range r.Rows {
		if row.Block == block && !slices.Contains(all, part(row.Key)) {
			all = append(all, part(row.Key))
		}
	}
	return all
}

func bundleOf(k Key) string { return k.Bundle }
func modeOf(k Key) string   { return k.Mode }
func nameOf(k Key) string   { return k.Name }

// stats are the figures of one competitor in one row.
type stats struct{ min, median, p99 float64 }

func summarize(samples []float64) stats {
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	if n == 0 {
		return stats{}
	}
	return stats{sorted[0], (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[min(n-1, n*99/100)]}
}

func machine() string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err.Error()
	}
	model := "?"
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("Linux %s, %d × %s", unix.ByteSliceToString(uts.Release[:]), runtime.NumCPU(), model)
}

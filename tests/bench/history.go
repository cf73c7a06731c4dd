package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// history holds the counts at different commits: one line for each figure, one column for each recording.
//
//	figure                     2f6c1a9b  8d0e4c11
//	kernel                     6.18      6.18
//	go                         go1.26.5  go1.26.5
//	v2/default/run/runtime     312       298
//
// A figure has "-" in the columns in which it did not exist.
type history struct {
	commits, kernels, goes []string
	figures                map[string][]string
}

const absent = "-"

// These lines are not figures.
const (
	commitLine = "figure"
	kernelLine = "kernel"
	goLine     = "go"
)

func parseHistory(text string) (history, error) {
	h := history{figures: map[string][]string{}}
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		name, values := fields[0], fields[1:]
		switch name {
		case commitLine:
			h.commits = values
		case kernelLine:
			h.kernels = values
		case goLine:
			h.goes = values
		default:
			h.figures[name] = values
		}
		if len(values) != len(h.commits) {
			return h, fmt.Errorf("%q has %d values for %d commits", name, len(values), len(h.commits))
		}
	}
	return h, nil
}

func (h history) String() string {
	var b strings.Builder
	line := func(name string, values []string) { b.WriteString(name + "\t" + strings.Join(values, "\t") + "\n") }
	line(commitLine, h.commits)
	line(kernelLine, h.kernels)
	line(goLine, h.goes)
	for _, name := range slices.Sorted(maps.Keys(h.figures)) {
		line(name, h.figures[name])
	}
	return b.String()
}

// record adds a column.
func (h *history) record(commit, kernel, goVersion string, now map[string]float64) {
	before := len(h.commits)
	h.commits, h.kernels, h.goes = append(h.commits, commit), append(h.kernels, kernel), append(h.goes, goVersion)
	for name := range now {
		if h.figures[name] == nil {
			h.figures[name] = slices.Repeat([]string{absent}, before)
		}
	}
	for name, values := range h.figures {
		value := absent
		if v, ok := now[name]; ok {
			value = strconv.FormatFloat(v, 'f', -1, 64)
		}
		h.figures[name] = append(values, value)
	}
}

// last returns the figures of the last column.
func (h history) last() map[string]float64 {
	before := map[string]float64{}
	for name, values := range h.figures {
		if v, err := strconv.ParseFloat(values[len(values)-1], 64); err == nil {
			before[name] = v
		}
	}
	return before
}

// change is a figure that differs from the recorded one.
type change struct {
	name        string
	before, now float64
	worse       bool // it grew by more than its slack
	noise       bool // the change is within the slack, in either direction
}

func (c change) String() string {
	text := fmt.Sprintf("%s: %.0f, was %.0f (%+.0f, %+.1f%%)", c.name, c.now, c.before, c.now-c.before, 100*(c.now-c.before)/c.before)
	if c.worse {
		text += ": WORSE"
	}
	return text
}

// rareSignals is the number of calls of rt_sigaction(2) that catch the 29 rarely sent signals. For each signal, one
// call reads the action and one sets it.
const rareSignals = 2 * 29

// slack returns the growth from which a figure counts as worse. It depends on the last part of the figure's name. It is
// the variation that was seen while nothing had changed.
func slack(name string, before float64) float64 {
	switch name[strings.LastIndexByte(name, '/')+1:] {
	case "runtime":
		return 5
	case "faults":
		return 0.1 * before
	case "switches", "futex", "nanosleep": // of the scheduler, which other processes keep busy
		return 8 + 0.5*before
	case "calls": // those of the scheduler are among them
		most := 15 + 0.05*before
		if strings.HasSuffix(name, "/exec/calls") {
			// A goroutine catches the rarely sent signals. On a fast machine exec ends before it.
			most += rareSignals
		}
		return most
	case "bytes": // the binary, and allocations: the linker and the compiler vary a little with each change
		return 0.01 * before
	default: // calls of the container side, round trips, allocations
		return 0
	}
}

// compare returns the changes, in the order of the names.
func compare(before, now map[string]float64) []change {
	var changes []change
	for _, name := range slices.Sorted(maps.Keys(now)) {
		was, ok := before[name]
		if ok && was != now[name] {
			by, most := now[name]-was, slack(name, was)
			changes = append(changes, change{name, was, now[name], by > most, max(by, -by) <= most})
		}
	}
	return changes
}

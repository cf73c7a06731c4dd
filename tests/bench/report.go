package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// table is a table in Markdown.
type table struct {
	strings.Builder
	columns int
}

// newTable begins a table. A column is aligned to the right if its heading ends in a colon.
func newTable(headings ...string) *table {
	t := &table{columns: len(headings)}
	rule := make([]string, len(headings))
	for i, h := range headings {
		rule[i] = "---"
		if strings.HasSuffix(h, ":") {
			headings[i], rule[i] = strings.TrimSuffix(h, ":"), "---:"
		}
	}
	t.row(headings...)
	t.WriteString("|" + strings.Join(rule, "|") + "|\n")
	return t
}

func (t *table) row(cells ...string) {
	t.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// blocks returns the parts of the documents that a run rewrites, by name.
func blocks(all []Result) map[string]string {
	made := map[string]string{
		"run":         aboutRun(all),
		"lifecycle":   lifecycles(all),
		"cold":        colds(all),
		"concurrency": concurrencies(all),
		"exec loop":   execLoops(all),
		"events":      eventTables(all),
		"memory":      memories(all),
		"growth":      growths(all),
		"readme":      readme(all),
	}
	for name, text := range made {
		if text == "" {
			delete(made, name)
		}
	}
	return made
}

func aboutRun(all []Result) string {
	var b strings.Builder
	r := all[0]
	fmt.Fprintf(&b, "%s. %d rounds back to back.", r.Machine, r.Runs)
	for _, c := range r.Competitors {
		fmt.Fprintf(&b, " %s %s.", c.Name, c.Version)
	}
	b.WriteString("\n")
	for _, r := range all {
		for _, note := range r.Notes {
			fmt.Fprintf(&b, "\n- cgroup layout %s: %s\n", r.Layout, note)
		}
	}
	return b.String()
}

// median returns the median of one competitor in one row, 0 if it has none.
func (r *Result) median(key Key, competitor string) float64 {
	return summarize(r.find(key)[competitor]).median
}

// ratio returns onggi's median divided by another's.
func (r *Result) ratio(key Key, competitor string) string {
	own, other := r.median(key, subject), r.median(key, competitor)
	if own == 0 || other == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", own/other)
}

// lifecycles returns one table of medians for each layout and mode.
func lifecycles(all []Result) string {
	var b strings.Builder
	for i := range all {
		r := &all[i]
		for _, mode := range r.distinct("lifecycle", modeOf) {
			fmt.Fprintf(&b, "\nCgroup layout %s, %s. Median of wall time, and of processor time in brackets, in milliseconds:\n\n", r.Layout, mode)
			b.WriteString(r.lifecycle(mode))
		}
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func (r *Result) lifecycle(mode string) string {
	headings := []string{"bundle", ""}
	for _, c := range r.Competitors {
		headings = append(headings, c.Name+":")
	}
	t := newTable(append(headings, "of crun:", "of runc:")...)
	for _, bundle := range r.distinct("lifecycle", bundleOf) {
		shown := bundle
		for _, name := range r.distinct("lifecycle", nameOf) {
			cells := []string{shown, name}
			wall := Key{"lifecycle", bundle, mode, name, "wall"}
			cpu := wall
			cpu.Metric = "cpu"
			for _, c := range r.Competitors {
				cell := ""
				if r.median(wall, c.Name) > 0 {
					cell = fmt.Sprintf("%.2f (%.2f)", r.median(wall, c.Name), r.median(cpu, c.Name))
				}
				cells = append(cells, cell)
			}
			both := func(of string) string { return r.ratio(wall, of) + " (" + r.ratio(cpu, of) + ")" }
			t.row(append(cells, both("crun"), both("runc"))...)
			shown = ""
		}
	}
	return t.String()
}

// columns returns the competitors that have figures in a block.
func (r *Result) columns(block string) []string {
	var names []string
	for _, c := range r.Competitors {
		if slices.ContainsFunc(r.Rows, func(row *Row) bool { return row.Block == block && len(row.Samples[c.Name]) > 0 }) {
			names = append(names, c.Name)
		}
	}
	return names
}

func rightAligned(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = name + ":"
	}
	return all
}

func colds(all []Result) string {
	t := newTable("layout", "bundle", "seccomp cache", "onggi:", "crun:", "runc:", "of crun:", "of runc:")
	empty := true
	for i := range all {
		r := &all[i]
		for _, bundle := range r.distinct("cold", bundleOf) {
			for _, mode := range []string{"warm", "cold"} {
				key := Key{"cold", bundle, mode, "run", "wall"}
				cells := []string{r.Layout, bundle, mode}
				for _, name := range []string{subject, "crun", "runc"} {
					cells = append(cells, figure(r.find(key)[name], "wall"))
				}
				t.row(append(cells, r.ratio(key, "crun"), r.ratio(key, "runc"))...)
				empty = false
			}
		}
	}
	if empty {
		return ""
	}
	return t.String()
}

// concurrencies returns one table: the jobs that a busy machine completes in a second, and the processor time of each.
func concurrencies(all []Result) string {
	names := []string{"floor", subject, "crun", "runc"}
	t := newTable(append([]string{"layout", "", "at once:"}, append(rightAligned(names), "of crun:", "of the floor:", "time of crun's:", "median:", "p99:")...)...)
	empty := true
	for i := range all {
		r := &all[i]
		for _, name := range r.distinct("concurrency", nameOf) {
			for _, mode := range r.distinct("concurrency", modeOf) {
				rate := Key{"concurrency", defaultBundle, mode, name, "rate"}
				if r.find(rate) == nil {
					continue
				}
				at, place, _ := strings.Cut(mode, ",")
				if place != "" {
					place = "," + place
				}
				t.row(append([]string{r.Layout, name + place, at}, r.concurrency(rate, names)...)...)
				empty = false
			}
		}
	}
	if empty {
		return ""
	}
	return t.String()
}

// concurrency returns the cells of one load: rate and processor time of each competitor, then the ratios of onggi to
// others in both, and in the time of one job.
func (r *Result) concurrency(rate Key, names []string) []string {
	machine, wall := rate, rate
	machine.Metric, wall.Metric = "machine", "wall"
	var cells []string
	for _, c := range names {
		cell := ""
		if r.median(rate, c) > 0 {
			cell = fmt.Sprintf("%.0f (%.2f)", r.median(rate, c), r.median(machine, c))
		}
		cells = append(cells, cell)
	}
	cells = append(cells, r.ratio(rate, "crun"), r.ratio(rate, "floor"), r.ratio(machine, "crun"), r.ratio(wall, "crun"))
	own, other := summarize(r.find(wall)[subject]), summarize(r.find(wall)["crun"])
	if other.p99 == 0 {
		return append(cells, "–")
	}
	return append(cells, fmt.Sprintf("%.2f", own.p99/other.p99))
}

// saturation returns containers a second over their number at once, as a curve.
func (r *Result) saturation() (c Curve, ok bool) {
	c = Curve{Name: "saturation-" + r.Layout, Title: "run: containers a second, cgroup layout " + r.Layout, Axis: "at once", Unit: "a second"}
	for _, mode := range r.distinct("concurrency", modeOf) {
		at, err := strconv.Atoi(mode)
		if err != nil {
			continue // the state is on a disk
		}
		samples := r.find(Key{"concurrency", defaultBundle, mode, "run", "rate"})
		c.Points = append(c.Points, Point{float64(at), samples})
	}
	return c, len(c.Points) > 0
}

func execLoops(all []Result) string {
	t := newTable("layout", "", "execs a second, a core:", "median:", "p99:", "CPU:")
	empty := true
	for i := range all {
		r := &all[i]
		for _, mode := range r.distinct("exec loop", modeOf) {
			wall := Key{"exec loop", defaultBundle, mode, "exec", "wall"}
			rate, cpu := wall, wall
			rate.Metric, cpu.Metric = "rate", "cpu"
			var cores float64
			fmt.Sscan(mode, &cores)
			for _, c := range r.columns("exec loop") {
				s := summarize(r.find(wall)[c])
				t.row(r.Layout, c, fmt.Sprintf("%.0f", r.median(rate, c)/cores), fmt.Sprintf("%.2f ms", s.median),
					fmt.Sprintf("%.2f ms", s.p99), fmt.Sprintf("%.2f ms", r.median(cpu, c)))
				empty = false
			}
		}
	}
	if empty {
		return ""
	}
	return t.String()
}

func eventTables(all []Result) string {
	var b strings.Builder
	for i := range all {
		r := &all[i]
		names := r.columns("events")
		if len(names) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\nCgroup layout %s. System calls · page faults · context switches · processor time in ms, of both sides:\n\n", r.Layout)
		t := newTable(append([]string{"bundle", ""}, rightAligned(names)...)...)
		for _, bundle := range r.distinct("events", bundleOf) {
			for _, name := range r.distinct("events", nameOf) {
				cells := []string{bundle, name}
				for _, c := range names {
					of := func(metric string) float64 { return r.median(Key{"events", bundle, "", name, metric}, c) }
					cell := ""
					if of("calls") > 0 {
						cell = fmt.Sprintf("%.0f · %.0f · %.0f · %.2f", of("calls"), of("faults"), of("switches"), of("cpu"))
					}
					cells = append(cells, cell)
				}
				t.row(cells...)
			}
		}
		b.WriteString(t.String())
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func memories(all []Result) string {
	names := []string{subject, "crun", "runc"}
	t := newTable(append([]string{"layout", ""}, rightAligned(names)...)...)
	empty := true
	for i := range all {
		r := &all[i]
		for _, name := range r.distinct("memory", nameOf) {
			cells := []string{r.Layout, name}
			for _, c := range names {
				cells = append(cells, figure(r.find(Key{"memory", defaultBundle, "", name, "memory"})[c], "memory"))
			}
			t.row(cells...)
			empty = false
		}
	}
	if empty {
		return ""
	}
	return t.String()
}

// growths returns the picture of each curve with its figures.
func growths(all []Result) string {
	var b strings.Builder
	for i := range all {
		r := &all[i]
		if len(r.Curves) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\nCgroup layout %s. Median of %d. *Bend* is the last point over the straight line through the first and the middle\none: 1 is linear, more is worse; flat is what ends less than 15%% above its start.\n\n",
			r.Layout, len(r.Curves[0].Points[0].Samples[subject]))
		t := newTable("", "", "first:", "last:", "slope:", "bend:")
		for _, c := range r.Curves {
			title := c.Title
			for _, competitor := range r.Competitors {
				first, last, ok := c.ends(competitor.Name)
				if !ok {
					continue
				}
				t.row(title, competitor.Name, first, last, perOne(c, competitor.Name), c.bend(competitor.Name))
				title = ""
			}
		}
		b.WriteString(t.String())
		for _, c := range r.Curves {
			fmt.Fprintf(&b, "\n![%s](performance/%s.svg)\n", c.Title, c.Name)
		}
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// ends returns the first and the last point of a competitor's line as text.
func (c Curve) ends(competitor string) (first, last string, ok bool) {
	for _, p := range c.Points {
		if samples := p.Samples[competitor]; len(samples) > 0 {
			last = fmt.Sprintf("%.2f ms at %g", summarize(samples).median, p.X)
			if first == "" {
				first = last
			}
		}
	}
	return first, last, first != ""
}

// readme returns the short table of the README.
func readme(all []Result) string {
	t := newTable("cgroups", "bundle", "", "floor:", "onggi:", "crun:", "runc:", "onggi takes, of crun:", "of runc:", "with pauses, of crun:", "of runc:")
	empty := true
	for i := range all {
		r := &all[i]
		modes := r.distinct("lifecycle", modeOf)
		for _, bundle := range r.distinct("lifecycle", bundleOf) {
			for _, name := range []string{"run", whole, "exec"} {
				key := Key{"lifecycle", bundle, backToBack, name, "wall"}
				cells := []string{r.Layout, bundle, name}
				for _, c := range []string{"floor", subject, "crun", "runc"} {
					cell := ""
					if m := r.median(key, c); m > 0 {
						cell = fmt.Sprintf("%.1f", m)
					}
					cells = append(cells, cell)
				}
				paused := key
				paused.Mode = modes[len(modes)-1]
				t.row(append(cells, r.ratio(key, "crun"), r.ratio(key, "runc"), r.ratio(paused, "crun"), r.ratio(paused, "runc"))...)
				empty = false
			}
		}
	}
	if empty {
		return ""
	}
	return fmt.Sprintf("Medians of %d rounds, in milliseconds:\n\n", all[0].Runs) + t.String() + memoryLine(all)
}

// memoryLine returns the README's line about memory, from the first layout that has it.
func memoryLine(all []Result) string {
	var parts []string
	for _, name := range []string{residentRow, peakRow + "run", limitRow} {
		for i := range all {
			samples := all[i].find(Key{"memory", defaultBundle, "", name, "memory"})
			if samples == nil {
				continue
			}
			of := func(c string) string { return figure(samples[c], "memory") }
			parts = append(parts, fmt.Sprintf("%s: %s (crun %s, runc %s)", name, of(subject), of("crun"), of("runc")))
			break
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "\n" + strings.ToUpper(parts[0][:1]) + strings.Join(parts, "; ")[1:] + ".\n"
}

// figuresHead names the columns of the file of all figures.
const figuresHead = "layout\tpart\tbundle\tmode\tname\tmetric\tunit\tcompetitor\tsamples\tmin\tmedian\tp99\n"

// figures returns each row with its minimum, median and 99th percentile, as tab-separated values. It keeps the earlier
// figures of the parts that this run has not measured.
func figures(before string, all []Result) string {
	var fresh strings.Builder
	measured := map[string]bool{}
	for i := range all {
		r := &all[i]
		for _, row := range slices.Concat(r.Rows, r.curveRows()) {
			measured[r.Layout+"\t"+row.Block+"\t"] = true
			for _, c := range r.Competitors {
				if samples := row.Samples[c.Name]; len(samples) > 0 {
					s := summarize(samples)
					fmt.Fprintf(&fresh, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%.3f\t%.3f\t%.3f\n", r.Layout, row.Block, row.Bundle,
						row.Mode, row.Name, row.Metric, units[row.Metric], c.Name, len(samples), s.min, s.median, s.p99)
				}
			}
		}
	}
	var b strings.Builder
	b.WriteString(figuresHead)
	for line := range strings.Lines(before) {
		if fields := strings.SplitN(line, "\t", 3); len(fields) == 3 && line != figuresHead && !measured[fields[0]+"\t"+fields[1]+"\t"] {
			b.WriteString(line)
		}
	}
	return b.String() + fresh.String()
}

// curveRows returns the points of the curves as rows.
func (r *Result) curveRows() []*Row {
	var rows []*Row
	for _, c := range r.Curves {
		for _, p := range c.Points {
			rows = append(rows, &Row{Key{"growth", defaultBundle, fmt.Sprint(p.X), c.Name, "wall"}, p.Samples})
		}
	}
	return rows
}

// short returns a number with at least three significant digits.
func short(v float64) string {
	switch abs := max(v, -v); {
	case abs >= 100:
		return fmt.Sprintf("%.0f", v)
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// figure returns a median with its unit, or a dash.
func figure(samples []float64, metric string) string {
	if len(samples) == 0 {
		return "–"
	}
	value := summarize(samples).median
	switch {
	case metric == "memory" && value >= 1024:
		return fmt.Sprintf("%.1f MiB", value/1024)
	case metric == "memory":
		return fmt.Sprintf("%.0f KiB", value)
	default:
		return strings.TrimSpace(short(value) + " " + units[metric])
	}
}

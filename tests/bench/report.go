package main

import (
	"fmt"
	"slices"
	"strings"
)

// stats are the figures of one competitor in one item.
type stats struct{ min, median, p99 float64 }

func summarize(samples []float64) stats {
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	if n == 0 {
		return stats{}
	}
	return stats{sorted[0], (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[min(n-1, n*99/100)]}
}

const subject = "onggi"

// Markdown is the report as tables.
func Markdown(results []Result) string {
	var b strings.Builder
	b.WriteString("# Benchmark\n\nWritten by `make bench`. Figures are comparable within one table only.\n")
	for _, r := range results {
		fmt.Fprintf(&b, "\n## cgroup layout: %s\n\n%s; %d interleaved runs", r.Layout, r.Machine, r.Runs)
		for _, c := range r.Competitors {
			fmt.Fprintf(&b, "; %s %s", c.Name, c.Version)
		}
		b.WriteString(".\n")
		if r.Note != "" {
			fmt.Fprintf(&b, "\nAll %s.\n", r.Note)
		}
		r.writeTimes(&b)
		r.writeSizes(&b)
	}
	return b.String()
}

// runtimes are the competitors without the floor, which has neither memory nor a size to compare.
func (r Result) runtimes() []Competitor {
	return slices.DeleteFunc(slices.Clone(r.Competitors), func(c Competitor) bool { return c.Name == "floor" })
}

// writeTimes is one line for each item and competitor, with onggi's ratio to it.
func (r Result) writeTimes(b *strings.Builder) {
	b.WriteString("\n| | | min | median | p99 | onggi takes, of min | of median | of p99 |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
	for _, item := range r.Items {
		if item.Unit != "ms" {
			continue
		}
		own := summarize(item.Samples[subject])
		name := item.Name
		for _, c := range r.Competitors {
			samples, ok := item.Samples[c.Name]
			if !ok {
				continue
			}
			s := summarize(samples)
			fmt.Fprintf(b, "| %s | %s | %.2f ms | %.2f ms | %.2f ms | %s | %s | %s |\n", name, c.Name, s.min, s.median, s.p99,
				ratio(c.Name, own.min, s.min), ratio(c.Name, own.median, s.median), ratio(c.Name, own.p99, s.p99))
			name = ""
		}
	}
}

func ratio(name string, own, other float64) string {
	if name == subject || own == 0 || other == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", own/other)
}

// writeSizes is one line an item: what does not vary.
func (r Result) writeSizes(b *strings.Builder) {
	head := false
	for _, item := range r.Items {
		if item.Unit == "ms" {
			continue
		}
		if !head {
			head = true
			b.WriteString("\n| |")
			for _, c := range r.runtimes() {
				fmt.Fprintf(b, " %s |", c.Name)
			}
			b.WriteString("\n|---|" + strings.Repeat("---:|", len(r.runtimes())) + "\n")
		}
		fmt.Fprintf(b, "| %s |", item.Name)
		for _, c := range r.runtimes() {
			fmt.Fprintf(b, " %s |", figure(item.Samples[c.Name], item.Unit))
		}
		b.WriteString("\n")
	}
}

// figure is a median with its unit, or a dash.
func figure(samples []float64, unit string) string {
	if len(samples) == 0 {
		return "–"
	}
	value := summarize(samples).median
	switch {
	case unit == "KiB" && value >= 1024:
		return fmt.Sprintf("%.1f MiB", value/1024)
	case unit == "KiB":
		return fmt.Sprintf("%.0f KiB", value)
	default:
		return fmt.Sprintf("%.1f %s", value, unit)
	}
}

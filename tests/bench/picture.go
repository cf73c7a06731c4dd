package main

import (
	"fmt"
	"html"
	"strings"
)

// The picture's measures, in pixels.
const (
	width   = 760
	left    = 190 // where bars begin
	right   = 90  // room for the figure behind the longest bar
	bar     = 13
	gap     = 4  // between bars
	between = 16 // between items
	heading = 34

	// The longest median leaves this much room for its own tail; what is longer is cut off.
	headroom = 1.3
)

const style = `<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.note { fill: #6e7781 }
.name { text-anchor: end }
.item { font-weight: 600 }
.floor { fill: #c9d1d9 } .onggi { fill: #b5562b } .crun { fill: #6b8e9f } .runc { fill: #9fb3bf }
.tail { stroke: #57606a; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
	text { fill: #e6edf3 } .note { fill: #8d96a0 } .tail { stroke: #8d96a0 } .floor { fill: #484f58 } .runc { fill: #4d6470 }
}
</style>
`

// Picture is the report as bars: the median as a bar, from there to the 99th percentile as a line.
func Picture(results []Result) string {
	var c canvas
	for _, r := range results {
		c.layout(r)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="time and memory of container runtimes">`+"\n",
		width, c.y+between) + style + c.body.String() + "</svg>\n"
}

// canvas grows downwards.
type canvas struct {
	body strings.Builder
	y    int
}

func (c *canvas) printf(format string, args ...any) { fmt.Fprintf(&c.body, format+"\n", args...) }

func (c *canvas) text(x int, class, text string) {
	c.printf(`<text x="%d" y="%d" class="%s">%s</text>`, x, c.y, class, html.EscapeString(text))
}

func (c *canvas) layout(r Result) {
	c.y += heading
	c.text(8, "title", "cgroup layout: "+r.Layout)
	c.y += 18
	c.text(8, "note", fmt.Sprintf("median of %d interleaved runs, line to the 99th percentile; %s", r.Runs, r.Machine))
	c.y += between
	for _, unit := range []string{"ms", "KiB"} {
		longest := r.longest(unit)
		for _, item := range r.Items {
			if item.Unit == unit && unit == "ms" || item.Name == residentItem && unit == "KiB" {
				c.item(r, item, longest)
			}
		}
	}
}

// longest is the value that gets the whole width: all times share one scale, so that bars can be compared across items.
func (r Result) longest(unit string) float64 {
	longest := 0.0
	for _, item := range r.Items {
		if item.Unit == unit && (unit == "ms" || item.Name == residentItem) {
			for _, samples := range item.Samples {
				longest = max(longest, summarize(samples).median)
			}
		}
	}
	return longest * headroom
}

func (c *canvas) item(r Result, item Item, longest float64) {
	c.y += bar
	c.text(8, "item", item.Name)
	c.y += gap
	for _, competitor := range r.Competitors {
		samples, ok := item.Samples[competitor.Name]
		if !ok {
			continue
		}
		s := summarize(samples)
		scale := func(v float64) float64 { return min(v/longest, 1) * (width - left - right) }
		length, tail := max(scale(s.median), 1), scale(s.p99)
		c.printf(`<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" class="%s"/>`, left, c.y, length, bar, competitor.Name)
		middle := float64(c.y) + bar/2.0
		if tail > length+1 {
			c.printf(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%[2]v" class="tail"/>`, left+length, middle, left+tail)
		}
		c.y += bar - 2
		c.text(left-8, "name", competitor.Name)
		c.text(int(left+max(length, tail))+6, "note", figure(samples, item.Unit))
		c.y += gap + 2
	}
	c.y += between - gap
}

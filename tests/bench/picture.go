package main

import (
	"fmt"
	"html"
	"strings"
)

// These are the measures of the picture, in pixels.
const (
	width   = 760
	left    = 190 // where bars begin
	right   = 90  // room for the figure after the longest bar
	bar     = 13
	gap     = 4  // between bars
	between = 16 // between items
	heading = 34

	// The longest median leaves this much room for its own tail. A longer tail is cut off.
	headroom = 1.3
)

const style = `<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.note { fill: #6e7781 }
.name { text-anchor: end }
.item { font-weight: 600 }
.shim { fill: #7d3c98 } .shim-line { stroke: #7d3c98 }
.floor { fill: #c9d1d9 } .onggi { fill: #b5562b } .crun { fill: #6b8e9f } .runc { fill: #9fb3bf }
.tail { stroke: #57606a; stroke-width: 1 }
.grid { stroke: #d8dee4; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.floor-line { stroke: #c9d1d9 } .onggi-line { stroke: #b5562b } .crun-line { stroke: #6b8e9f } .runc-line { stroke: #9fb3bf }
.patched-early { fill: #b5562b } .patched-late { fill: #e08a5f } .plain-early { fill: #31708f } .plain-late { fill: #6ba3be }
.patched-early-line { stroke: #b5562b } .patched-late-line { stroke: #e08a5f } .plain-early-line { stroke: #31708f } .plain-late-line { stroke: #6ba3be }
@media (prefers-color-scheme: dark) {
	text { fill: #e6edf3 } .note { fill: #8d96a0 } .tail { stroke: #8d96a0 } .floor { fill: #484f58 } .runc { fill: #4d6470 }
	.grid { stroke: #3d444d } .runc-line { stroke: #4d6470 }
}
</style>
`

// Picture returns the report as bars: the median as a bar, and a line from there to the 99th percentile.
func Picture(results []Result) string {
	var c canvas
	for _, r := range results {
		c.layout(r)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="time that container runtimes take">`+"\n",
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

// picturedRows are the rows of each bundle in the picture.
var picturedRows = []string{"run", whole, "exec"}

// layout draws one layout's rows, all on one scale, so that bars can be compared across them.
func (c *canvas) layout(r Result) {
	c.y += heading
	c.text(8, "title", "cgroup layout: "+r.Layout)
	c.y += 18
	c.text(8, "note", fmt.Sprintf("median of %d rounds back to back, line to the 99th percentile; %s", r.Runs, r.Machine))
	c.y += between
	var keys []Key
	longest := 0.0
	for _, bundle := range r.distinct("lifecycle", bundleOf) {
		for _, name := range picturedRows {
			key := Key{"lifecycle", bundle, backToBack, name, "wall"}
			keys = append(keys, key)
			for _, samples := range r.find(key) {
				longest = max(longest, summarize(samples).median*headroom)
			}
		}
	}
	for _, key := range keys {
		c.row(r, key, longest)
	}
}

func (c *canvas) row(r Result, key Key, longest float64) {
	c.y += bar
	c.text(8, "item", key.Bundle+": "+key.Name)
	c.y += gap
	found := r.find(key)
	for _, competitor := range r.Competitors {
		samples, ok := found[competitor.Name]
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
		c.text(int(left+max(length, tail))+6, "note", figure(samples, key.Metric))
		c.y += gap + 2
	}
	c.y += between - gap
}

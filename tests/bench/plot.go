package main

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"strings"
)

// These are the measures of a plot, in pixels.
const (
	plotWidth  = 760
	plotHeight = 340
	plotLeft   = 56
	plotRight  = 210 // room for the text after the lines
	plotTop    = 40
	plotBottom = 46
)

// plot is a curve as a picture: the medians as joined points, and after each line its slope.
type plot struct {
	body       strings.Builder
	xMax, yMax float64
}

// Plot draws a curve.
func Plot(c Curve, order []Competitor) string {
	p := &plot{}
	for _, point := range c.Points {
		p.xMax = max(p.xMax, point.X)
		for _, samples := range point.Samples {
			p.yMax = max(p.yMax, summarize(samples).median)
		}
	}
	p.text(8, 20, "title", "start", c.Title)
	p.axes(c)
	p.lines(c, order)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="%s">`+"\n",
		plotWidth, plotHeight, html.EscapeString(c.Title)) + style + p.body.String() + "</svg>\n"
}

func (p *plot) printf(format string, args ...any) { fmt.Fprintf(&p.body, format+"\n", args...) }

func (p *plot) text(x, y float64, class, anchor, text string) {
	p.printf(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(text))
}

func (p *plot) x(v float64) float64 {
	return plotLeft + v/max(p.xMax, 1e-9)*(plotWidth-plotLeft-plotRight)
}

func (p *plot) y(v float64) float64 {
	return plotHeight - plotBottom - v/max(p.yMax, 1e-9)*(plotHeight-plotTop-plotBottom)
}

// step returns a round distance between about five lines of a grid.
func step(most float64) float64 {
	rough := most / 5
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*unit >= rough {
			return m * unit
		}
	}
	return 10 * unit
}

func (p *plot) axes(c Curve) {
	bottom, end := p.y(0), p.x(p.xMax)
	if p.yMax > 0 {
		for v := 0.0; v <= p.yMax; v += step(p.yMax) {
			p.printf(`<line x1="%d" y1="%.1f" x2="%.1f" y2="%.1[2]f" class="grid"/>`, plotLeft, p.y(v), end)
			p.text(plotLeft-6, p.y(v)+4, "note", "end", fmt.Sprintf("%g", v))
		}
	}
	p.text(plotLeft-6, plotTop-6, "note", "end", cmp.Or(c.Unit, "ms"))
	if p.xMax > 0 {
		for v := 0.0; v <= p.xMax; v += step(p.xMax) {
			p.printf(`<line x1="%.1f" y1="%.1f" x2="%.1[1]f" y2="%.1[3]f" class="tail"/>`, p.x(v), bottom, bottom+4)
			p.text(p.x(v), bottom+18, "note", "middle", fmt.Sprintf("%g", v))
		}
	}
	p.text((plotLeft+end)/2, plotHeight-8, "note", "middle", c.Axis)
}

// lines draws the line of each competitor, and names the lines at their ends, apart from one another.
func (p *plot) lines(c Curve, order []Competitor) {
	var taken []float64
	for _, competitor := range order {
		var path []string
		var x, y float64
		for _, point := range c.Points {
			if samples := point.Samples[competitor.Name]; len(samples) > 0 {
				x, y = p.x(point.X), p.y(summarize(samples).median)
				path = append(path, fmt.Sprintf("%.1f,%.1f", x, y))
				p.printf(`<circle cx="%.1f" cy="%.1f" r="3" class="%s"/>`, x, y, class(competitor.Name))
			}
		}
		if len(path) == 0 {
			continue
		}
		p.printf(`<polyline points="%s" class="line %s-line"/>`, strings.Join(path, " "), class(competitor.Name))
		label := y + 4
		for i := 0; i < len(taken); i++ {
			if math.Abs(taken[i]-label) < 15 {
				label, i = taken[i]-15, -1
			}
		}
		taken = append(taken, label)
		p.text(x+8, label, "", "start", competitor.Name+": "+c.label(competitor.Name))
	}
}

// class returns the name of a line for the style.
func class(name string) string { return strings.ReplaceAll(name, ", ", "-") }

// label returns the text after a line: its slope, or its last value where the values are not times.
func (c Curve) label(competitor string) string {
	if c.Unit == "" {
		return perOne(c, competitor)
	}
	last := 0.0
	for _, point := range c.Points {
		if samples := point.Samples[competitor]; len(samples) > 0 {
			last = summarize(samples).median
		}
	}
	return short(last) + " " + c.Unit
}

// perOne returns the fitted slope as text.
func perOne(c Curve, competitor string) string {
	slope, _ := c.slope(competitor)
	return short(slope*1000) + " µs per " + c.Per
}

package timeline

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The measures of the picture, in pixels.
const (
	width     = 1200.0
	margin    = 14.0
	rowHeight = 18.0
	listLine  = 17.0
	// charWidth is the width of one character in a bar. The font is monospaced.
	charWidth = 6.05
	listed    = 10
)

// SVG draws the trace: a lane for each thread, the runtime side above the
// container side, time from left to right, and two lists of the longest entries.
func (t *Trace) SVG(w io.Writer) error {
	if len(t.Events) == 0 {
		return fmt.Errorf("the trace has no events")
	}
	p := picture{trace: t, lanes: t.lanes()}
	calls := longest(p.lanes, ContainerSide, listed, func(b *bar) bool { return b.Category == SystemCall })
	work := longest(p.lanes, RuntimeSide, listed, func(b *bar) bool { return b.self > 0 })
	axis := newAxis(t, margin, width-margin)
	p.head(axis)
	big := p.worthEnlarging(axis)
	p.overview(axis, big)
	p.enlarged(big)
	p.lists(work, calls)
	_, err := io.WriteString(w, p.document())
	return err
}

// picture is a drawing under construction. The space below y is empty.
type picture struct {
	trace *Trace
	lanes []lane
	name  string
	body  strings.Builder
	back  strings.Builder // behind the body
	y     float64
}

// overview draws all lanes. It marks the longest calls of the enlarged batch.
func (p *picture) overview(axis axis, enlarged *bar) {
	top := p.y
	p.y += 24
	for i := range p.lanes {
		l := &p.lanes[i]
		p.laneName(i)
		p.bars(l.bars, axis, func(b *bar) bool { return enlarged == nil || !enlarged.has(b) })
	}
	p.grid(axis, top)
}

// worthEnlarging returns the batch with the most calls, nil if it is wide enough.
func (p *picture) worthEnlarging(a axis) *bar {
	var best *bar
	most := 0
	for i := range p.lanes {
		for j, b := range p.lanes[i].bars {
			if b.Category != Exchange || a.x(b.end())-a.x(b.Begin) > width/2 {
				continue
			}
			if n := len(p.lanes[i].within(j)); n > most {
				best, most = &p.lanes[i].bars[j], n
			}
		}
	}
	if most < 20 {
		return nil
	}
	return best
}

// enlarged draws the contents of a batch over the whole width.
func (p *picture) enlarged(batch *bar) {
	if batch == nil {
		return
	}
	bars := p.inside(batch)
	a := axis{left: margin, right: width - margin, begin: bars[0].Begin, end: bars[0].end()}
	for i := range bars {
		bars[i].row -= batch.row + 1
		a.end = max(a.end, bars[i].end())
	}
	a.perNs = (a.right - a.left) / float64(max(1, a.end-a.begin))
	p.y += 26
	p.text(margin, p.y, "head", cut(batch.Name, 80)+", enlarged")
	p.text(width-margin, p.y, "note end", duration(a.end-a.begin)+" in the container, of "+duration(batch.Length)+" from its sending to its answer")
	p.y += 10
	top := p.y
	p.y += 24
	p.bars(bars, a, func(*bar) bool { return true })
	p.grid(a, top)
}

// inside returns copies of the bars inside a batch.
func (p *picture) inside(batch *bar) []bar {
	for i := range p.lanes {
		for j := range p.lanes[i].bars {
			if &p.lanes[i].bars[j] == batch {
				return slices.Clone(p.lanes[i].within(j))
			}
		}
	}
	return nil
}

const style = `<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.head { font-size: 15px; font-weight: 600 }
.note { font-size: 11px; fill: #57606a }
.end { text-anchor: end }
.mid { text-anchor: middle }
.code { font: 11px ui-monospace, "DejaVu Sans Mono", monospace }
.in { font: 10px ui-monospace, "DejaVu Sans Mono", monospace; pointer-events: none }
.rank { font: bold 9px system-ui, sans-serif; text-anchor: middle; fill: #fff; pointer-events: none }
.mark { fill: #24292f }
.grid { stroke: #d0d7de; stroke-width: 1 }
.lead { stroke: #24292f; stroke-width: .7 }
.cut { fill: #d0d7de; opacity: .45 }
rect { stroke-width: .4 }
.verb { fill: #eaeef2; stroke: #8c959f } .work { fill: #ddf0e4; stroke: #3c7a56 } .wait { fill: #f6f8fa; stroke: #8c959f; stroke-dasharray: 3 2 }
.step { fill: #cfe3f7; stroke: #3b6ea5 } .batch { fill: #fbeee8; stroke: #b5562b } .call { fill: #f0b99a; stroke: #b5562b }
.err { fill: #e5534b; stroke: #82071e }
.bad { fill: #cf222e }
@media (prefers-color-scheme: dark) {
	text { fill: #e6edf3 } .note { fill: #9aa4ae } .mark { fill: #e6edf3 } .lead { stroke: #e6edf3 } .rank { fill: #1c2128 } .grid { stroke: #373e47 } .cut { fill: #373e47 }
	.bad { fill: #f47067 }
	.verb { fill: #2d333b; stroke: #6e7681 } .work { fill: #1f3a2a; stroke: #57ab5a } .wait { fill: #1c2128; stroke: #6e7681 }
	.step { fill: #1d3654; stroke: #539bf5 } .batch { fill: #3a241b; stroke: #b5562b } .call { fill: #8a4a2b; stroke: #e0855a }
}
</style>
`

func (p *picture) document() string {
	p.y += margin
	size := fmt.Sprintf(`width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f"`, width, p.y, width, p.y)
	return `<svg xmlns="http://www.w3.org/2000/svg" ` + size + ` role="img" aria-label="` + escape(p.name) + `">` + "\n" +
		style + p.back.String() + p.body.String() + "</svg>\n"
}

func (p *picture) text(x, y float64, class, s string) {
	fmt.Fprintf(&p.body, `<text x="%.1f" y="%.1f" class="%s">%s</text>`+"\n", x, y, class, escape(s))
}

func (t *Trace) title(a axis) string {
	name, _ := strings.CutPrefix(t.nameOf(RuntimeSide, 0), "runtime side: ")
	if name == "" {
		name = "trace"
	}
	return cut(name, 100) + ": " + duration(a.end-a.begin)
}

func (t *Trace) nameOf(process, thread int) string {
	i := slices.IndexFunc(t.Names, func(n Name) bool { return n.Process == process && n.Thread == thread })
	if i < 0 {
		return ""
	}
	return t.Names[i].Name
}

func (p *picture) head(a axis) {
	p.name = p.trace.title(a)
	calls := 0
	for i := range p.trace.Events {
		if p.trace.Events[i].Category == SystemCall {
			calls++
		}
	}
	p.text(margin, 24, "head", p.name)
	p.text(width-margin, 24, "note end", strconv.Itoa(calls)+" calls of the container side; numbers are those of the lists below")
	p.legend(margin, 36)
	p.y = 62
	if e := p.trace.failure(); e != "" {
		p.text(margin, 66, "bad", cut(e, 190))
		p.y = 82
	}
}

// failure returns the text of the operation's error, "" after success.
func (t *Trace) failure() string {
	for i := range t.Events {
		if e := &t.Events[i]; e.Category == Verb && e.Args["error"] != "" {
			return e.Args["error"]
		}
	}
	return ""
}

func (p *picture) legend(x, y float64) {
	for _, l := range []struct{ class, text string }{
		{"work", "work of the runtime side"},
		{"step", "step of the plan"},
		{"wait", "waiting"},
		{"batch", "batch, from its sending to its answer"},
		{"call", "system call"},
		{"err", "failed"},
	} {
		fmt.Fprintf(&p.body, `<rect x="%.1f" y="%.1f" width="12" height="10" class="%s"/>`+"\n", x, y, l.class)
		p.text(x+17, y+9, "note", l.text)
		x += 17 + 6*float64(len(l.text)) + 16
	}
}

// laneName writes the name of a lane, and the process above its first lane.
func (p *picture) laneName(i int) {
	l := &p.lanes[i]
	p.y += 16
	if i == 0 || p.lanes[i-1].process != l.process {
		p.y += 4
		p.text(margin, p.y-5, "head", cut(p.trace.nameOf(l.process, 0), 80))
	}
	p.text(width-margin, p.y-5, "note end", cut(p.trace.nameOf(l.process, l.thread), 80))
}

// bars draws a lane, and below it the numbers of the longest bars.
func (p *picture) bars(bars []bar, a axis, marked func(*bar) bool) {
	var marks []mark
	rows := 0
	for i := range bars {
		b := &bars[i]
		x, w := p.bar(b, a)
		rows = max(rows, b.row+1)
		if b.rank != 0 && marked(b) {
			marks = append(marks, mark{b.rank, x + w/2, p.y + rowHeight*float64(b.row+1) - 2, x + w/2})
		}
	}
	p.y += float64(rows) * rowHeight
	if len(marks) > 0 {
		p.marks(marks)
		p.y += 16
	}
	p.y += 6
}

func (p *picture) bar(b *bar, a axis) (x, w float64) {
	x = a.x(b.Begin)
	w = max(.3, a.x(b.end())-x)
	y := p.y + rowHeight*float64(b.row)
	fmt.Fprintf(&p.body, `<rect x="%.2f" y="%.1f" width="%.2f" height="%.0f" class="%s"><title>%s</title></rect>`+"\n", x, y, w, rowHeight-2, b.class(), escape(b.tooltip()))
	if n := int((w - 4) / charWidth); n > 3 {
		p.text(x+3, y+11.5, "in", cut(b.Name, n))
	}
	return x, w
}

// mark is the number of one of the longest bars, with a line to the bar.
type mark struct {
	rank     int
	x, y, at float64 // the bar's, and where the mark is
}

// marks draws the numbers in one row without overlap.
func (p *picture) marks(marks []mark) {
	const apart = 14
	slices.SortFunc(marks, func(a, b mark) int { return cmp.Compare(a.x, b.x) })
	left := margin
	for i := range marks {
		behind := float64(apart * (len(marks) - 1 - i)) // width of the other marks
		marks[i].at = max(left, min(marks[i].at, width-margin-behind))
		left = marks[i].at + apart
	}
	for _, m := range marks {
		y := p.y + 9
		fmt.Fprintf(&p.body, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="lead"/>`+"\n", m.x, m.y, m.at, y-6)
		p.number(m.at, y, m.rank)
	}
}

func (p *picture) number(x, y float64, rank int) {
	fmt.Fprintf(&p.body, `<circle cx="%.1f" cy="%.1f" r="6" class="mark"/><text x="%.1f" y="%.1f" class="rank">%d</text>`+"\n", x, y, x, y+3.2, rank)
}

// class returns the style of the event, "" for an unknown category.
func (e *Event) class() string {
	switch {
	case e.Category == SystemCall && strings.HasPrefix(e.Args["result"], "-1 "), e.Category == Step && e.Args["error"] != "":
		return "err"
	case slices.Contains([]Category{Verb, Work, Step, Wait, Exchange, SystemCall}, e.Category):
		return string(e.Category)
	}
	return "work"
}

// tooltip returns all known facts of the event.
func (e *Event) tooltip() string {
	out := []string{cut(e.Name, 2000), duration(e.Length) + ", from " + duration(e.Begin)}
	for _, k := range []string{"result", "field", "error", "unfinished", "calls"} {
		if v := e.Args[k]; v != "" {
			out = append(out, k+": "+cut(v, 2000))
		}
	}
	return strings.Join(out, "\n")
}

// grid draws the axis and the pauses behind the drawing since top.
func (p *picture) grid(a axis, top float64) {
	bottom := p.y
	for _, t := range a.ticks() {
		x := a.x(t)
		if x > a.right-30 {
			continue // its label has no room
		}
		fmt.Fprintf(&p.back, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="grid"/>`+"\n", x, top+14, x, bottom)
		p.text(x, top+10, "note", strconv.FormatFloat(float64(t)/1e6, 'f', -1, 64)+" ms")
	}
	for _, c := range a.pauses {
		x := a.x(c.begin)
		fmt.Fprintf(&p.back, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="cut"><title>nothing but waiting: %s</title></rect>`+"\n", x, top+14, cutWidth, bottom-top-14, duration(c.end-c.begin))
		p.text(x+cutWidth/2, top+24, "note mid", duration(c.end-c.begin))
	}
}

// lists draws the longest entries of both sides, side by side.
func (p *picture) lists(work, calls []*bar) {
	p.y += 26
	p.text(margin, p.y, "head", "Longest on the runtime side")
	p.text(width/2+margin, p.y, "head", "Longest system calls of the container side")
	for i := range max(len(work), len(calls)) {
		y := p.y + 4 + listLine*float64(i+1)
		if i < len(work) {
			p.entry(margin, y, work[i])
		}
		if i < len(calls) {
			p.entry(width/2+margin, y, calls[i])
		}
	}
	p.y += 8 + listLine*float64(max(len(work), len(calls)))
}

func (p *picture) entry(x, y float64, b *bar) {
	p.number(x+6, y-4, b.rank)
	p.text(x+82, y, "code end", duration(b.self))
	name := b.Name
	if b.self != b.Length && b.Category != SystemCall {
		name += " (of its own)"
	}
	const chars = 72
	p.text(x+92, y, "code", cut(name, chars))
}

// duration prints a time for people, with at least three digits.
func duration(ns int64) string {
	switch d := time.Duration(ns); {
	case d < 0:
		return "-" + duration(-ns)
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(ns)/1e3, 'f', 1, 64) + " µs"
	case d < 10*time.Second:
		return strconv.FormatFloat(float64(ns)/1e6, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(float64(ns)/1e9, 'f', 1, 64) + " s"
}

// cut returns at most the first n characters of s.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// escape turns s into XML text. Characters that XML forbids become spaces.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case r < ' ' && r != '\n', r == 0xfffe, r == 0xffff:
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

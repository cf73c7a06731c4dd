package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// order is a sort order of top. The value is the key that selects it.
type order byte

const (
	byCPU    order = 'c'
	byMemory order = 'm'
	byName   order = 'n'
)

func (o order) sort(all []usage) {
	slices.SortStableFunc(all, func(a, b usage) int {
		switch {
		case o == byCPU && a.cpu != b.cpu:
			return cmp.Compare(b.cpu, a.cpu)
		case o == byMemory && a.memory != b.memory:
			return cmp.Compare(b.memory, a.memory)
		}
		return cmp.Compare(a.id, b.id)
	})
}

// figures is the width of all columns but the first, spaces included. fewest is the lowest
// width of the first column; if the terminal is too narrow, the last columns are cut off.
const (
	figures = 66
	traffic = 40 // width of the columns for limited bandwidth
	fewest  = 12
)

// figuresOf returns the width of the figures of a table. The table has columns for traffic if
// a container has limited bandwidth.
func figuresOf(all []usage) int {
	if slices.ContainsFunc(all, func(u usage) bool { return u.limited }) {
		return figures + traffic
	}
	return figures
}

// heading returns the names of the columns. The columns after the block I/O are pressures: the
// percentage of the last ten seconds in which some task waited for the resource.
func heading(width, figures int) string {
	return line(width, figures, "CONTAINER", "CPU%", "MEMORY", "LIMIT", "PIDS", "READ/s", "WRITE/s", "P.CPU", "P.MEM", "P.IO",
		"SENT/s", "RECV/s", "PKTS/s", "DROP/s", "MARK/s")
}

// line lays out cells. The name gets the width that the figures leave.
func line(width, figures int, name string, cells ...string) string {
	widths := [...]int{7, 7, 7, 7, 7, 7, 5, 5, 5, 7, 7, 7, 7, 7}
	var b strings.Builder
	b.WriteString(fit(printable(name), max(width-figures, fewest)))
	for i, cell := range shown(figures, cells) {
		fmt.Fprintf(&b, " %*s", widths[i], cell)
	}
	return cut(b.String(), width)
}

// shown returns the cells of the table, without those of traffic if it has no such columns.
func shown(width int, cells []string) []string {
	if width == figures {
		return cells[:9]
	}
	return cells
}

// fit returns s in exactly width columns. A longer s is cut and ends in "…".
func fit(s string, width int) string {
	n := utf8.RuneCountInString(s)
	if n > width {
		return cut(s, width-1) + "…"
	}
	return s + strings.Repeat(" ", width-n)
}

func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(width, 0)])
}

func (u usage) line(width, figures int) string {
	busy := u.status
	if busy == "running" {
		busy = strconv.FormatFloat(u.cpu, 'f', 1, 64)
	}
	cells := []string{
		busy, bytesText(float64(u.memory)), unlessZero(u.limit, bytesText(float64(u.limit))), u.pidsText(),
		bytesText(u.read), bytesText(u.written), percent(u.pressure[0]), percent(u.pressure[1]), percent(u.pressure[2]),
	}
	return line(width, figures, u.id, append(cells, u.trafficTexts()...)...)
}

// trafficTexts returns the figures of a container's traffic, or "-" without a bandwidth limit.
func (u usage) trafficTexts() []string {
	if !u.limited {
		return []string{"-", "-", "-", "-", "-"}
	}
	n := u.traffic
	return []string{bytesText(n.sent), bytesText(n.received), countText(n.packets), countText(n.dropped), countText(n.marked)}
}

// countText returns a number with at most seven digits.
func countText(n float64) string { return strconv.FormatFloat(min(n, 9999999), 'f', 0, 64) }

// pidsText returns the number of tasks. It adds the limit if there is one and it fits.
func (u usage) pidsText() string {
	now := strconv.FormatUint(u.pids, 10)
	both := now + "/" + strconv.FormatUint(u.pidsMax, 10)
	if u.pidsMax == 0 || len(both) > len("999/999") {
		return now
	}
	return both
}

func unlessZero(n uint64, text string) string {
	if n == 0 {
		return "-"
	}
	return text
}

func percent(p float64) string { return strconv.FormatFloat(p, 'f', 1, 64) }

// bytesText returns a size as three digits and a unit: "0B", "1.5K", "12.3M", "512G".
func bytesText(n float64) string {
	const units = "BKMGTP"
	i := 0
	for n >= 999.5 && i < len(units)-1 {
		n /= 1024
		i++
	}
	digits := 1
	if i == 0 || n >= 99.95 {
		digits = 0
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + units[i:i+1]
}

// frame returns a whole screen: a title, the heading, the containers, and the number of
// containers that do not fit.
func frame(all []usage, by order, now time.Time, width, height int) []string {
	title := fmt.Sprintf("onggi %s  containers: %d  c, m, n: sort by cpu, memory, name  q: quit", now.Format("15:04:05"), len(all))
	figures := figuresOf(all)
	lines := []string{cut(title, width), reverse + fit(heading(width, figures), width) + plain}
	by.sort(all)
	room := max(height-len(lines), 0)
	hidden := 0
	if len(all) > room {
		hidden = len(all) - max(room-1, 0)
	}
	for _, u := range all[:len(all)-hidden] {
		lines = append(lines, u.line(width, figures))
	}
	if hidden > 0 && room > 0 {
		lines = append(lines, cut(fmt.Sprintf("%d more", hidden), width))
	}
	return lines[:min(len(lines), height)]
}

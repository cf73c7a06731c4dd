package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tap is output in the Test Anything Protocol: one document, or several in a row.
type tap []*document

type document struct {
	points []point
	// plan is the number of points announced, -1 if there is no plan.
	plan int
	// remarks are errors in YAML blocks before the first point: some programs of the suite fail that way.
	remarks []string
}

// point is an "ok" or "not ok" line.
type point struct {
	ok   bool
	skip bool // the suite did not check it
	text string
}

func parseTAP(output string) tap {
	var t tap
	d := &document{plan: -1}
	var block []string
	inBlock := false
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "  ---":
			inBlock, block = true, nil
		case line == "  ...":
			inBlock = false
			d.remark(block)
		case inBlock:
			block = append(block, line)
		case strings.HasPrefix(line, "TAP version ") && !d.empty():
			t, d = append(t, d), &document{plan: -1}
		default:
			d.line(line)
		}
	}
	return append(t, d)
}

func (d *document) empty() bool { return d.plan == -1 && d.points == nil && d.remarks == nil }

func (d *document) line(line string) {
	if n, ok := strings.CutPrefix(line, "1.."); ok {
		d.plan, _ = strconv.Atoi(n)
		return
	}
	rest, ok := strings.CutPrefix(line, "ok ")
	if !ok {
		var failed bool
		if rest, failed = strings.CutPrefix(line, "not ok "); !failed {
			return // a version line or a comment
		}
	}
	// "1 - text", "1 # SKIP text"
	_, text, _ := strings.Cut(rest, " ")
	skipped, skip := strings.CutPrefix(text, "# SKIP ")
	if !skip {
		skipped = strings.TrimPrefix(text, "- ")
	}
	d.points = append(d.points, point{ok: ok, skip: skip, text: skipped})
}

func (d *document) remark(block []string) {
	if len(d.points) > 0 {
		return // it explains the point above it
	}
	var fields map[string]any
	if json.Unmarshal([]byte(strings.Join(block, "\n")), &fields) != nil {
		d.remarks = append(d.remarks, strings.Join(block, " "))
		return
	}
	if e, ok := fields["error"].(string); ok {
		d.remarks = append(d.remarks, e)
	}
}

// findings returns every result other than a pass, each once.
func (t tap) findings() []string {
	var f []string
	for _, d := range t {
		f = append(f, d.findings()...)
	}
	slices.Sort(f)
	return slices.Compact(f)
}

func (d *document) findings() []string {
	var f []string
	for _, p := range d.points {
		switch {
		case p.skip && !unasked(p.text):
			f = append(f, "skip: "+p.text)
		case !p.ok:
			f = append(f, "not ok: "+p.text)
		}
	}
	for _, r := range d.remarks {
		f = append(f, "error: "+strings.ReplaceAll(r, "\n", " "))
	}
	if d.plan == -1 {
		f = append(f, "no plan: it did not come to its end")
	} else if d.plan != len(d.points) {
		f = append(f, fmt.Sprintf("plan: %d points, %d announced", len(d.points), d.plan))
	}
	return f
}

// unasked reports whether a point was skipped because the configuration has no such setting. The suite also shows an unmet
// SHOULD as skipped.
func unasked(text string) bool {
	for _, s := range []string{" not set", "unconfigured", "syscall action SCMP_ACT_ALLOW"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// count counts the passed points and the points without a setting.
func (t tap) count() (passed, notAsked int) {
	for _, d := range t {
		for _, p := range d.points {
			switch {
			case p.ok && !p.skip:
				passed++
			case p.skip && unasked(p.text):
				notAsked++
			}
		}
	}
	return passed, notAsked
}

func TestParseTAP(t *testing.T) {
	for _, c := range []struct {
		name, output string
		passed       int
		want         []string
	}{
		{"a pass", "TAP version 13\nok 1 - a\n  ---\n  {\"error\": \"as expected\"}\n  ...\n1..1\n", 1, nil},
		{"a failure twice", "not ok 1 - a\nnot ok 2 - a\n1..2\n", 0, []string{"not ok: a"}},
		{"an error instead of points", "  ---\n  {\"error\": \"a\\nb\"}\n  ...\n1..0\n", 0, []string{"error: a b"}},
		{"skipped: nothing was asked for", "ok 1 # SKIP linux.devices is not set\n1..1\n", 0, nil},
		{"skipped: a SHOULD", "ok 1 # SKIP mount /sys found\n1..1\n", 0, []string{"skip: mount /sys found"}},
		{"half of it", "ok 1 - a\n", 1, []string{"no plan: it did not come to its end"}},
		{"two documents", "TAP version 13\nok 1 - a\n1..1\nTAP version 13\n1..0\n", 1, nil},
		{"the second without its end", "ok 1 - a\n1..1\nTAP version 13\nok 1 - b\n", 2, []string{"no plan: it did not come to its end"}},
		{"more announced", "ok 1 - a\n1..2\n", 1, []string{"plan: 1 points, 2 announced"}},
	} {
		got := parseTAP(c.output)
		if f := got.findings(); !slices.Equal(f, c.want) {
			t.Errorf("%s: findings = %q; want %q", c.name, f, c.want)
		}
		if n, _ := got.count(); n != c.passed {
			t.Errorf("%s: passed = %d; want %d", c.name, n, c.passed)
		}
	}
}

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	tests := []struct {
		name    string
		samples []float64
		want    stats
	}{
		{"none", nil, stats{}},
		{"one", []float64{3}, stats{3, 3, 3}},
		{"odd", []float64{9, 1, 5}, stats{1, 5, 9}},
		{"even", []float64{4, 1, 2, 3}, stats{1, 2.5, 4}},
		{"hundred", hundred, stats{1, 50.5, 100}},
	}
	for _, test := range tests {
		if got := summarize(test.samples); got != test.want {
			t.Errorf("summarize(%s) = %v; want %v", test.name, got, test.want)
		}
	}
}

func TestFigure(t *testing.T) {
	tests := []struct {
		samples []float64
		metric  string
		want    string
	}{
		{[]float64{1.264}, "wall", "1.26 ms"},
		{[]float64{200}, "memory", "200 KiB"},
		{[]float64{2048}, "memory", "2.0 MiB"},
		{[]float64{1234}, "calls", "1234"},
		{nil, "memory", "–"},
	}
	for _, test := range tests {
		if got := figure(test.samples, test.metric); got != test.want {
			t.Errorf("figure(%v, %s) = %q; want %q", test.samples, test.metric, got, test.want)
		}
	}
}

// example returns a result with a row or two of each part.
func example() []Result {
	r := Result{
		Layout: "v2", Machine: "Linux <test>", Runs: 2, Notes: []string{"slow"},
		Competitors: []Competitor{{"floor", "C"}, {subject, "1"}, {"crun", "2"}, {"runc", "3"}},
	}
	times := map[string]float64{"floor": 2, subject: 4, "crun": 8, "runc": 80}
	for _, mode := range []string{backToBack, "20ms before each"} {
		for _, name := range []string{"run", whole, "exec"} {
			for competitor, wall := range times {
				if competitor != "floor" || name == "run" {
					r.used(Key{Block: "lifecycle", Bundle: defaultBundle, Mode: mode, Name: name}, competitor, usage{wall, 6, 100})
				}
			}
		}
	}
	for competitor, wall := range times {
		r.used(Key{Block: "cold", Bundle: "docker-29", Mode: "cold", Name: "run"}, competitor, usage{wall, 1, 1})
		r.used(Key{Block: "concurrency", Bundle: defaultBundle, Mode: "8", Name: "run"}, competitor, usage{wall, 1, 1})
		r.add(Key{"concurrency", defaultBundle, "8", "run", "rate"}, competitor, 1000/wall)
		r.add(Key{"concurrency", defaultBundle, "8", "run", "machine"}, competitor, wall/2)
		r.add(Key{"concurrency", defaultBundle, "32, state on a disk", "run", "rate"}, competitor, 500/wall)
		r.used(Key{Block: "exec loop", Bundle: defaultBundle, Mode: "2", Name: "exec"}, competitor, usage{wall, 1, 1})
		r.add(Key{"exec loop", defaultBundle, "2", "exec", "rate"}, competitor, 1000/wall)
		for _, metric := range []string{"calls", "faults", "switches", "cpu"} {
			r.add(Key{"events", defaultBundle, "", "run", metric}, competitor, wall)
		}
	}
	r.add(Key{"memory", defaultBundle, "", residentRow, "memory"}, subject, 48)
	r.add(Key{"memory", defaultBundle, "", residentRow, "memory"}, "crun", 2048)
	r.add(Key{"memory", defaultBundle, "", sizeRow, "memory"}, subject, 7168)
	c := Curve{Name: "mounts", Title: "run, with more <mounts>", Axis: "mounts", Per: "mount"}
	for _, x := range []int{0, 10, 20} {
		c.add(x, subject, 4+0.05*float64(x))
		c.add(x, "crun", 8+0.01*float64(x*x))
	}
	r.Curves = []Curve{c}
	return []Result{r}
}

func TestTablesHaveTheRatios(t *testing.T) {
	made := blocks(example())
	tests := []struct{ block, line string }{
		{"lifecycle", "| default | run | 2.00 (6.00) | 4.00 (6.00) | 8.00 (6.00) | 80.00 (6.00) | 0.50 (1.00) | 0.05 (1.00) |"},
		{"lifecycle", "|  | exec |  | 4.00 (6.00) | 8.00 (6.00) | 80.00 (6.00) | 0.50 (1.00) | 0.05 (1.00) |"},
		{"cold", "| v2 | docker-29 | cold | 4.00 ms | 8.00 ms | 80.0 ms | 0.50 | 0.05 |"},
		{"concurrency", "| v2 | run | 8 | 500 (1.00) | 250 (2.00) | 125 (4.00) | 12 (40.00) | 2.00 | 0.50 | 0.50 | 0.50 | 0.50 |"},
		{"concurrency", "| v2 | run, state on a disk | 32 | 250 (0.00) | 125 (0.00) | 62 (0.00) | 6 (0.00) | 2.00 | 0.50 | – | – | – |"},
		{"exec loop", "| v2 | onggi | 125 | 4.00 ms | 4.00 ms | 1.00 ms |"},
		{"events", "| default | run | 2 · 2 · 2 · 2.00 | 4 · 4 · 4 · 4.00 | 8 · 8 · 8 · 8.00 | 80 · 80 · 80 · 80.00 |"},
		{"memory", "| v2 | resident memory of a created container's process | 48 KiB | 2.0 MiB | – |"},
		{"growth", "| run, with more <mounts> | onggi | 4.00 ms at 0 | 5.00 ms at 20 | 50.0 µs per mount | 1.00 |"},
		{"readme", "| v2 | default | run | 2.0 | 4.0 | 8.0 | 80.0 | 0.50 | 0.05 | 0.50 | 0.05 |"},
		{"run", "- cgroup layout v2: slow"},
	}
	for _, test := range tests {
		if !strings.Contains(made[test.block], test.line+"\n") {
			t.Errorf("block %s has no line %q:\n%s", test.block, test.line, made[test.block])
		}
	}
}

func TestBlocksOfNothingAreLeftOut(t *testing.T) {
	r := Result{Layout: "v2", Competitors: []Competitor{{subject, "1"}}}
	for name, text := range blocks([]Result{r}) {
		if name != "run" {
			t.Errorf("block %s of a run without measurements: %q", name, text)
		}
	}
}

func TestBusyTime(t *testing.T) {
	tests := []struct {
		name, stat string
		want       float64
		fails      bool
	}{
		{"work is user, nice, system, irq and softirq", "cpu  1 2 4 1000 1000 8 16 1000 0 0\ncpu0 9 9 9 9 9 9 9 9 9 9\n", 310, false},
		{"no number", "cpu  1 2 x 0 0 0 0 0\n", 0, true},
		{"too short", "cpu 1 2 3\n", 0, true},
		{"something else", "cpu0 1 2 3 4 5 6 7 8\n", 0, true},
		{"nothing", "", 0, true},
	}
	for _, test := range tests {
		if got, err := busyTime(test.stat); got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: busyTime = %v, %v; want %v", test.name, got, err, test.want)
		}
	}
}

func TestSaturationIsACurveOfRates(t *testing.T) {
	c, ok := example()[0].saturation()
	if !ok || len(c.Points) != 1 || c.Points[0].X != 8 || c.label("crun") != "125 a second" {
		t.Errorf("saturation = %+v, %v; want one point at 8, crun with 125 a second", c, ok)
	}
	if _, ok := (&Result{}).saturation(); ok {
		t.Error("a curve of nothing")
	}
}

func TestBend(t *testing.T) {
	c := example()[0].Curves[0]
	for _, x := range []int{0, 10, 20} {
		c.Points[x/10].Samples["flat"] = []float64{10, 9, 8 + float64(x)}
	}
	for competitor, want := range map[string]string{subject: "1.00", "crun": "1.20", "flat": "flat", "runc": "–"} {
		if got := c.bend(competitor); got != want {
			t.Errorf("bend(%s) = %v; want %v", competitor, got, want)
		}
	}
	if slope, start := c.slope(subject); math.Abs(slope-0.05) > 1e-9 || math.Abs(start-4) > 1e-9 {
		t.Errorf("slope = %v from %v; want 0.05 from 4", slope, start)
	}
}

func TestPicturesAreWellFormed(t *testing.T) {
	all := example()
	for name, picture := range map[string]string{"bars": Picture(all), "plot": Plot(all[0].Curves[0], all[0].Competitors)} {
		d := xml.NewDecoder(strings.NewReader(picture))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if !strings.Contains(picture, `class="onggi"`) {
			t.Errorf("%s: nothing of onggi", name)
		}
	}
}

func TestReplaceBlocks(t *testing.T) {
	document := "a\n" + beginMark + "one -->\nold\n" + endMark + "\nb\n" + beginMark + "two -->\nkept\n" + endMark + "\nc\n"
	want := "a\n" + beginMark + "one -->\n\nnew\n\n" + endMark + "\nb\n" + beginMark + "two -->\nkept\n" + endMark + "\nc\n"
	got, err := replaceBlocks(document, map[string]string{"one": "new\n"})
	if err != nil || got != want {
		t.Errorf("replaceBlocks = %q, %v; want %q", got, err, want)
	}
	again, err := replaceBlocks(got, map[string]string{"one": "new\n"})
	if err != nil || again != want {
		t.Errorf("replaceBlocks, again = %q, %v; want %q", again, err, want)
	}
	for _, bad := range []string{beginMark + "one -->\n", beginMark + "one -->\n" + beginMark + "two -->\n" + endMark + "\n"} {
		if _, err := replaceBlocks(bad, nil); err == nil {
			t.Errorf("replaceBlocks(%q): no error", bad)
		}
	}
}

func TestFiguresKeepWhatWasNotMeasured(t *testing.T) {
	before := figuresHead + "v2\tmemory\tstale\n" + "v2\tlimit\tkept\n" + "hybrid\tmemory\tkept\n"
	got := figures(before, example())
	if strings.Contains(got, "stale") || strings.Count(got, "kept") != 2 || strings.Count(got, figuresHead) != 1 {
		t.Errorf("figures = %s", got)
	}
	if want := "v2\tgrowth\tdefault\t20\tmounts\twall\tms\tonggi\t1\t5.000\t5.000\t5.000\n"; !strings.Contains(got, want) {
		t.Errorf("no line %q in\n%s", want, got)
	}
}

func TestLimitsAreWholePagesAndGrow(t *testing.T) {
	last := int64(0)
	for _, kib := range limits() {
		if kib <= last || kib%4 != 0 {
			t.Errorf("limit %d KiB after %d", kib, last)
		}
		last = kib
	}
}

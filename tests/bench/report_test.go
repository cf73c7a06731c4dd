package main

import (
	"encoding/xml"
	"errors"
	"io"
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
		unit    string
		want    string
	}{
		{[]float64{1.26}, "ms", "1.3 ms"},
		{[]float64{200}, "KiB", "200 KiB"},
		{[]float64{2048}, "KiB", "2.0 MiB"},
		{nil, "KiB", "–"},
	}
	for _, test := range tests {
		if got := figure(test.samples, test.unit); got != test.want {
			t.Errorf("figure(%v, %s) = %q; want %q", test.samples, test.unit, got, test.want)
		}
	}
}

func example() []Result {
	return []Result{{
		Layout: "v2", Machine: "Linux <test>", Runs: 2, Note: "slow",
		Competitors: []Competitor{{"floor", "C"}, {"onggi", "1"}, {"crun", "2"}},
		Items: []Item{
			{"run", "ms", map[string][]float64{"floor": {2, 2}, "onggi": {4, 4}, "crun": {8, 8}}},
			{"exec", "ms", map[string][]float64{"onggi": {1, 1}, "crun": {2, 2}}},
			{residentItem, "KiB", map[string][]float64{"onggi": {100}, "crun": {2048}}},
		},
	}}
}

func TestMarkdownHasTheRatios(t *testing.T) {
	got := Markdown(example())
	for _, line := range []string{
		"| run | floor | 2.00 ms | 2.00 ms | 2.00 ms | 2.00 | 2.00 | 2.00 |",
		"|  | onggi | 4.00 ms | 4.00 ms | 4.00 ms |  |  |  |",
		"|  | crun | 8.00 ms | 8.00 ms | 8.00 ms | 0.50 | 0.50 | 0.50 |",
		"| exec | onggi | 1.00 ms | 1.00 ms | 1.00 ms |  |  |  |",
		"| resident memory of a created container | 100 KiB | 2.0 MiB |",
		"All slow.",
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	d := xml.NewDecoder(strings.NewReader(Picture(example())))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
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

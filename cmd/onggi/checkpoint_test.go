package main

import (
	"strings"
	"testing"
	"time"

	"github.com/onggi-dev/onggi/libcontainer"
)

func TestParseGoal(t *testing.T) {
	for _, tt := range []struct {
		text string
		want libcontainer.PreDumpGoal
		ok   bool
	}{
		{"16m", libcontainer.PreDumpGoal{Size: 16 << 20}, true},
		{"4096", libcontainer.PreDumpGoal{Size: 4096}, true},
		{"5%", libcontainer.PreDumpGoal{Ratio: 0.05}, true},
		{"0.5%", libcontainer.PreDumpGoal{Ratio: 0.005}, true},
		{text: "0"},
		{text: "0%"},
		{text: "100%"},
		{text: "-1%"},
		{text: "NaN%"},
		{text: "%"},
		{text: ""},
		{text: "-1"},
		{text: "many"},
	} {
		got, err := parseGoal(tt.text)
		if ok := err == nil; ok != tt.ok || ok && got != tt.want {
			t.Errorf("parseGoal(%q) = %+v, %v; want %+v, ok %v", tt.text, got, err, tt.want, tt.ok)
		}
	}
}

func TestPrintProgress(t *testing.T) {
	var b strings.Builder
	printProgress(&b, libcontainer.CheckpointProgress{Phase: "dump", Elapsed: 900 * time.Millisecond})
	printProgress(&b, libcontainer.CheckpointProgress{Phase: "pre-2", Written: 112 << 20, Elapsed: 3 * time.Second})
	if got, want := b.String(), "checkpoint: pre-2: 112M of memory written after 3 s\n"; got != want {
		t.Errorf("printProgress = %q; want %q", got, want)
	}
}

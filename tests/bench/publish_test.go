package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentsHaveTheBlocks checks that every block has a place in a document, and every place a block.
func TestDocumentsHaveTheBlocks(t *testing.T) {
	made := blocks(example())
	made["start"] = Curve{Points: []Point{{X: 22}}}.minima() // of make bench-start
	made["shim"] = (&ShimResult{Competitors: []string{ownShim, "runc"}, Rows: []ShimRow{{
		Name: "exec cpu", Samples: map[string][]float64{ownShim: {1}, "runc": {2}},
	}}}).table() // of make bench-shim
	unplaced := maps.Clone(made)
	for _, document := range []string{"../../" + published + ".md", "../../README.md"} {
		data, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		text, err := replaceBlocks(string(data), made)
		if err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		for line := range strings.Lines(text) {
			name, ok := strings.CutPrefix(strings.TrimSpace(line), beginMark)
			if !ok {
				continue
			}
			name = strings.TrimSuffix(name, markEnd)
			if made[name] == "" {
				t.Errorf("%s: nobody makes a block %q", document, name)
			}
			delete(unplaced, name)
		}
		for name, block := range made {
			if strings.Contains(string(data), beginMark+name+markEnd) && !strings.Contains(text, strings.TrimSpace(block)) {
				t.Errorf("%s: block %q has not been written", document, name)
			}
		}
	}
	for name := range unplaced {
		t.Errorf("no document has a place for block %q", name)
	}
}

func TestPublishElsewhere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BENCH_OUT", dir)
	if err := publish(example()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tables.md", "figures.tsv", "mounts.svg", "lifecycle.svg"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

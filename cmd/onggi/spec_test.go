package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestSpec(t *testing.T) {
	for _, args := range [][]string{{"spec"}, {"spec", "--rootless"}} {
		bundle := t.TempDir()
		line := append(args, "--bundle", bundle)
		if got := run(line, files(t)); got != 0 {
			t.Fatalf("onggi %s = %d; want 0", line, got)
		}
		raw, err := os.ReadFile(filepath.Join(bundle, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		var spec specs.Spec
		if err := json.Unmarshal(raw, &spec); err != nil || spec.Version != specs.Version {
			t.Errorf("onggi %s wrote %s: %v", line, raw, err)
		}
		std := files(t)
		if got := run(line, std); got != 1 || !strings.Contains(contents(t, std.err), "File config.json exists. Remove it first") {
			t.Errorf("onggi %s over a file = %d, %s; want 1 and an explanation", line, got, contents(t, std.err))
		}
		if again, _ := os.ReadFile(filepath.Join(bundle, "config.json")); string(again) != string(raw) {
			t.Errorf("onggi %s changed the file", line)
		}
	}
}

package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The plan in docs/plan.md is the output of `onggi plan` for the bundle of `onggi spec` on a host with cgroup v2.
func TestPlanOfThePage(t *testing.T) {
	peersLack(t, "plan")
	if env.layout != "v2" {
		t.Skip("the page's host has cgroup v2 only")
	}
	page, err := os.ReadFile("../docs/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "    $ onggi plan hello\n")
	text, _, _ = strings.Cut(text, "\n\n")
	c := newContainer(t)
	os.Remove(filepath.Join(c.bundle, "config.json"))
	c.must("spec", "--bundle", c.bundle)
	plan := c.must("plan", "--bundle", c.bundle, "hello").out
	plan = strings.ReplaceAll(plan, c.bundle, "/root/hello")
	if d := diff(tidyLines(text), tidyLines(plan)); d != "" {
		t.Errorf("docs/plan.md (-) is not what onggi prints (+):\n%s", d)
	}
}

// tidyLines reduces each line to single spaces, because columns are as wide as the longest path. It drops the numbers and
// /dev/core, which exists only if the kernel has /proc/kcore.
func tidyLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || strings.Contains(line, " symlink /dev/core ") {
			continue
		}
		b.WriteString(strings.Join(words[1:], " ") + "\n")
	}
	return b.String()
}

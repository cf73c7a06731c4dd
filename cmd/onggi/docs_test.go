package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	mdLink = regexp.MustCompile(`\]\(([^)]+)\)`)
	mdCode = regexp.MustCompile("(?s)\n```.*?\n```|`[^`\n]*`")
)

// pages returns the documents of the repository, with paths from its top.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	if len(all) < 10 {
		t.Fatalf("only %d documents are found: %v", len(all), all)
	}
	return all
}

// Every relative link leads to an existing file, and to an existing heading in it.
func TestLinksOfTheDocuments(t *testing.T) {
	for _, page := range pages(t) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range mdLink.FindAllStringSubmatch(mdCode.ReplaceAllString(string(data), ""), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(match[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			text, err := os.ReadFile(target)
			if info, err2 := os.Stat(target); err2 == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s: link to %s: %v", page, match[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(string(text)), anchor) {
				t.Errorf("%s: link to %s: there is no such heading", page, match[1])
			}
		}
	}
}

// TestPathsInTheDocuments checks that every file or directory that a page names as code exists. A page may leave the end of a
// name out, as in `tests/vm`.
func TestPathsInTheDocuments(t *testing.T) {
	path := regexp.MustCompile("`((?:libcontainer|cmd|specconv|seccomp|tests|docs)/[\\w./-]+)`")
	for _, page := range pages(t) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range path.FindAllStringSubmatch(string(data), -1) {
			found, err := filepath.Glob(filepath.Join("../..", match[1]) + "*")
			if err != nil || len(found) == 0 {
				t.Errorf("%s: %s does not exist", page, match[1])
			}
		}
	}
}

// anchors returns the headings of a document in the form of link targets.
func anchors(text string) (all []string) {
	drop := regexp.MustCompile(`[^\w\- ]`)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			all = append(all, strings.ReplaceAll(drop.ReplaceAllString(heading, ""), " ", "-"))
		}
	}
	return all
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// published is the place of the results: pictures go into the directory, tables between the marks of the documents beside it.
const published = "docs/performance"

// publish writes the results. A run of some items replaces only those in the documents.
func publish(all []Result) error {
	dir := setting("BENCH_OUT", published)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	made := blocks(all)
	var err error
	for _, r := range all {
		curves := r.Curves
		if c, ok := r.saturation(); ok {
			curves = append(slices.Clone(curves), c)
		}
		for _, c := range curves {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, c.Name+".svg"), []byte(Plot(c, r.Competitors)), 0o644))
		}
	}
	if made["lifecycle"] != "" {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "lifecycle.svg"), []byte(Picture(all)), 0o644))
	}
	raw := filepath.Join(dir, "figures.tsv")
	before, _ := os.ReadFile(raw) // the first time, there is none
	err = errors.Join(err, os.WriteFile(raw, []byte(figures(string(before), all)), 0o644))
	if dir != published {
		// No document belongs to this directory, so the tables go into a file of their own.
		return errors.Join(err, os.WriteFile(filepath.Join(dir, "tables.md"), []byte(loose(made)), 0o644))
	}
	for _, document := range []string{dir + ".md", "README.md"} {
		err = errors.Join(err, rewrite(document, made))
	}
	return err
}

// loose returns all blocks one after the other.
func loose(made map[string]string) string {
	var b strings.Builder
	for _, name := range []string{"run", "concurrency", "lifecycle", "cold", "exec loop", "events", "memory", "growth"} {
		if made[name] != "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s", name, made[name])
		}
	}
	return b.String()
}

func rewrite(document string, made map[string]string) error {
	data, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	text, err := replaceBlocks(string(data), made)
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, []byte(text), 0o644)
}

// These are the marks of a block, each on a line of its own.
const (
	beginMark = "<!-- make bench writes this: "
	endMark   = "<!-- end -->"
	markEnd   = " -->"
)

// replaceBlocks puts new text between the marks that name it.
func replaceBlocks(document string, made map[string]string) (string, error) {
	var b strings.Builder
	inside := ""
	for line := range strings.Lines(document) {
		trimmed := strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(trimmed, beginMark); ok {
			if inside != "" {
				return "", fmt.Errorf("block %q begins inside of %q", name, inside)
			}
			inside = strings.TrimSuffix(name, markEnd)
			b.WriteString(line)
			if made[inside] != "" {
				b.WriteString("\n" + strings.TrimSpace(made[inside]) + "\n\n")
			}
			continue
		}
		if trimmed == endMark {
			inside = ""
		}
		if made[inside] == "" {
			b.WriteString(line)
		}
	}
	if inside != "" {
		return "", fmt.Errorf("block %q has no end", inside)
	}
	return b.String(), nil
}

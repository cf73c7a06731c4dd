package main

import (
	"regexp"
	"strings"
	"testing"
)

// Engines look for "<name> version X": the word "version" must stand in the first line, and in no other.
func TestVersion(t *testing.T) {
	want := regexp.MustCompile(`^onggi version [0-9]\S*\ncommit: \S+\nspec: 1\.3\.0\ngo: go1\.\S+(, without the CPU limit lookup)?\nmachine: [a-z0-9]+\nlibseccomp: ([0-9.]+, in an embedded helper|[0-9.]+, linked in, with cgo|none, for want of cgo)\n$`)
	for _, line := range []string{"--version", "-v", "version"} {
		std := files(t)
		status := run([]string{line}, std)
		got := contents(t, std.out)
		if status != 0 || !want.MatchString(got) || strings.Count(got, "version") != 1 {
			t.Errorf("onggi %s = %d and printed\n%s", line, status, got)
		}
	}
}

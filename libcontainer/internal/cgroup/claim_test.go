package cgroup

import (
	"slices"
	"strings"
	"testing"
)

func TestMarkIsReadAsWritten(t *testing.T) {
	m := mark{
		Claim: Claim{Boot: "7686f805-d96f-40b7-94c4-69a3002086db", Root: "/run/on\nggi", ID: "web", Created: 1795994091796224904, By: 4711},
		made:  []string{"/sys/fs/cgroup/freezer/a b", "/sys/fs/cgroup/freezer/a b/web"},
	}
	got := parseMark(m.encode())
	if got.head() != m.head() || got.By != m.By || !slices.Equal(got.made, m.made) {
		t.Errorf("parseMark(encode()) = %+v; want %+v", got, m)
	}
}

func TestMarkThatIsNobodys(t *testing.T) {
	for name, text := range map[string]string{
		"garbage":         "\x00\xff",
		"another key":     "boot x\ncolour red\n",
		"no number":       "created soon\n",
		"not quoted":      "id web\n",
		"a line too many": (mark{Claim: Claim{ID: "web"}}).encode() + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			if m := parseMark(text); m.head() != (Claim{}).head() {
				t.Errorf("parseMark(%q) = %+v; want nobody's", text, m)
			}
		})
	}
}

func TestMarkFits(t *testing.T) {
	m := mark{made: []string{"/a", "/" + strings.Repeat("b", maxMark)}}
	if text := m.encode(); len(text) > maxMark || !slices.Equal(parseMark(text).made, m.made[:1]) {
		t.Errorf("encode() has %d bytes; want at most %d, with what fits", len(text), maxMark)
	}
}

// TestMadeIsOnTheWay: a mark written by the container can only name its own cgroup and the parents of it.
func TestMadeIsOnTheWay(t *testing.T) {
	p := Paths{Unified: &Dir{Mountpoint: "/sys/fs/cgroup", Path: "/a/b"}}
	got := p.onTheWay([]string{"/sys/fs/cgroup", "/sys/fs/cgroup/a", "/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a/b/c", "/sys/fs/cgroup/ab", "/tmp"})
	if want := []string{"/sys/fs/cgroup/a", "/sys/fs/cgroup/a/b"}; !slices.Equal(got, want) {
		t.Errorf("onTheWay() = %q; want %q", got, want)
	}
}

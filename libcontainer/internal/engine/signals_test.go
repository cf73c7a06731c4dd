package engine

import (
	"os/signal"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestIgnoredSignals(t *testing.T) {
	const sig = unix.Signal(50)
	if slices.Contains(ignoredSignals(), sig) {
		t.Fatalf("%v is ignored already", sig)
	}
	signal.Ignore(sig)
	defer signal.Reset(sig)
	if got := ignoredSignals(); !slices.Contains(got, sig) {
		t.Errorf("ignoredSignals() = %v; want %d among them", got, int(sig))
	}
}

func TestParseIgnored(t *testing.T) {
	for _, tt := range []struct {
		status string
		want   []unix.Signal
	}{
		{"Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n", []unix.Signal{1, 13}},
		{"Name:\tx\nSigIgn:\t8000000000000000\n", []unix.Signal{64}},
		{"Name:\tSigIgn:\t1\n", nil},
		{"", nil},
	} {
		if got := parseIgnored([]byte(tt.status)); !slices.Equal(got, tt.want) {
			t.Errorf("parseIgnored(%q) = %v; want %v", tt.status, got, tt.want)
		}
	}
}

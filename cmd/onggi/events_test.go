package main

import (
	"testing"
	"time"

	"github.com/onggi-dev/onggi/libcontainer"
)

func TestParseThreshold(t *testing.T) {
	tests := []struct {
		text string
		want libcontainer.Threshold
		ok   bool
	}{
		{"memory:some:150ms/2s", libcontainer.Threshold{Resource: "memory", Stall: 150 * time.Millisecond, Window: 2 * time.Second}, true},
		{"io:full:1s/10s", libcontainer.Threshold{Resource: "io", Full: true, Stall: time.Second, Window: 10 * time.Second}, true},
		{"", libcontainer.Threshold{}, false},
		{"disk:some:1s/2s", libcontainer.Threshold{}, false},
		{"io:half:1s/2s", libcontainer.Threshold{}, false},
		{"io:some:1s", libcontainer.Threshold{}, false},
		{"io:some:0s/2s", libcontainer.Threshold{}, false},
		{"io:some:1s/x", libcontainer.Threshold{}, false},
		{"io:some:1s/2s:more", libcontainer.Threshold{}, false},
	}
	for _, test := range tests {
		got, err := parseThreshold(test.text)
		if (err == nil) != test.ok || test.ok && got != test.want {
			t.Errorf("parseThreshold(%q) = %+v, %v; want %+v, ok %v", test.text, got, err, test.want, test.ok)
		}
	}
}

func TestParseInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{"500ms": 500 * time.Millisecond, "5s": 5 * time.Second, "0s": 0, "-1s": 0, "5": 0, "": 0} {
		if got, err := parseInterval(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("parseInterval(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

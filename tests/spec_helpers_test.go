package tests

import (
	"encoding/json"
	"strings"
	"testing"
)

// report is the record of a failure in the form that engines read.
type report struct {
	Level, Msg, Field, Step, Syscall, Errno, Hint string
}

// fails runs a verb that has to fail, and returns its record.
func (c *container) fails(verb ...string) report {
	c.t.Helper()
	r := c.verb(append([]string{"--log-format", "json"}, verb...)...)
	if r.code == 0 {
		c.t.Fatalf("it succeeded\n%v", r)
	}
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	var got report
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil || got.Level != "error" {
		c.t.Fatalf("no record of a failure: %v\n%v", err, r)
	}
	return got
}

// runFails is fails for run.
func (c *container) runFails(flags ...string) report {
	c.t.Helper()
	return c.fails(c.withFlags("run", flags...)...)
}

// has checks that the message names the field first and the errno's text last, with all texts in between.
func (r report) has(t testing.TB, field, last string, texts ...string) {
	t.Helper()
	if !strings.HasPrefix(r.Msg, field) {
		t.Errorf("message = %q; want it to begin with %q", r.Msg, field)
	}
	if !strings.HasSuffix(r.Msg, last) {
		t.Errorf("message = %q; want it to end in %q", r.Msg, last)
	}
	for _, text := range texts {
		if !strings.Contains(r.Msg, text) {
			t.Errorf("message = %q; want %q in it", r.Msg, text)
		}
	}
}

// peersLack skips a test of a feature that only onggi has.
func peersLack(t testing.TB, what string) {
	t.Helper()
	if env.kind != "onggi" {
		t.Skipf("%s: %s", env.kind, what)
	}
}

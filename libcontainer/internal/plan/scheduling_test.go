package plan

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

// A policy that forbids a fork, or is lost by it, is set on the clone.
func TestSchedulerOfTheClone(t *testing.T) {
	tests := []struct {
		name string
		s    specs.Scheduler
		join bool
		want bool
	}{
		{"deadline", specs.Scheduler{Policy: specs.SchedDeadline}, true, true},
		{"reset on fork", specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}, true, true},
		{"inherited", specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1}, true, false},
		{"no clone", specs.Scheduler{Policy: specs.SchedDeadline}, false, false},
	}
	for _, tt := range tests {
		s := specconv.Example()
		s.Process.Scheduler = &tt.s
		if tt.join {
			joining(specs.PIDNamespace)(s)
		}
		for _, it := range create(t, request(s, hostV2())).Items {
			if step, ok := it.Step.(Scheduling); ok && step.OfClone != tt.want {
				t.Errorf("%s: OfClone = %t; want %t", tt.name, step.OfClone, tt.want)
			}
		}
	}
}

func TestTimeNamespaceIsEntered(t *testing.T) {
	enters := func(change func(*specs.Spec)) bool {
		s := specconv.Example()
		change(s)
		for _, it := range create(t, request(s, hostV2())).Items {
			if _, ok := it.Step.(EnterTime); ok {
				return true
			}
		}
		return false
	}
	if !enters(withNamespace(specs.TimeNamespace)) {
		t.Error("a new one is not entered")
	}
	if enters(func(*specs.Spec) {}) || enters(joining(specs.TimeNamespace)) {
		t.Error("one is entered that was not made")
	}
}

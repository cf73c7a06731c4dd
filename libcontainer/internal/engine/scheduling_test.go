package engine

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

func TestSchedAttr(t *testing.T) {
	got := schedAttr(&specs.Scheduler{Policy: specs.SchedRR, Priority: 3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork, specs.SchedFlagKeepParams}})
	if want := (unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 3, Flags: unix.SCHED_FLAG_RESET_ON_FORK | unix.SCHED_FLAG_KEEP_PARAMS}); got != want {
		t.Errorf("schedAttr = %+v; want %+v", got, want)
	}
	got = schedAttr(&specs.Scheduler{Policy: specs.SchedDeadline, Nice: -1, Runtime: 1, Deadline: 2, Period: 3})
	if want := (unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_DEADLINE, Nice: -1, Runtime: 1, Deadline: 2, Period: 3}); got != want {
		t.Errorf("schedAttr = %+v; want %+v", got, want)
	}
}

func TestSchedulingHint(t *testing.T) {
	tests := []struct {
		step plan.Scheduling
		e    unix.Errno
		want string
	}{
		{plan.Scheduling{Scheduler: &specs.Scheduler{Policy: specs.SchedFIFO}}, unix.EPERM, "realtimeRuntime"},
		{plan.Scheduling{Scheduler: &specs.Scheduler{Policy: specs.SchedDeadline}}, unix.EPERM, "no cpuset"},
		{plan.Scheduling{Scheduler: &specs.Scheduler{Policy: specs.SchedDeadline}}, unix.EBUSY, "time left"},
		{plan.Scheduling{Scheduler: &specs.Scheduler{Policy: specs.SchedISO}}, unix.EINVAL, ""},
		{plan.Scheduling{IOPriority: &specs.LinuxIOPriority{}}, unix.EPERM, "IOPRIO_CLASS_RT"},
		{plan.Scheduling{IOPriority: &specs.LinuxIOPriority{}}, unix.EINVAL, ""},
		{plan.Scheduling{MemoryPolicy: &specs.LinuxMemoryPolicy{}}, unix.EINVAL, "cpuset"},
		{plan.Scheduling{MemoryPolicy: &specs.LinuxMemoryPolicy{}}, unix.ENOSYS, "NUMA"},
	}
	for _, tt := range tests {
		if got := schedulingHint(tt.step, tt.e); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("schedulingHint(%v, %v) = %q; want %q", tt.step, tt.e, got, tt.want)
		}
	}
}

func TestOffsetText(t *testing.T) {
	tests := []struct {
		offsets map[string]specs.LinuxTimeOffset
		want    string
	}{
		{nil, ""},
		{map[string]specs.LinuxTimeOffset{"boottime": {Secs: -5, Nanosecs: 7}}, "boottime -5 7\n"},
		{map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}, "monotonic": {Nanosecs: 2}}, "monotonic 0 2\nboottime 1 0\n"},
	}
	for _, tt := range tests {
		if got := offsetText(plan.TimeOffsets{Offsets: tt.offsets}); got != tt.want {
			t.Errorf("offsetText(%v) = %q; want %q", tt.offsets, got, tt.want)
		}
	}
}

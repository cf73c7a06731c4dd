package cgroup

import (
	"strings"
	"testing"
	"time"
)

func TestParseVictim(t *testing.T) {
	const head = "4,9,99,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
	tests := []struct {
		name, record string
		want         Victim
		cgroup       string
		ok           bool
	}{
		{"limit of its cgroup", head + "oom_memcg=/a,task_memcg=/a/b,task=sh,pid=12,uid=0\n SUBSYSTEM=x\n", Victim{12, "sh"}, "/a/b", true},
		{"no memory at all", head + "global_oom,task_memcg=/a,task=java,pid=7,uid=1000", Victim{7, "java"}, "/a", true},
		{"deceiving name of a process", head + "oom_memcg=/a,task_memcg=/a,task=x,pid=1,pid=12,uid=0", Victim{12, "x,pid=1"}, "/a", true},
		{"deceiving name of a cgroup", head + "oom_memcg=/a,task_memcg=/a/,task=x,pid=1,uid=2,task=sh,pid=12,uid=0", Victim{12, "sh"}, "/a/,task=x,pid=1,uid=2", true},
		{"something else", "6,1,1,-;eth0: link up", Victim{}, "", false},
		{"somebody's own words", "1" + head + "global_oom,task_memcg=/a,task=x,pid=1,uid=0", Victim{}, "", false},
		{"cut off", head + "oom_memcg=/a,task_memcg=/a", Victim{}, "", false},
		{"no number", head + "oom_memcg=/a,task_memcg=/a,task=sh,pid=x,uid=0", Victim{}, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v, cgroup, ok := parseVictim(test.record)
			if ok != test.ok || ok && (v != test.want || cgroup != test.cgroup) {
				t.Errorf("parseVictim(%q) = %+v, %q, %v; want %+v, %q, %v", test.record, v, cgroup, ok, test.want, test.cgroup, test.ok)
			}
		})
	}
}

// FuzzParseVictim checks for any record that cgroup and command stand in it, in the kernel's order.
func FuzzParseVictim(f *testing.F) {
	f.Add("4,9,99,-;oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=/a,task=sh,pid=12,uid=0")
	f.Fuzz(func(t *testing.T, record string) {
		v, cgroup, ok := parseVictim(record)
		if ok && !strings.Contains(record, ",task_memcg="+cgroup+",task="+v.Command+",pid=") {
			t.Errorf("parseVictim(%q) = %+v, %q", record, v, cgroup)
		}
	})
}

func TestWithin(t *testing.T) {
	tests := []struct {
		cgroup, dir string
		want        bool
	}{
		{"/a", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/", "/a", false}, {"/a", "/", true},
	}
	for _, test := range tests {
		if got := within(test.cgroup, test.dir); got != test.want {
			t.Errorf("within(%q, %q) = %v; want %v", test.cgroup, test.dir, got, test.want)
		}
	}
}

func TestThresholdTrigger(t *testing.T) {
	tests := []struct {
		t    Threshold
		want string
	}{
		{Threshold{Resource: "io", Stall: 150 * time.Millisecond, Window: time.Second}, "some 150000 1000000"},
		{Threshold{Resource: "io", Full: true, Stall: time.Second, Window: 10 * time.Second}, "full 1000000 10000000"},
	}
	for _, test := range tests {
		if got := test.t.trigger(); got != test.want {
			t.Errorf("%+v.trigger() = %q; want %q", test.t, got, test.want)
		}
	}
}

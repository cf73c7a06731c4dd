package tests

import (
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// attribute returns one line of the probe's output.
func attribute(t testing.TB, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %s in %q", name, text)
	return ""
}

// attributed checks one line of the probe's output, for the program and for exec.
func attributed(t *testing.T, name, wanted string, edits ...edit) {
	t.Helper()
	c := newContainer(t, append(edits, args("probe", "attributes"))...)
	want(t, name, attribute(t, c.output(), name), wanted)
	c.edit(args("sleep", "1000"))
	c.up()
	want(t, name+" of exec", attribute(t, c.execOutput(nil, "probe", "attributes"), name), wanted)
}

func process(change func(*specs.Process)) edit {
	return func(s *specs.Spec) { change(s.Process) }
}

// realtime allows realtime processes in a v1 cgroup. On v2 no setting is necessary.
func realtime(s *specs.Spec) {
	if env.layout != "v2" {
		s.Linux.Resources.CPU = &specs.LinuxCPU{RealtimeRuntime: ptr(int64(10000)), RealtimePeriod: ptr(uint64(1000000))}
	}
}

func TestSchedulers(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	tests := []struct {
		name string
		s    specs.Scheduler
		want string
		edit edit
	}{
		{"other", specs.Scheduler{Policy: specs.SchedOther, Nice: 5}, "0 nice 5 priority 0 flags 0x0 ", nil},
		{"batch", specs.Scheduler{Policy: specs.SchedBatch, Nice: -3}, "3 nice -3 priority 0 flags 0x0 ", nil},
		{"idle", specs.Scheduler{Policy: specs.SchedIdle}, "5 nice 0 priority 0 flags 0x0 ", nil},
		{"fifo", specs.Scheduler{Policy: specs.SchedFIFO, Priority: 7}, "1 nice 0 priority 7 flags 0x0 ", realtime},
		{"round robin, reset on fork", specs.Scheduler{Policy: specs.SchedRR, Priority: 1, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}, "2 nice 0 priority 1 flags 0x1 ", realtime},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, args("probe", "attributes"), process(func(p *specs.Process) { p.Scheduler = &test.s }))
			if test.edit != nil {
				c.edit(test.edit)
			}
			r := c.run()
			if r.code != 0 {
				t.Fatal(r)
			}
			if got := attribute(t, r.out, "scheduler"); !strings.HasPrefix(got, test.want) {
				t.Errorf("scheduler = %q; want %q", got, test.want)
			}
			c.edit(args("sleep", "1000"))
			c.up()
			if got := attribute(t, c.execOutput(nil, "probe", "attributes"), "scheduler"); !strings.HasPrefix(got, test.want) {
				t.Errorf("scheduler of exec = %q; want %q", got, test.want)
			}
		})
	}
}

// A process with this policy cannot fork (sched(7)), and exec has to fork.
func TestDeadlineScheduler(t *testing.T) {
	peersLack(t, "1.1 has no schedulers, later ones cannot exec")
	deadline := process(func(p *specs.Process) {
		p.Scheduler = &specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 100000, Deadline: 1000000, Period: 1000000}
	})
	policy := []string{"cut", "-d", " ", "-f", "41", "/proc/self/stat"} // proc_pid_stat(5)
	c := newContainer(t, deadline, args(policy...))
	want(t, "policy", c.output(), "6")
	c.edit(args("sleep", "1000"))
	pid := c.up()
	slow := []string{"sed", "-n", "s/.*) //;p", "/proc/self/stat", "/proc/self/stat", "/proc/self/stat"}
	eventually(t, "the policy of exec", func() bool {
		lines := strings.Split(c.execOutput(nil, slow...), "\n")
		fields := strings.Fields(lines[len(lines)-1])
		return fields[41-3] == "6"
	})
	t.Run("joined pid namespace", func(t *testing.T) {
		j := newContainer(t, deadline, args(policy...), func(s *specs.Spec) {
			for i := range s.Linux.Namespaces {
				if s.Linux.Namespaces[i].Type == specs.PIDNamespace {
					s.Linux.Namespaces[i].Path = "/proc/" + strconv.Itoa(pid) + "/ns/pid"
				}
			}
		})
		i := j.create()
		j.start()
		j.stopped()
		want(t, "policy", contents(i.out), "6\n")
	})
}

func TestSchedulerRefused(t *testing.T) {
	peersLack(t, "says less")
	scheduler := func(s specs.Scheduler) edit { return process(func(p *specs.Process) { p.Scheduler = &s }) }
	for name, test := range map[string]struct {
		s     specs.Scheduler
		field string
		text  string
	}{
		"unknown policy":   {specs.Scheduler{Policy: "SCHED_FANCY"}, "/process/scheduler/policy", "invalid scheduler policy"},
		"priority missing": {specs.Scheduler{Policy: specs.SchedFIFO}, "/process/scheduler/priority", "from 1 to 99"},
		"nice too high":    {specs.Scheduler{Policy: specs.SchedOther, Nice: 20}, "/process/scheduler/nice", "invalid scheduler.nice: 20"},
		"unknown flag":     {specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"SCHED_FLAG_X"}}, "/process/scheduler/flags/0", "unknown flag"},
		"no such policy":   {specs.Scheduler{Policy: specs.SchedISO}, "/process/scheduler: ", "SCHED_ISO"},
		"deadline order":   {specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2, Deadline: 1, Period: 1}, "/process/scheduler: ", "does not hold"},
	} {
		t.Run(name, func(t *testing.T) {
			newContainer(t, scheduler(test.s)).runFails().has(t, test.field, "", test.text)
		})
	}
	t.Run("realtime in a v1 cgroup without realtime", func(t *testing.T) {
		if env.layout == "v2" {
			t.Skip("there is no such limit on cgroup v2")
		}
		c := newContainer(t, scheduler(specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1}))
		c.runFails().has(t, "/process/scheduler: ", "operation not permitted", "/linux/resources/cpu/realtimeRuntime")
	})
}

func TestIOPriorities(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	for class, wanted := range map[specs.IOPriorityClass]string{
		specs.IOPRIO_CLASS_RT: "1:3", specs.IOPRIO_CLASS_BE: "2:3", specs.IOPRIO_CLASS_IDLE: "3:3",
	} {
		t.Run(string(class), func(t *testing.T) {
			attributed(t, "ioprio", wanted, process(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: class, Priority: 3} }))
		})
	}
}

func TestMemoryPolicies(t *testing.T) {
	peerFails(t, "runc", "newer than 1.3")
	tests := []struct {
		p    specs.LinuxMemoryPolicy
		want string
	}{
		{specs.LinuxMemoryPolicy{Mode: specs.MpolDefault}, "0x0 nodes 0x0"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolLocal}, "0x4 nodes 0x0"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}, "0x2 nodes 0x1"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0-0"}, "0x3 nodes 0x1"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred, Nodes: "0"}, "0x1 nodes 0x1"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolPreferredMany, Nodes: "0"}, "0x5 nodes 0x1"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolWeightedInterleave, Nodes: "0"}, "0x6 nodes 0x1"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}, "0x8002 nodes 0x1"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFRelativeNodes}}, "0x4003 nodes 0x1"},
		{specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFNumaBalancing}}, "0x2002 nodes 0x1"},
	}
	for _, test := range tests {
		name := string(test.p.Mode)
		for _, f := range test.p.Flags {
			name += "," + string(f)
		}
		t.Run(name, func(t *testing.T) {
			if test.p.Mode == specs.MpolWeightedInterleave && !kernelIs(t, 6, 9) {
				newContainer(t, func(s *specs.Spec) { s.Linux.MemoryPolicy = &test.p }).runFails().has(t, "/linux/memoryPolicy: ", "", "set_mempolicy(")
				return
			}
			attributed(t, "mempolicy", test.want, func(s *specs.Spec) { s.Linux.MemoryPolicy = &test.p })
		})
	}
	for name, test := range map[string]struct {
		p           specs.LinuxMemoryPolicy
		field, text string
	}{
		"no nodes":       {specs.LinuxMemoryPolicy{Mode: specs.MpolBind}, "/linux/memoryPolicy/nodes", "required with MPOL_BIND"},
		"nodes too many": {specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "0"}, "/linux/memoryPolicy/nodes", "memory policy mode requires 0 nodes but got 1"},
		"unknown mode":   {specs.LinuxMemoryPolicy{Mode: "MPOL_X"}, "/linux/memoryPolicy/mode", "invalid memory policy mode"},
		"no such node":   {specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1000"}, "/linux/memoryPolicy: ", "set_mempolicy("},
	} {
		t.Run(name, func(t *testing.T) {
			newContainer(t, func(s *specs.Spec) { s.Linux.MemoryPolicy = &test.p }).runFails().has(t, test.field, "", test.text)
		})
	}
}

func TestExecCPUAffinity(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	if got := ownCPUs(t); got != 3 {
		t.Skipf("the test needs CPUs 0 and 1, and has %#x", got)
	}
	affinity := func(initial, final string) edit {
		return process(func(p *specs.Process) { p.ExecCPUAffinity = &specs.CPUAffinity{Initial: initial, Final: final} })
	}
	for name, test := range map[string]struct {
		edit edit
		exec string
	}{
		"final":             {affinity("", "1"), "0x2"},
		"initial":           {affinity("1", ""), "0x2"},
		"initial and final": {affinity("1", "0-0"), "0x1"},
		"both":              {affinity("0,1", "0-1"), "0x3"},
		"neither":           {affinity("", ""), "0x3"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "initial" && !kernelIs(t, 6, 2) {
				t.Skip("before Linux 6.2, entering a cpuset undoes what sched_setaffinity(2) has set")
			}
			c := newContainer(t, test.edit, args("probe", "attributes"))
			want(t, "cpus of the first process, which it is not about", attribute(t, c.output(), "cpus"), "0x3")
			c.edit(args("sleep", "1000"))
			c.up()
			want(t, "cpus of exec", attribute(t, c.execOutput(nil, "probe", "attributes"), "cpus"), test.exec)
		})
	}
	newContainer(t, affinity("x", "")).runFails().has(t, "/process/execCPUAffinity/initial", "", "neither a number nor a range")
}

func ownCPUs(t *testing.T) uint64 {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	return uint64(set[0])
}

// The CPU affinity of the runtime must not reach the container: only the cpuset restricts it.
func TestAffinityOfTheRuntimeIsNotTheContainers(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	if got := ownCPUs(t); got != 3 {
		t.Skipf("the test needs CPUs 0 and 1, and has %#x", got)
	}
	c := newContainer(t, args("probe", "attributes"))
	c.wrapper = []string{"taskset", "-c", "0"}
	want(t, "cpus", attribute(t, c.output(), "cpus"), "0x3")
}

func TestPersonalities(t *testing.T) {
	peerFails(t, "runc", "has no personalities before 1.2")
	personality := func(p specs.LinuxPersonality) edit { return func(s *specs.Spec) { s.Linux.Personality = &p } }
	attributed(t, "personality", "0x8", personality(specs.LinuxPersonality{Domain: specs.PerLinux32}))
	attributed(t, "personality", "0x0", personality(specs.LinuxPersonality{Domain: specs.PerLinux}))
	// config-linux.md: the runtime supports no flag and must report an error.
	peersLack(t, "ignores flags")
	newContainer(t, personality(specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"ADDR_NO_RANDOMIZE"}})).
		runFails().has(t, "/linux/personality/flags", "no flags are supported")
	newContainer(t, personality(specs.LinuxPersonality{Domain: "BSD"})).runFails().has(t, "/linux/personality/domain", "", "invalid personality domain BSD")
}

// timeNamespace sets the container's clocks ahead by a number of seconds.
func timeNamespace(monotonic, boottime int64) edit {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{}
		if monotonic != 0 {
			s.Linux.TimeOffsets["monotonic"] = specs.LinuxTimeOffset{Secs: monotonic, Nanosecs: 500000000}
		}
		if boottime != 0 {
			s.Linux.TimeOffsets["boottime"] = specs.LinuxTimeOffset{Secs: boottime}
		}
	}
}

func clock(t *testing.T, id int32) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		t.Fatal(err)
	}
	return now.Sec
}

func TestTimeOffsets(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	const day = 24 * 3600
	ahead := func(t *testing.T, text, name string, id int32, offset int64) {
		t.Helper()
		if got := int64(atoi(t, attribute(t, text, name))) - clock(t, id) - offset; got < -30 || got > 30 {
			t.Errorf("%s is %d s from where it should be", name, got)
		}
	}
	for name, test := range map[string]struct {
		monotonic, boottime int64
		edits               []edit
	}{
		"both":                         {3 * day, 7 * day, nil},
		"monotonic":                    {2 * day, 0, nil},
		"boottime":                     {0, 5 * day, nil},
		"none":                         {0, 0, nil},
		"user namespace":               {3 * day, 7 * day, []edit{userNamespace(100000)}},
		"the host's pid namespace":     {3 * day, 7 * day, []edit{without(specs.PIDNamespace)}},
		"user namespace, the host's":   {3 * day, 7 * day, []edit{userNamespace(100000), without(specs.PIDNamespace), procBind}},
		"another user":                 {3 * day, 7 * day, []edit{process(func(p *specs.Process) { p.User.UID = 1000 })}},
		"user namespace, another user": {3 * day, 7 * day, []edit{userNamespace(100000), process(func(p *specs.Process) { p.User.UID = 1000 })}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, append(test.edits, timeNamespace(test.monotonic, test.boottime), args("probe", "attributes"))...)
			text := c.output()
			ahead(t, text, "monotonic", unix.CLOCK_MONOTONIC, test.monotonic)
			ahead(t, text, "boottime", unix.CLOCK_BOOTTIME, test.boottime)

			c.edit(args("sleep", "1000"))
			c.create()
			pid := c.state().Pid
			created := nsOf(t, pid, specs.TimeNamespace)
			if host := nsOf(t, "self", specs.TimeNamespace); created == host {
				t.Error("a created container is in the host's time namespace")
			}
			c.start()
			want(t, "time namespace once started", nsOf(t, pid, specs.TimeNamespace), created)
			text = c.execOutput(nil, "probe", "attributes")
			ahead(t, text, "monotonic", unix.CLOCK_MONOTONIC, test.monotonic)
			ahead(t, text, "boottime", unix.CLOCK_BOOTTIME, test.boottime)
			c.must("kill", c.id, "KILL")
			c.stopped()
		})
	}
}

// procBind binds the host's procfs: only the host's root can mount a new one for the host's pid namespace.
func procBind(s *specs.Spec) {
	for i := range s.Mounts {
		if s.Mounts[i].Destination == "/proc" {
			s.Mounts[i] = specs.Mount{Destination: "/proc", Type: "bind", Source: "/proc", Options: []string{"rbind"}}
		}
	}
}

func TestTimeOffsetsRefused(t *testing.T) {
	peersLack(t, "says less")
	for name, test := range map[string]struct {
		edit        edit
		field, text string
	}{
		"no namespace": {func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1}}
		}, "/linux/timeOffsets", "time namespace isn't enabled in the config"},
		"unknown clock": {func(s *specs.Spec) {
			timeNamespace(0, 0)(s)
			s.Linux.TimeOffsets["realtime"] = specs.LinuxTimeOffset{Secs: 1}
		}, "/linux/timeOffsets/realtime", "unknown clock"},
		"a second of nanoseconds": {func(s *specs.Spec) {
			timeNamespace(0, 0)(s)
			s.Linux.TimeOffsets["monotonic"] = specs.LinuxTimeOffset{Nanosecs: 1e9}
		}, "/linux/timeOffsets/monotonic/nanosecs", "a second or more"},
		"joined": {func(s *specs.Spec) {
			timeNamespace(1, 1)(s)
			s.Linux.Namespaces[len(s.Linux.Namespaces)-1].Path = "/proc/self/ns/time"
		}, "/linux/timeOffsets", "joined"},
		"before the boot": {timeNamespace(-1<<40, 0), "/linux/timeOffsets: ", "numerical result out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			newContainer(t, test.edit).runFails().has(t, test.field, "", test.text)
		})
	}
	if _, err := os.Stat("/proc/self/timens_offsets"); err != nil {
		t.Error(err)
	}
}

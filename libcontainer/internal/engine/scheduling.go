package engine

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/specconv"
)

// scheduling sets scheduling policy, memory policy and CPU affinity.
type scheduling struct {
	*batches
	ofClone *plan.Item // the step that the runtime side applies to the clone
}

func (sc *scheduling) set(s plan.Scheduling) error {
	switch {
	case s.Scheduler != nil && s.OfClone:
		sc.ofClone = &sc.items[sc.at]
		return nil
	case s.Scheduler != nil:
		sc.building.SchedSetattr(schedAttr(s.Scheduler))
		return nil
	case s.IOPriority != nil:
		class, _ := specconv.IOPriorityClass(s.IOPriority.Class)
		sc.building.Ioprio(class, s.IOPriority.Priority)
		return nil
	}
	return sc.memoryPolicy(s.MemoryPolicy)
}

func schedAttr(s *specs.Scheduler) unix.SchedAttr {
	policy, _ := specconv.SchedPolicy(s.Policy)
	a := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority),
		Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	for _, f := range s.Flags {
		bit, _ := specconv.SchedFlag(f)
		a.Flags |= bit
	}
	return a
}

// setOfClone sets a policy that the stub must not have while it clones. If
// nothing holds the clone, it may have ended already (ESRCH).
func (sc *scheduling) setOfClone(pid int) error {
	if sc.ofClone == nil {
		return nil
	}
	s := sc.ofClone.Step.(plan.Scheduling)
	attr := schedAttr(s.Scheduler)
	err := unix.SchedSetAttr(pid, &attr, 0)
	if err == nil || err == unix.ESRCH {
		return nil
	}
	return hint(*sc.ofClone, fmt.Errorf("sched_setattr(%d): %w", pid, err), schedulingHint(s, err.(unix.Errno)))
}

func schedulingFailure(it plan.Item, s plan.Scheduling, ce *remote.CallError) error {
	return hint(it, ce, schedulingHint(s, ce.Errno))
}

func schedulingHint(s plan.Scheduling, e unix.Errno) string {
	switch {
	case s.MemoryPolicy != nil && e == unix.EINVAL:
		return "the nodes must exist and belong to the cpuset"
	case s.MemoryPolicy != nil && e == unix.ENOSYS:
		return "this kernel has no NUMA support"
	case s.IOPriority != nil && e == unix.EPERM:
		return "IOPRIO_CLASS_RT requires CAP_SYS_ADMIN or CAP_SYS_NICE"
	case s.Scheduler == nil:
		return ""
	case s.Scheduler.Policy == specs.SchedDeadline && e == unix.EBUSY:
		return "the CPUs have too little time left for deadline processes"
	case s.Scheduler.Policy == specs.SchedDeadline && e == unix.EPERM:
		return "it requires CAP_SYS_NICE and all CPUs of the scheduling domain: no cpuset, no affinity"
	case e == unix.EPERM:
		return "it requires CAP_SYS_NICE; with cgroup v1, SCHED_FIFO and SCHED_RR also require /linux/resources/cpu/realtimeRuntime"
	}
	return ""
}

func (sc *scheduling) memoryPolicy(p *specs.LinuxMemoryPolicy) error {
	mode, _ := specconv.MemoryPolicyMode(p.Mode)
	for _, f := range p.Flags {
		bit, _ := specconv.MemoryPolicyFlag(f)
		mode |= bit
	}
	var nodes []uint64
	if p.Nodes != "" {
		var err error
		if nodes, err = mask(p.Nodes); err != nil {
			return err
		}
	}
	sc.building.SetMempolicy(mode, nodes)
	return nil
}

// maxCPUs is the upper limit of the kernel's NR_CPUS.
const maxCPUs = 8192

func (sc *scheduling) setAffinity(s plan.Affinity) error {
	if s.CPUs == "" {
		all := make([]uint64, maxCPUs/64)
		for i := range all {
			all[i] = ^uint64(0)
		}
		sc.building.SchedSetaffinity(all).TolerateAll() // a failure leaves the affinity as it is
		return nil
	}
	cpus, err := mask(s.CPUs)
	if err != nil {
		return err
	}
	sc.building.SchedSetaffinity(cpus)
	return nil
}

// mask returns a list such as "0-3,7" as a bit mask.
func mask(list string) ([]uint64, error) {
	ranges, err := specconv.ParseList(list)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, r := range ranges {
		for n := r.First; n <= r.Last; n++ {
			for uint(len(out)) <= n/64 {
				out = append(out, 0)
			}
			out[n/64] |= 1 << (n % 64)
		}
	}
	return out, nil
}

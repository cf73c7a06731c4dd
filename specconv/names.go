package specconv

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// capabilities lists the names of <linux/capability.h>; the index is the bit.
var capabilities = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER",
	"CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
	"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
	"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
	"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
	"CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
}

// KnownCapabilities returns all capabilities in the order of their bits.
func KnownCapabilities() []string { return append([]string(nil), capabilities[:]...) }

// CapabilityBit returns the bit of a capability. The name is that of
// capabilities(7), such as CAP_CHOWN.
func CapabilityBit(name string) (uint, bool) {
	for bit, c := range capabilities {
		if c == name {
			return uint(bit), true
		}
	}
	return 0, false
}

// CapabilityMask returns the named capabilities as a bit mask, and the unknown
// names. Unknown names cause a warning, not a failure (config.md,
// "capabilities").
func CapabilityMask(names []string) (mask uint64, unknown []string) {
	for _, name := range names {
		if bit, ok := CapabilityBit(name); ok {
			mask |= 1 << bit
		} else {
			unknown = append(unknown, name)
		}
	}
	return mask, unknown
}

// table pairs names with numbers.
type table[K ~string, V any] []struct {
	name  K
	value V
}

func (t table[K, V]) find(name K) (value V, ok bool) {
	for i := range t {
		if t[i].name == name {
			return t[i].value, true
		}
	}
	return value, false
}

// The tables translate the words of the specification. Numbers that differ
// between architectures come from x/sys/unix.
//
// They are lists, not maps: the linker lays out a list, but each start of the
// program would have to fill a map.
var (
	rlimits = table[string, int]{
		{"RLIMIT_AS", unix.RLIMIT_AS},
		{"RLIMIT_CORE", unix.RLIMIT_CORE},
		{"RLIMIT_CPU", unix.RLIMIT_CPU},
		{"RLIMIT_DATA", unix.RLIMIT_DATA},
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE},
		{"RLIMIT_LOCKS", unix.RLIMIT_LOCKS},
		{"RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK},
		{"RLIMIT_MSGQUEUE", unix.RLIMIT_MSGQUEUE},
		{"RLIMIT_NICE", unix.RLIMIT_NICE},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE},
		{"RLIMIT_NPROC", unix.RLIMIT_NPROC},
		{"RLIMIT_RSS", unix.RLIMIT_RSS},
		{"RLIMIT_RTPRIO", unix.RLIMIT_RTPRIO},
		{"RLIMIT_RTTIME", unix.RLIMIT_RTTIME},
		{"RLIMIT_SIGPENDING", unix.RLIMIT_SIGPENDING},
		{"RLIMIT_STACK", unix.RLIMIT_STACK},
	}
	namespaces = table[specs.LinuxNamespaceType, uint64]{
		{specs.CgroupNamespace, unix.CLONE_NEWCGROUP},
		{specs.IPCNamespace, unix.CLONE_NEWIPC},
		{specs.MountNamespace, unix.CLONE_NEWNS},
		{specs.NetworkNamespace, unix.CLONE_NEWNET},
		{specs.PIDNamespace, unix.CLONE_NEWPID},
		{specs.TimeNamespace, unix.CLONE_NEWTIME},
		{specs.UserNamespace, unix.CLONE_NEWUSER},
		{specs.UTSNamespace, unix.CLONE_NEWUTS},
	}
	schedPolicies = table[specs.LinuxSchedulerPolicy, uint32]{
		{specs.SchedOther, unix.SCHED_NORMAL},
		{specs.SchedFIFO, unix.SCHED_FIFO},
		{specs.SchedRR, unix.SCHED_RR},
		{specs.SchedBatch, unix.SCHED_BATCH},
		{specs.SchedISO, 4}, // reserved in <linux/sched.h>; every kernel answers EINVAL
		{specs.SchedIdle, unix.SCHED_IDLE},
		{specs.SchedDeadline, unix.SCHED_DEADLINE},
	}
	schedFlags = table[specs.LinuxSchedulerFlag, uint64]{
		{specs.SchedFlagResetOnFork, unix.SCHED_FLAG_RESET_ON_FORK},
		{specs.SchedFlagReclaim, unix.SCHED_FLAG_RECLAIM},
		{specs.SchedFlagDLOverrun, unix.SCHED_FLAG_DL_OVERRUN},
		{specs.SchedFlagKeepPolicy, unix.SCHED_FLAG_KEEP_POLICY},
		{specs.SchedFlagKeepParams, unix.SCHED_FLAG_KEEP_PARAMS},
		{specs.SchedFlagUtilClampMin, unix.SCHED_FLAG_UTIL_CLAMP_MIN},
		{specs.SchedFlagUtilClampMax, unix.SCHED_FLAG_UTIL_CLAMP_MAX},
	}
	// <linux/ioprio.h>
	ioClasses = table[specs.IOPriorityClass, int]{
		{specs.IOPRIO_CLASS_RT, 1},
		{specs.IOPRIO_CLASS_BE, 2},
		{specs.IOPRIO_CLASS_IDLE, 3},
	}
	// <linux/personality.h>
	personalities = table[specs.LinuxPersonalityDomain, uint32]{
		{specs.PerLinux, 0x0000},
		{specs.PerLinux32, 0x0008},
	}
	// The recursive forms are not in the specification, but engines write them.
	propagations = table[string, uint64]{
		{"private", unix.MS_PRIVATE},
		{"rprivate", unix.MS_PRIVATE | unix.MS_REC},
		{"shared", unix.MS_SHARED},
		{"rshared", unix.MS_SHARED | unix.MS_REC},
		{"slave", unix.MS_SLAVE},
		{"rslave", unix.MS_SLAVE | unix.MS_REC},
		{"unbindable", unix.MS_UNBINDABLE},
		{"runbindable", unix.MS_UNBINDABLE | unix.MS_REC},
	}
	// <linux/mempolicy.h>
	memoryModes = table[specs.MemoryPolicyModeType, int]{
		{specs.MpolDefault, 0},
		{specs.MpolPreferred, 1},
		{specs.MpolBind, 2},
		{specs.MpolInterleave, 3},
		{specs.MpolLocal, 4},
		{specs.MpolPreferredMany, 5},
		{specs.MpolWeightedInterleave, 6},
	}
	memoryFlags = table[specs.MemoryPolicyFlagType, int]{
		{specs.MpolFStaticNodes, 1 << 15},
		{specs.MpolFRelativeNodes, 1 << 14},
		{specs.MpolFNumaBalancing, 1 << 13},
	}
)

// RlimitResource returns the resource number of prlimit(2).
func RlimitResource(name string) (int, bool) { return rlimits.find(name) }

// NamespaceFlag returns the CLONE_NEW* flag of a namespace type.
func NamespaceFlag(t specs.LinuxNamespaceType) (uint64, bool) { return namespaces.find(t) }

// SchedPolicy returns the policy number of sched_setattr(2).
func SchedPolicy(p specs.LinuxSchedulerPolicy) (uint32, bool) { return schedPolicies.find(p) }

// SchedFlag returns the SCHED_FLAG_* bit of sched_setattr(2).
func SchedFlag(f specs.LinuxSchedulerFlag) (uint64, bool) { return schedFlags.find(f) }

// IOPriorityClass returns the class of ioprio_set(2), not yet shifted.
func IOPriorityClass(c specs.IOPriorityClass) (int, bool) { return ioClasses.find(c) }

// PersonalityDomain returns the argument of personality(2).
func PersonalityDomain(d specs.LinuxPersonalityDomain) (uint32, bool) { return personalities.find(d) }

// PropagationFlags returns the MS_* flags, including MS_REC, of a value of
// linux.rootfsPropagation.
func PropagationFlags(name string) (uint64, bool) { return propagations.find(name) }

// MemoryPolicyMode returns the mode of set_mempolicy(2).
func MemoryPolicyMode(m specs.MemoryPolicyModeType) (int, bool) { return memoryModes.find(m) }

// MemoryPolicyFlag returns the mode flag of set_mempolicy(2).
func MemoryPolicyFlag(f specs.MemoryPolicyFlagType) (int, bool) { return memoryFlags.find(f) }

// Range is one part of a list of CPUs or memory nodes. It includes both ends.
type Range struct{ First, Last uint }

// maxListed bounds the numbers in a list. No kernel supports more CPUs
// (CONFIG_NR_CPUS is 8192 at most) or nodes, and the caller allocates a mask.
const maxListed = 1 << 16

// ParseList parses a list of CPUs or memory nodes, such as "0-3,7": the
// "List format" of cpuset(7) without its strides.
func ParseList(list string) ([]Range, error) {
	var ranges []Range
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 32)
		b, errB := strconv.ParseUint(last, 10, 32)
		if errA != nil || errB != nil || a > b || b >= maxListed {
			return nil, fmt.Errorf("%q in list %q is neither a number nor a range", part, list)
		}
		ranges = append(ranges, Range{uint(a), uint(b)})
	}
	return ranges, nil
}

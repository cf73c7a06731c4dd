package specconv

import (
	"reflect"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestCapabilityBit(t *testing.T) {
	for _, test := range []struct {
		name string
		want uint
	}{
		{"CAP_CHOWN", unix.CAP_CHOWN},
		{"CAP_KILL", unix.CAP_KILL},
		{"CAP_SETPCAP", unix.CAP_SETPCAP},
		{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN},
		{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN},
		{"CAP_SYS_RESOURCE", unix.CAP_SYS_RESOURCE},
		{"CAP_MKNOD", unix.CAP_MKNOD},
		{"CAP_SETFCAP", unix.CAP_SETFCAP},
		{"CAP_SYSLOG", unix.CAP_SYSLOG},
		{"CAP_AUDIT_READ", unix.CAP_AUDIT_READ},
		{"CAP_PERFMON", unix.CAP_PERFMON},
		{"CAP_BPF", unix.CAP_BPF},
		{"CAP_CHECKPOINT_RESTORE", unix.CAP_CHECKPOINT_RESTORE},
	} {
		if got, ok := CapabilityBit(test.name); !ok || got != test.want {
			t.Errorf("CapabilityBit(%s) = %d, %v; want %d", test.name, got, ok, test.want)
		}
	}
	for _, name := range []string{"", "CHOWN", "cap_chown", "CAP_", "CAP_CHOWN "} {
		if got, ok := CapabilityBit(name); ok {
			t.Errorf("CapabilityBit(%q) = %d; want none", name, got)
		}
	}
	all := KnownCapabilities()
	if len(all) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d capabilities; want %d", len(all), unix.CAP_LAST_CAP+1)
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != unix.CAP_LAST_CAP+1 {
		t.Errorf("a capability is listed twice in %q", all)
	}
}

func TestCapabilityMask(t *testing.T) {
	for _, test := range []struct {
		names   []string
		mask    uint64
		unknown []string
	}{
		{nil, 0, nil},
		{[]string{"CAP_CHOWN", "CAP_KILL", "CAP_CHOWN"}, 1<<0 | 1<<5, nil},
		{[]string{"CAP_NEW", "CAP_CHECKPOINT_RESTORE", "ALL"}, 1 << 40, []string{"CAP_NEW", "ALL"}},
		{KnownCapabilities(), 1<<41 - 1, nil},
	} {
		mask, unknown := CapabilityMask(test.names)
		if mask != test.mask || !slices.Equal(unknown, test.unknown) {
			t.Errorf("CapabilityMask(%q) = %#x, %q; want %#x, %q", test.names, mask, unknown, test.mask, test.unknown)
		}
	}
}

// TestNames checks some rows of every table, including the first and last ones.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		name      string
		got, want any
	}{
		{"RLIMIT_AS", value(RlimitResource("RLIMIT_AS")), unix.RLIMIT_AS},
		{"RLIMIT_NOFILE", value(RlimitResource("RLIMIT_NOFILE")), unix.RLIMIT_NOFILE},
		{"RLIMIT_RTTIME", value(RlimitResource("RLIMIT_RTTIME")), unix.RLIMIT_RTTIME},
		{"RLIMIT_STACK", value(RlimitResource("RLIMIT_STACK")), unix.RLIMIT_STACK},
		{"NOFILE", value(RlimitResource("NOFILE")), nil},
		{"cgroup", value(NamespaceFlag("cgroup")), uint64(unix.CLONE_NEWCGROUP)},
		{"mount", value(NamespaceFlag("mount")), uint64(unix.CLONE_NEWNS)},
		{"network", value(NamespaceFlag("network")), uint64(unix.CLONE_NEWNET)},
		{"pid", value(NamespaceFlag("pid")), uint64(unix.CLONE_NEWPID)},
		{"time", value(NamespaceFlag("time")), uint64(unix.CLONE_NEWTIME)},
		{"uts", value(NamespaceFlag("uts")), uint64(unix.CLONE_NEWUTS)},
		{"net", value(NamespaceFlag("net")), nil},
		{"SCHED_OTHER", value(SchedPolicy("SCHED_OTHER")), uint32(0)},
		{"SCHED_DEADLINE", value(SchedPolicy("SCHED_DEADLINE")), uint32(6)},
		{"SCHED_EXT", value(SchedPolicy("SCHED_EXT")), nil},
		{"SCHED_FLAG_RESET_ON_FORK", value(SchedFlag("SCHED_FLAG_RESET_ON_FORK")), uint64(1)},
		{"SCHED_FLAG_UTIL_CLAMP_MAX", value(SchedFlag("SCHED_FLAG_UTIL_CLAMP_MAX")), uint64(0x40)},
		{"IOPRIO_CLASS_RT", value(IOPriorityClass("IOPRIO_CLASS_RT")), 1},
		{"IOPRIO_CLASS_IDLE", value(IOPriorityClass("IOPRIO_CLASS_IDLE")), 3},
		{"LINUX", value(PersonalityDomain("LINUX")), uint32(0)},
		{"LINUX32", value(PersonalityDomain("LINUX32")), uint32(8)},
		{"rprivate", value(PropagationFlags("rprivate")), uint64(unix.MS_PRIVATE | unix.MS_REC)},
		{"unbindable", value(PropagationFlags("unbindable")), uint64(unix.MS_UNBINDABLE)},
		{"no propagation", value(PropagationFlags("")), nil},
		{"MPOL_WEIGHTED_INTERLEAVE", value(MemoryPolicyMode("MPOL_WEIGHTED_INTERLEAVE")), 6},
		{"MPOL_F_STATIC_NODES", value(MemoryPolicyFlag("MPOL_F_STATIC_NODES")), 0x8000},
	} {
		if test.got != test.want {
			t.Errorf("%s = %v; want %v", test.name, test.got, test.want)
		}
	}
}

func value[V any](v V, ok bool) any {
	if !ok {
		return nil
	}
	return v
}

func TestParseList(t *testing.T) {
	for _, test := range []struct {
		list string
		want []Range // nil: an error
	}{
		{"0", []Range{{0, 0}}},
		{"0-3,7", []Range{{0, 3}, {7, 7}}},
		{"0-3, 7", []Range{{0, 3}, {7, 7}}},
		{"65535", []Range{{65535, 65535}}},
		{"", nil},
		{",", nil},
		{"1,", nil},
		{"3-1", nil},
		{"a", nil},
		{"-1", nil},
		{"1-", nil},
		{"1-2-3", nil},
		{"65536", nil},
		{"+1", nil},
	} {
		got, err := ParseList(test.list)
		if !reflect.DeepEqual(got, test.want) || (err == nil) != (test.want != nil) {
			t.Errorf("ParseList(%q) = %v, %v; want %v", test.list, got, err, test.want)
		}
	}
}

func TestExample(t *testing.T) {
	if err := Validate(Example()); err != nil {
		t.Errorf("Validate(Example()) = %v", err)
	}
	if w := Warnings(Example()); w != nil {
		t.Errorf("Warnings(Example()) = %q", w)
	}
	if Example().Version != specs.Version {
		t.Errorf("Example().Version = %s; want %s", Example().Version, specs.Version)
	}
}

func TestRootless(t *testing.T) {
	s := Example()
	Rootless(s, 1000, 100)
	if err := Validate(s); err != nil {
		t.Errorf("Validate(rootless) = %v", err)
	}
	var types []specs.LinuxNamespaceType
	for _, ns := range s.Linux.Namespaces {
		types = append(types, ns.Type)
	}
	sys := slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys" })
	pts := slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev/pts" })
	for _, test := range []struct {
		name      string
		got, want any
	}{
		{"namespaces", types, []specs.LinuxNamespaceType{"pid", "ipc", "uts", "mount", "user"}},
		{"uidMappings", s.Linux.UIDMappings, []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}}},
		{"gidMappings", s.Linux.GIDMappings, []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100, Size: 1}}},
		{"resources", s.Linux.Resources, (*specs.LinuxResources)(nil)},
		{"/sys", s.Mounts[sys], specs.Mount{Destination: "/sys", Type: "none", Source: "/sys", Options: []string{"rbind", "nosuid", "noexec", "nodev", "ro"}}},
		{"/dev/pts", s.Mounts[pts].Options, []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s = %+v; want %+v", test.name, test.got, test.want)
		}
	}
	empty := &specs.Spec{}
	Rootless(empty, 1, 1)
	if len(empty.Linux.Namespaces) != 1 {
		t.Errorf("Rootless(empty).Linux.Namespaces = %v; want a user namespace", empty.Linux.Namespaces)
	}
}

package specconv

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// valid is the base of the tables. It has all namespaces, so that each change breaks
// one rule only.
func valid() *specs.Spec {
	s := Example()
	s.Linux.Namespaces = append(s.Linux.Namespaces,
		specs.LinuxNamespace{Type: specs.UserNamespace},
		specs.LinuxNamespace{Type: specs.TimeNamespace},
		specs.LinuxNamespace{Type: specs.CgroupNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 65536}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 65536}}
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	s.Hooks = &specs.Hooks{}
	return s
}

// without removes a namespace.
func without(s *specs.Spec, t specs.LinuxNamespaceType) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == t })
}

func join(s *specs.Spec, t specs.LinuxNamespaceType, path string) {
	without(s, t)
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: t, Path: path})
}

func ptr[T any](v T) *T { return &v }

type change func(s *specs.Spec)

func TestValidateAccepts(t *testing.T) {
	for _, test := range []struct {
		name   string
		change change
	}{
		{"the base", func(s *specs.Spec) {}},
		{"no process", func(s *specs.Spec) { s.Process = nil }},
		{"no linux, no process", func(s *specs.Spec) {
			*s = specs.Spec{Version: "1.0.0", Root: &specs.Root{Path: "/"}}
		}},
		{"pre-release and build", func(s *specs.Spec) { s.Version = "1.0.2-dev.1+git-0012.x" }},
		{"later minor version", func(s *specs.Spec) { s.Version = "1.99.0" }},
		{"relative destination", func(s *specs.Spec) { s.Mounts[0].Destination = "proc" }},
		{"idmap from the user namespace", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/a", Source: "/a", Options: []string{"bind", "idmap"}}}
		}},
		{"mappings of a mount", func(s *specs.Spec) {
			m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 7, Size: 1}}
			s.Mounts = []specs.Mount{{Destination: "/a", Source: "/a", Options: []string{"bind"}, UIDMappings: m, GIDMappings: m}}
		}},
		{"remount without type and source", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/a", Options: []string{"remount", "bind", "ro"}}}
		}},
		{"type of a bind mount", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/a", Type: "bind", Source: "a"}}
		}},
		{"joined user namespace without mappings", func(s *specs.Spec) {
			join(s, specs.UserNamespace, "/proc/1/ns/user")
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
			s.Process.User.UID = 70000
		}},
		{"last id", func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: noID}}
			s.Process.User.UID = noID - 1
		}},
		{"capabilities nobody knows", func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_NEW"} }},
		{"console size without a terminal", func(s *specs.Spec) {
			s.Process.Terminal, s.Process.ConsoleSize = false, &specs.Box{Height: 1 << 20}
		}},
		{"schedulers", func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{
				Policy: specs.SchedDeadline, Runtime: 1, Deadline: 2, Period: 2,
				Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagReclaim},
			}
		}},
		{"empty affinity", func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-3,7"} }},
		{"sysctls", func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{
				"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "10", "net.ipv4.conf.eno2/100.rp_filter": "1",
				"net/core/somaxconn": "256", "user.max_user_namespaces": "0", "kernel.domainname": "x",
			}
		}},
		{"devices", func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}, {Path: "/run/p", Type: "p", Major: -1}}
		}},
		{"device rules", func(s *specs.Spec) {
			s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{
				{Access: "rwm"},
				{Type: "a", Access: "m"},
				{Allow: true, Type: "c", Major: ptr[int64](-1), Minor: ptr[int64](3), Access: "r"},
			}
		}},
		{"limits", func(s *specs.Spec) {
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: ptr[int64](100), Swap: ptr[int64](-1), Swappiness: ptr[uint64](100)}
			s.Linux.Resources.Pids = &specs.LinuxPids{Limit: ptr[int64](0)}
			s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: ptr[int64](-1), Burst: ptr[uint64](9), Idle: ptr[int64](1), Cpus: "0-1"}
			s.Linux.Resources.Unified = map[string]string{"io.max": "x", "hugetlb.1GB.max": "1"}
			s.Linux.Resources.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB"}, {Pagesize: "1GB"}, {Pagesize: "64KB"}}
		}},
		{"root CLOS", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "/", MemBwSchema: "MB:0=20"} }},
		{"network devices", func(s *specs.Spec) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}, "eth1": {Name: "veth%d"}, "eth2": {Name: "veth%d"}}
		}},
		{"memory policies", func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolPreferred, Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
		}},
		{"cgroups path of the systemd driver", func(s *specs.Spec) { s.Linux.CgroupsPath = "a.slice:b..c:d" }},
		{"personality", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} }},
		{"hook", func(s *specs.Spec) { s.Hooks.Poststop = []specs.Hook{{Path: "/bin/true", Timeout: ptr(1)}} }},
		{"empty annotation", func(s *specs.Spec) { s.Annotations = map[string]string{"a": ""} }},
		{"seccomp", func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{
				DefaultAction: specs.ActErrno, DefaultErrnoRet: ptr(uint(38)), Architectures: []specs.Arch{specs.ArchSHEB},
				Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC"}, ListenerPath: "/run/s", ListenerMetadata: "m",
				Syscalls: []specs.LinuxSyscall{
					{Names: []string{"no_such_call"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 5, Op: specs.OpMaskedEqual}}},
					{Names: []string{"mknod"}, Action: specs.ActNotify},
					{Names: []string{"open"}, Action: specs.ActTrace, ErrnoRet: ptr(uint(0xffff))},
				},
			}
		}},
	} {
		s := valid()
		test.change(s)
		if err := Validate(s); err != nil {
			t.Errorf("%s: Validate = %v", test.name, err)
		}
	}
}

func TestValidateNothing(t *testing.T) {
	if err := Validate(nil); err == nil {
		t.Error("Validate(nil) = nil; want an error")
	}
}

func TestValidateRejects(t *testing.T) {
	mount := func(m specs.Mount) change {
		return func(s *specs.Spec) { s.Mounts = []specs.Mount{m} }
	}
	resources := func(r specs.LinuxResources) change {
		return func(s *specs.Spec) { s.Linux.Resources = &r }
	}
	sysctl := func(key string) change {
		return func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{key: "1"} }
	}
	uids := func(m ...specs.LinuxIDMapping) change {
		return func(s *specs.Spec) { s.Linux.UIDMappings = m }
	}
	rule := func(r specs.LinuxSyscall) change {
		return func(s *specs.Spec) {
			s.Linux.Seccomp.ListenerPath = "/run/s"
			s.Linux.Seccomp.Syscalls = []specs.LinuxSyscall{r}
		}
	}
	scheduler := func(sched specs.Scheduler) change {
		return func(s *specs.Spec) { s.Process.Scheduler = &sched }
	}
	one := []specs.LinuxIDMapping{{Size: 1}}
	for _, test := range []struct {
		change change
		want   string
	}{
		// config.md
		{func(s *specs.Spec) { s.Version = "" }, `/ociVersion: required`},
		{func(s *specs.Spec) { s.Version = "1.0" }, `/ociVersion: "1.0" is not a semantic version`},
		{func(s *specs.Spec) { s.Version = "1.01.0" }, `/ociVersion: "1.01.0" is not a semantic version`},
		{func(s *specs.Spec) { s.Version = "1.0.0-" }, `/ociVersion: "1.0.0-" is not a semantic version`},
		{func(s *specs.Spec) { s.Version = "1.0.0-rc.01" }, `/ociVersion: "1.0.0-rc.01" is not a semantic version`},
		{func(s *specs.Spec) { s.Version = "v1.0.0" }, `/ociVersion: "v1.0.0" is not a semantic version`},
		{func(s *specs.Spec) { s.Version = "2.0.0" }, `/ociVersion: version 2.0.0 is not supported, only 1.x is`},
		{func(s *specs.Spec) { s.Version = "0.6.0" }, `/ociVersion: version 0.6.0 is not supported, only 1.x is`},
		{func(s *specs.Spec) { s.Root = nil }, `/root: root must be specified`},
		{func(s *specs.Spec) { s.Root.Path = "" }, `/root/path: required`},
		{func(s *specs.Spec) { s.Root.Path = "a\x00" }, `/root/path: has a NUL character`},
		{func(s *specs.Spec) { s.Annotations = map[string]string{"": "x"} }, `/annotations/: an annotation's key must not be empty`},
		{func(s *specs.Spec) { without(s, specs.UTSNamespace) }, `/hostname: unable to set hostname without a private UTS namespace: it would be the host's`},
		{func(s *specs.Spec) { without(s, specs.UTSNamespace); s.Hostname = ""; s.Domainname = "d" }, `/domainname: unable to set domainname without a private UTS namespace: it would be the host's`},
		{func(s *specs.Spec) { s.Hostname = strings.Repeat("a", 65) }, `/hostname: longer than 64 bytes`},

		// mounts
		{mount(specs.Mount{Type: "proc"}), `/mounts/0/destination: required`},
		{mount(specs.Mount{Destination: "/a\x00", Type: "proc"}), `/mounts/0: has a NUL character`},
		{mount(specs.Mount{Destination: "/a"}), `/mounts/0/type: required for a mount that is not a bind mount`},
		{mount(specs.Mount{Destination: "/a", Options: []string{"rbind"}}), `/mounts/0/source: required for a bind mount`},
		{
			mount(specs.Mount{Destination: "/a", Source: "/a", Options: []string{"bind", "size=1"}}),
			`/mounts/0/options: bind mounts cannot have any filesystem-specific options applied: "size=1"`,
		},
		{
			mount(specs.Mount{Destination: "/a", Source: "/a", Options: []string{"bind"}, UIDMappings: one}),
			`/mounts/0: id-mapped mounts must have both uid and gid mappings specified`,
		},
		{
			mount(specs.Mount{Destination: "/a", Source: "/a", Options: []string{"bind"}, UIDMappings: one, GIDMappings: []specs.LinuxIDMapping{{}}}),
			`/mounts/0/gidMappings/0/size: must not be 0`,
		},
		{func(s *specs.Spec) {
			without(s, specs.UserNamespace)
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
			s.Mounts = []specs.Mount{{Destination: "/a", Source: "/a", Options: []string{"rbind", "ridmap"}}}
		}, `/mounts/0/options: id-mapped mounts must have both uid and gid mappings specified, or a user namespace`},
		{func(s *specs.Spec) { without(s, specs.MountNamespace) }, `/root/readonly: needs a mount namespace; ` +
			`/mounts: need a mount namespace: they would be the host's; ` +
			`/linux/maskedPaths: needs a mount namespace; /linux/readonlyPaths: needs a mount namespace`},

		// hooks
		{func(s *specs.Spec) { s.Hooks.Prestart = []specs.Hook{{}} }, `/hooks/prestart/0/path: required`},
		{func(s *specs.Spec) { s.Hooks.CreateContainer = []specs.Hook{{Path: "/a"}, {Path: "a"}} }, `/hooks/createContainer/1/path: "a" is not an absolute path`},
		{func(s *specs.Spec) { s.Hooks.Poststop = []specs.Hook{{Path: "/a", Timeout: ptr(0)}} }, `/hooks/poststop/0/timeout: 0 is not greater than zero`},
		{func(s *specs.Spec) { s.Hooks.Poststart = []specs.Hook{{Path: "/a", Env: []string{"a\x00"}}} }, `/hooks/poststart/0: has a NUL character in args or env`},

		// process
		{func(s *specs.Spec) { s.Process.Args = nil }, `/process/args: args must not be empty`},
		{func(s *specs.Spec) { s.Process.Args = []string{"a", "b\x00"} }, `/process/args/1: has a NUL character`},
		{func(s *specs.Spec) { s.Process.Cwd = "" }, `/process/cwd: Cwd property must not be empty`},
		{func(s *specs.Spec) { s.Process.Cwd = "tmp" }, `/process/cwd: Cwd must be an absolute path: "tmp" is not`},
		{func(s *specs.Spec) { s.Process.Env = []string{"A=", "B"} }, `/process/env/1: invalid environment variable: missing '='`},
		{func(s *specs.Spec) { s.Process.Env = []string{"=B"} }, `/process/env/0: invalid environment variable: name cannot be empty`},
		{func(s *specs.Spec) { s.Process.Env = []string{"A=\x00"} }, `/process/env/0: has a NUL character`},
		{func(s *specs.Spec) { s.Process.OOMScoreAdj = ptr(1001) }, `/process/oomScoreAdj: 1001 is not from -1000 to 1000`},
		{func(s *specs.Spec) { s.Process.OOMScoreAdj = ptr(-1001) }, `/process/oomScoreAdj: -1001 is not from -1000 to 1000`},
		{func(s *specs.Spec) { s.Process.ConsoleSize = &specs.Box{Width: 65536} }, `/process/consoleSize: 0 by 65536 is more than a terminal can have`},
		{func(s *specs.Spec) { s.Process.User.UID = noID }, `/process/user/uid: 4294967295 is not a valid id`},
		{func(s *specs.Spec) { s.Process.User.GID = 65536 }, `/process/user/gid: 65536 is not mapped by /linux/gidMappings`},
		{func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{0, noID} }, `/process/user/additionalGids/1: 4294967295 is not a valid id`},
		{func(s *specs.Spec) { s.Process.User.Umask = ptr(uint32(0o1000)) }, `/process/user/umask: 512 (01000) is more than 0777`},
		{func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} }, `/process/rlimits/0/type: wrong rlimit value: RLIMIT_X`},
		{func(s *specs.Spec) { s.Process.Rlimits = append(s.Process.Rlimits, s.Process.Rlimits[0]) }, `/process/rlimits/1/type: RLIMIT_NOFILE is given twice`},
		{func(s *specs.Spec) { s.Process.Rlimits[0].Soft = 1025 }, `/process/rlimits/0/soft: 1025 is more than the hard limit of 1024`},
		{scheduler(specs.Scheduler{}), `/process/scheduler/policy: invalid scheduler policy: `},
		{scheduler(specs.Scheduler{Policy: specs.SchedBatch, Nice: 20}), `/process/scheduler/nice: invalid scheduler.nice: 20 when scheduler.policy is SCHED_BATCH: it is from -20 to 19`},
		{scheduler(specs.Scheduler{Policy: specs.SchedFIFO}), `/process/scheduler/priority: 0 is not from 1 to 99, as SCHED_FIFO needs`},
		{scheduler(specs.Scheduler{Policy: specs.SchedOther, Priority: 1}), `/process/scheduler/priority: scheduler.priority can only be specified for SchedFIFO or SchedRR policy`},
		{scheduler(specs.Scheduler{Policy: specs.SchedIdle, Runtime: 1}), `/process/scheduler: scheduler runtime/deadline/period can only be specified for SchedDeadline policy`},
		{scheduler(specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2, Deadline: 1}), `/process/scheduler: runtime <= deadline <= period does not hold`},
		{scheduler(specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"X"}}), `/process/scheduler/flags/0: unknown flag "X"`},
		{
			func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: "X", Priority: 8} },
			`/process/ioPriority/class: invalid ioPriority.Class: "X"; /process/ioPriority/priority: invalid ioPriority.Priority: 8: it is from 0 to 7`,
		},
		{
			func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "3-1"} },
			`/process/execCPUAffinity/final: "3-1" in list "3-1" is neither a number nor a range`,
		},

		// namespaces and ids
		{func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "net" }, `/linux/namespaces/0/type: unknown namespace "net"`},
		{func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, s.Linux.Namespaces[0]) }, `/linux/namespaces/8/type: malformed spec file: duplicated ns {"pid" ""}`},
		{func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "proc/1/ns/pid" }, `/linux/namespaces/0/path: "proc/1/ns/pid" is not an absolute path`},
		{func(s *specs.Spec) { without(s, specs.UserNamespace) }, `/linux/uidMappings: needs a user namespace; /linux/gidMappings: needs a user namespace`},
		{uids(), `/linux/uidMappings: user namespaces enabled, but no uid mappings found`},
		{uids(specs.LinuxIDMapping{Size: 1}, specs.LinuxIDMapping{ContainerID: 5, HostID: 5}), `/linux/uidMappings/1/size: must not be 0`},
		{uids(specs.LinuxIDMapping{Size: 10}, specs.LinuxIDMapping{ContainerID: 9, HostID: 100, Size: 5}), `/linux/uidMappings/1: overlaps an earlier mapping`},
		{uids(specs.LinuxIDMapping{Size: 10}, specs.LinuxIDMapping{ContainerID: 100, HostID: 9, Size: 5}), `/linux/uidMappings/1: overlaps an earlier mapping`},
		{uids(specs.LinuxIDMapping{Size: 10}, specs.LinuxIDMapping{ContainerID: noID, HostID: 100, Size: 1}), `/linux/uidMappings/1: goes beyond the last id`},
		{uids(slices.Repeat(one, 341)...), `/linux/uidMappings: 341 entries, more than the kernel's limit of 340`},
		{func(s *specs.Spec) {
			without(s, specs.TimeNamespace)
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {}}
		}, `/linux/timeOffsets: time namespace offsets specified, but time namespace isn't enabled in the config`},
		{func(s *specs.Spec) {
			join(s, specs.TimeNamespace, "/proc/1/ns/time")
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {}}
		}, `/linux/timeOffsets: cannot be changed in a time namespace that is joined`},
		{func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"realtime": {}, "boottime": {Nanosecs: 1e9}}
		}, `/linux/timeOffsets/boottime/nanosecs: 1000000000 is a second or more; /linux/timeOffsets/realtime: unknown clock`},

		// devices
		{
			func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "dev/x", Type: "x"}} },
			`/linux/devices/0/path: "dev/x" is not an absolute path; /linux/devices/0/type: invalid device type "x": it is c, b, u or p`,
		},
		{func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/x", Type: "c", Major: -1}} }, `/linux/devices/0: -1:0 is not a device number`},
		{func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/x", Type: "b", Minor: 1 << 20}} }, `/linux/devices/0: 0:1048576 is not a device number`},
		{
			func(s *specs.Spec) {
				s.Linux.Devices = []specs.LinuxDevice{{Path: "/x", Type: "p", UID: ptr(uint32(noID)), GID: ptr(uint32(noID))}}
			},
			`/linux/devices/0/uid: 4294967295 is not a valid id; /linux/devices/0/gid: 4294967295 is not a valid id`,
		},
		{func(s *specs.Spec) {
			without(s, specs.NetworkNamespace)
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}}
		}, `/linux/netDevices: unable to move network devices without a NET namespace`},
		{
			func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a/b": {Name: "x y"}} },
			`/linux/netDevices/a~1b: "a/b" is not an interface name; /linux/netDevices/a~1b/name: "x y" is not an interface name`,
		},
		{func(s *specs.Spec) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}, "eth1": {Name: "eth0"}}
		}, `/linux/netDevices/eth1/name: "eth0" is the name of "eth0" already`},

		// sysctls
		{sysctl("kernel.panic"), `/linux/sysctl/kernel.panic: sysctl "kernel.panic" is not in a separate kernel namespace`},
		{sysctl("vm.swappiness"), `/linux/sysctl/vm.swappiness: sysctl "vm.swappiness" is not in a separate kernel namespace`},
		{sysctl("net"), `/linux/sysctl/net: sysctl "net" is not in a separate kernel namespace`},
		{sysctl("kernel.hostname"), `/linux/sysctl/kernel.hostname: sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field`},
		{sysctl("net/../kernel/panic"), `/linux/sysctl/net~1..~1kernel~1panic: sysctl "net/../kernel/panic" is not a valid key`},
		{sysctl("kernel/msgmax/../panic"), `/linux/sysctl/kernel~1msgmax~1..~1panic: sysctl "kernel/msgmax/../panic" is not a valid key`},
		{
			func(s *specs.Spec) { without(s, specs.IPCNamespace); sysctl("kernel.sem")(s) },
			`/linux/sysctl/kernel.sem: sysctl "kernel.sem" is not allowed in the hosts ipc namespace`,
		},
		{
			func(s *specs.Spec) { without(s, specs.IPCNamespace); sysctl("fs.mqueue.msg_max")(s) },
			`/linux/sysctl/fs.mqueue.msg_max: sysctl "fs.mqueue.msg_max" is not allowed in the hosts ipc namespace`,
		},
		{
			func(s *specs.Spec) { without(s, specs.NetworkNamespace); sysctl("net.ipv4.ip_forward")(s) },
			`/linux/sysctl/net.ipv4.ip_forward: sysctl "net.ipv4.ip_forward" not allowed in host network namespace`,
		},
		{func(s *specs.Spec) {
			s.Domainname = "a"
			s.Linux.Sysctl = map[string]string{"kernel.domainname": "b"}
		}, `/linux/sysctl/kernel.domainname: differs from the property domainname`},
		{
			func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.a": "1", "net/a": "2"} },
			`/linux/sysctl/net~1a: is the same file as "net.a"`,
		},

		// paths and words
		{func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/a", "b"} }, `/linux/maskedPaths/1: "b" is not an absolute path`},
		{func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{""} }, `/linux/readonlyPaths/0: required`},
		{func(s *specs.Spec) { s.Linux.CgroupsPath = "/a/../b" }, `/linux/cgroupsPath: "/a/../b" has a ".." component`},
		{func(s *specs.Spec) { s.Linux.RootfsPropagation = "both" }, `/linux/rootfsPropagation: rootfsPropagation=both is not supported`},
		{
			func(s *specs.Spec) {
				s.Linux.Personality = &specs.LinuxPersonality{Domain: "BSD", Flags: []specs.LinuxPersonalityFlag{"X"}}
			},
			`/linux/personality/domain: invalid personality domain BSD; /linux/personality/flags: no flags are supported`,
		},
		{func(s *specs.Spec) {
			s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "..", L3CacheSchema: "L3:0=f\n", MemBwSchema: "L3:", Schemata: []string{"a", "b\n"}}
		}, `/linux/intelRdt/closID: ".." is not the name of a directory; /linux/intelRdt/l3CacheSchema: has a newline; ` +
			`/linux/intelRdt/memBwSchema: does not start with "MB:"; /linux/intelRdt/schemata/1: has a newline`},
		{func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "a/b"} }, `/linux/intelRdt/closID: "a/b" is not the name of a directory`},
		{
			func(s *specs.Spec) {
				s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "0"}
			},
			`/linux/memoryPolicy/nodes: memory policy mode requires 0 nodes but got 1`,
		},
		{func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind} }, `/linux/memoryPolicy/nodes: required with MPOL_BIND`},
		{func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "X", Flags: []specs.MemoryPolicyFlagType{"Y", specs.MpolFStaticNodes, specs.MpolFRelativeNodes}}
		}, `/linux/memoryPolicy/mode: invalid memory policy mode "X"; /linux/memoryPolicy/flags/0: invalid memory policy flag "Y"; ` +
			`/linux/memoryPolicy/flags: nodes cannot be both static and relative`},

		// resources
		{
			resources(specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Type: "p", Access: "x"}}}),
			`/linux/resources/devices/0/type: invalid cgroup device type "p": it is a, c or b; /linux/resources/devices/0/access: "x" is not made of r, w and m`,
		},
		{
			resources(specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "r", Minor: ptr[int64](-2)}}}),
			`/linux/resources/devices/0/minor: -2 is not a device number`,
		},
		{resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](-2)}}), `/linux/resources/memory/limit: -2 is neither a limit nor -1`},
		{
			resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr[int64](2), Swap: ptr[int64](1)}}),
			`/linux/resources/memory/swap: 1 is less than the limit of 2: it counts memory and swap`,
		},
		{resources(specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr[uint64](101)}}), `/linux/resources/memory/swappiness: invalid memory swappiness value: 101 (valid range is 0-100)`},
		{
			resources(specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr[int64](1), Burst: ptr[uint64](2), Idle: ptr[int64](2), Mems: "x"}}),
			`/linux/resources/cpu/mems: "x" in list "x" is neither a number nor a range; ` +
				`/linux/resources/cpu/burst: 2 is more than the quota of 1; /linux/resources/cpu/idle: 2 is neither 0 nor 1`,
		},
		{
			resources(specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{}}}}),
			`/linux/resources/blockIO/weightDevice/0: weight or leafWeight is required`,
		},
		{resources(specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{
			{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: -1}},
		}}}), `/linux/resources/blockIO/throttleReadBpsDevice/0: -1:0 is not a device number`},
		{
			resources(specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../B"}, {Pagesize: "2MB"}, {Pagesize: "2MB"}, {Pagesize: "B"}}}),
			`/linux/resources/hugepageLimits/0/pageSize: "../B" is not a page size such as 2MB; ` +
				`/linux/resources/hugepageLimits/2/pageSize: 2MB is given twice; /linux/resources/hugepageLimits/3/pageSize: "B" is not a page size such as 2MB`,
		},
		{
			resources(specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{}}}}),
			`/linux/resources/network/priorities/0/name: "" is not an interface name`,
		},
		{resources(specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"m": {}}}), `/linux/resources/rdma/m: hcaHandles or hcaObjects is required`},
		{resources(specs.LinuxResources{Unified: map[string]string{"../x.y": ""}}), `/linux/resources/unified/..~1x.y: not the name of a cgroup file, CONTROLLER.PARAMETER`},
		{resources(specs.LinuxResources{Unified: map[string]string{"..": ""}}), `/linux/resources/unified/..: not the name of a cgroup file, CONTROLLER.PARAMETER`},

		// seccomp
		{func(s *specs.Spec) { s.Linux.Seccomp.DefaultAction = "" }, `/linux/seccomp/defaultAction: string  is not a valid action for seccomp`},
		{func(s *specs.Spec) { s.Linux.Seccomp.DefaultErrnoRet = ptr(uint(1)) }, `/linux/seccomp/defaultErrnoRet: not allowed with SCMP_ACT_ALLOW`},
		{func(s *specs.Spec) {
			s.Linux.Seccomp.DefaultAction, s.Linux.Seccomp.DefaultErrnoRet = specs.ActErrno, ptr(uint(0x10000))
		}, `/linux/seccomp/defaultErrnoRet: 65536 does not fit in 16 bits`},
		{func(s *specs.Spec) { s.Linux.Seccomp.DefaultAction = specs.ActNotify }, `/linux/seccomp/defaultAction: SCMP_ACT_NOTIFY cannot be used as default action`},
		{func(s *specs.Spec) {
			s.Linux.Seccomp.Architectures = []specs.Arch{"X"}
			s.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{"Y"}
		}, `/linux/seccomp/architectures/0: string X is not a valid arch for seccomp; /linux/seccomp/flags/0: seccomp flag Y is not known`},
		{func(s *specs.Spec) { s.Linux.Seccomp.ListenerMetadata = "m" }, `/linux/seccomp/listenerMetadata: must not be set without listenerPath`},
		{func(s *specs.Spec) {
			s.Linux.Seccomp.Syscalls = []specs.LinuxSyscall{{Names: []string{"mknod"}, Action: specs.ActNotify}}
		}, `/linux/seccomp/listenerPath: seccomp listenerPath is not set: SCMP_ACT_NOTIFY needs it`},
		{rule(specs.LinuxSyscall{Action: specs.ActAllow}), `/linux/seccomp/syscalls/0/names: at least one entry is required`},
		{rule(specs.LinuxSyscall{Action: specs.ActAllow, Names: []string{"open", ""}}), `/linux/seccomp/syscalls/0/names/1: must not be empty`},
		{rule(specs.LinuxSyscall{Action: specs.ActKill, Names: []string{"open"}, ErrnoRet: ptr(uint(1))}), `/linux/seccomp/syscalls/0/errnoRet: not allowed with SCMP_ACT_KILL`},
		{rule(specs.LinuxSyscall{Action: "X", Names: []string{"open"}}), `/linux/seccomp/syscalls/0/action: string X is not a valid action for seccomp`},
		{
			rule(specs.LinuxSyscall{Action: specs.ActNotify, Names: []string{"open", "write"}}),
			`/linux/seccomp/syscalls/0/names/1: SCMP_ACT_NOTIFY cannot be used for the write syscall: the runtime needs it`,
		},
		{
			rule(specs.LinuxSyscall{Action: specs.ActAllow, Names: []string{"open"}, Args: []specs.LinuxSeccompArg{{Index: 6, Op: "X"}}}),
			`/linux/seccomp/syscalls/0/args/0/index: 6 is not from 0 to 5; /linux/seccomp/syscalls/0/args/0/op: string X is not a valid operator for seccomp`,
		},
	} {
		s := valid()
		test.change(s)
		err := Validate(s)
		if err == nil || err.Error() != test.want {
			t.Errorf("Validate = %v; want %s", err, test.want)
		}
	}
}

func TestProblems(t *testing.T) {
	var problems Problems
	err := Validate(&specs.Spec{})
	if !errors.As(err, &problems) || len(problems) != 2 || problems[1] != (Problem{"/root", "root must be specified"}) {
		t.Errorf("Validate(empty) = %#v; want two Problems", err)
	}
}

func TestRequireProcess(t *testing.T) {
	s := valid()
	if err := RequireProcess(s); err != nil {
		t.Errorf("RequireProcess(with) = %v", err)
	}
	s.Process = nil
	if err := RequireProcess(s); err == nil || err.Error() != "/process: process property must not be empty" {
		t.Errorf("RequireProcess(without) = %v; want /process: process property must not be empty", err)
	}
}

func TestValidateParts(t *testing.T) {
	s := valid()
	p := &specs.Process{Cwd: "/", User: specs.User{UID: 65536}}
	want := "/args: args must not be empty; /user/uid: 65536 is not mapped by /linux/uidMappings"
	if err := ValidateProcess(s, p); err == nil || err.Error() != want {
		t.Errorf("ValidateProcess = %v; want %s", err, want)
	}
	r := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr[int64](-2)}}
	want = "/pids/limit: -2 is neither a limit nor -1"
	if err := ValidateResources(r); err == nil || err.Error() != want {
		t.Errorf("ValidateResources = %v; want %s", err, want)
	}
}

func TestWarnings(t *testing.T) {
	s := valid()
	s.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding: []string{"CAP_NEW", "CAP_KILL", "CAP_NEWER"}, Permitted: []string{"CAP_KILL"},
		Effective: []string{"CAP_KILL", "CAP_CHOWN"}, Ambient: []string{"CAP_KILL"},
	}
	s.Mounts[0].Destination = "proc"
	s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}, {Allow: true, Access: "rwa"}}}
	want := []string{
		"/process/capabilities/bounding: ignoring unknown or unavailable capabilities: [CAP_NEW CAP_NEWER]",
		"/process/capabilities/effective: CAP_CHOWN cannot be effective: not permitted",
		"/process/capabilities/ambient: can't raise ambient capability CAP_KILL: not both permitted and inheritable",
		`/mounts/0/destination: relative path "proc" is deprecated, taken as relative to /`,
		`/linux/resources/devices/1/access: "rwa" is taken as "rw": access is made of r, w and m`,
	}
	if got := Warnings(s); !slices.Equal(got, want) {
		t.Errorf("Warnings = %q; want %q", got, want)
	}
	if got := Warnings(&specs.Spec{}); got != nil {
		t.Errorf("Warnings(empty) = %q; want none", got)
	}
}

// TestValidateEngines checks that the configurations of engines are valid.
func TestValidateEngines(t *testing.T) {
	for _, file := range configs(t) {
		c, err := Load(file)
		if err != nil {
			t.Errorf("Load: %v", err)
			continue
		}
		if err := Validate(c.Spec); err != nil {
			t.Errorf("Validate(%s) = %v", file, err)
		}
		if err := RequireProcess(c.Spec); err != nil {
			t.Errorf("RequireProcess(%s) = %v", file, err)
		}
	}
}

// FuzzValidate reaches deeper than FuzzParse: it starts from a valid configuration
// and overlays it with the fuzzed properties.
func FuzzValidate(f *testing.F) {
	f.Add(`{"process": {"rlimits": [{"type": "RLIMIT_CPU"}]}, "linux": {"sysctl": {"net/a": "1"}}}`)
	f.Add(`{"mounts": [{"destination": "/a", "options": ["rbind", "idmap"]}], "hostname": "a\n"}`)
	f.Add(`{"linux": {"netDevices": {"a": {"name": "%d"}}, "cgroupsPath": "\u0000", "uidMappings": [{"size": 1}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := valid()
		if err := Decode("c", []byte(text), s); err != nil {
			return
		}
		if err := Validate(s); err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("Validate(%s): an error of more than one line: %q", text, err)
		}
		for _, w := range Warnings(s) {
			if strings.ContainsAny(w, "\n\x00") {
				t.Errorf("Warnings(%s): more than one line: %q", text, w)
			}
		}
	})
}

// FuzzIDMappings checks that Validate accepts the mappings that the kernel accepts as
// a uid_map (user_namespaces(7)), and no others. mappable computes that in its own way.
func FuzzIDMappings(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 3, 232, 0, 0, 0, 10, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var list []specs.LinuxIDMapping
		for ; len(raw) >= 12; raw = raw[12:] {
			list = append(list, specs.LinuxIDMapping{
				ContainerID: binary.BigEndian.Uint32(raw), HostID: binary.BigEndian.Uint32(raw[4:]), Size: binary.BigEndian.Uint32(raw[8:]),
			})
		}
		if len(list) == 0 {
			return
		}
		s := valid()
		s.Mounts = []specs.Mount{{
			Destination: "/a", Source: "/b", Options: []string{"bind"},
			UIDMappings: list, GIDMappings: []specs.LinuxIDMapping{{HostID: 1000, Size: 1}},
		}}
		err := Validate(s)
		if want := mappable(list); (err == nil) != want {
			t.Errorf("Validate(uidMappings %v) = %v; acceptable: %v", list, err, want)
		}
	})
}

func mappable(list []specs.LinuxIDMapping) bool {
	if len(list) > 340 { // UID_GID_MAP_MAX_EXTENTS
		return false
	}
	byContainer := func(m specs.LinuxIDMapping) uint32 { return m.ContainerID }
	byHost := func(m specs.LinuxIDMapping) uint32 { return m.HostID }
	for _, first := range []func(specs.LinuxIDMapping) uint32{byContainer, byHost} {
		sorted := slices.Clone(list)
		slices.SortFunc(sorted, func(a, b specs.LinuxIDMapping) int { return cmp.Compare(first(a), first(b)) })
		free := uint64(0)
		for _, m := range sorted {
			if m.Size == 0 || uint64(first(m)) < free {
				return false
			}
			free = uint64(first(m)) + uint64(m.Size)
		}
		if free > 1<<32-1 {
			return false
		}
	}
	return true
}

package conformance

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// difference is a finding of the suite about correct behaviour.
type difference struct {
	program string
	says    string // part of the finding
	reason  string // with the section of runtime-spec 1.3.0 where the suite is wrong about it
	// only selects machines; nil selects all.
	only func() bool
	// sometimes marks a race of the suite with itself.
	sometimes bool
}

func (d difference) applies() bool { return d.only == nil || d.only() }

// Reasons that several programs share.
const (
	pidsPointers = "the suite compares the addresses of two numbers: since runtime-spec 1.3.0 pids.limit is a pointer"
	kmem         = "Linux 5.16 took the limit of kernel memory away: the file takes the number and forgets it; the property may be ignored (specs-go, LinuxMemory.Kernel)"
	cfq          = "Linux 5.0 took CFQ away, and leaf weights with it; what cannot be applied is an error (runtime.md#create)"
	netCls       = "no hierarchy of net_cls is mounted here: the class is the mark of sockets, set by a program of the cgroup2 cgroup, and the suite only looks for v1's file; TestResources/network_class"
	hugetlb      = "hugetlb is a controller of cgroup v2 on this machine, and the suite only looks for v1's"
	sysResource  = "this machine's bounding set has no CAP_SYS_RESOURCE: what cannot be granted is a warning (config.md#linux-process)"
	appArmor     = "this machine has no AppArmor; what cannot be applied is an error (runtime.md#create)"
	seLinux      = "this machine has no SELinux; what cannot be applied is an error (runtime.md#create)"
	bindData     = "the program gives bind mounts options of a file system, mode= and size=, which the kernel would not even look at: invalid values are an error (config.md#valid-values); TestPropagation has the rest"
	killCreated  = "the verb, of a command line that runtime.md#operations does not specify, kills a container that was never started and then deletes it, as runc's and crun's do: engines rely on it; TestDeleteOfACreatedContainerNeedsNoForce, and TestDeleteRefusesARunningContainer for the rule"
)

var known = []difference{
	{program: "delete", says: "that is not `stopped` MUST generate an error", reason: killCreated},
	{program: "delete", says: "that is not `stopped` MUST have no effect", reason: killCreated},
	{program: "delete_resources", says: "not ok: pids limit is set correctly", reason: pidsPointers},
	{
		program: "hooks", says: "error: Hooks MUST be called in the listed order",
		reason: "the program's hooks write other words than it looks for (\"post-start1 called\", \"post-start1\"); TestHooksRunInTheOrderOfTheSpec",
	},
	{
		program: "hooks_stdin", says: "MUST be passed to \"prestart\" hook",
		reason: "the program wants the status created: prestart hooks are part of the create operation (config.md#prestart), and created is the status when that has finished (runtime.md#state)",
	},
	{program: "linux_mount_label", says: "it did not come to its end", reason: seLinux, only: withoutSELinux},
	{program: "linux_mount_label", says: "selinux label", reason: seLinux, only: withoutSELinux},
	{
		program: "killsig", says: "MUST send the specified signal", sometimes: true,
		reason: "the program signals a shell as soon as it runs, without waiting for its trap; TestKillByEverySpelling",
	},
	{program: "linux_cgroups_blkio", says: "leafWeight", reason: cfq},
	{program: "linux_cgroups_hugetlb", says: "relative to the cgroups mount point", reason: hugetlb, only: without("hugetlb")},
	{program: "linux_cgroups_memory", says: "not ok: memory kernel is set correctly", reason: kmem},
	{program: "linux_cgroups_network", says: "not ok: get network cgroup data", reason: netCls, only: without("net_cls")},
	{program: "linux_cgroups_pids", says: "not ok: pids limit is set correctly", reason: pidsPointers},
	{program: "linux_cgroups_relative_blkio", says: "not ok: exit status 1", reason: cfq},
	{
		program: "linux_cgroups_relative_hugetlb", says: "not ok: exit status 1",
		reason: hugetlb + "; besides, the path is relative to the runtime's own cgroup, and a cgroup with processes has no controllers to give",
		only:   without("hugetlb"),
	},
	{program: "linux_cgroups_relative_memory", says: "not ok: memory kernel is set correctly", reason: kmem},
	{program: "linux_cgroups_relative_network", says: "not ok: get network cgroup data", reason: netCls, only: without("net_cls")},
	{program: "linux_cgroups_relative_pids", says: "not ok: pids limit is set correctly", reason: pidsPointers},
	{
		program: "linux_ns_itype", says: "not ok: inherit namespace mnt without type",
		reason: "the program takes away the mount namespace and leaves the mounts: in the runtime's own namespace they would stay on the host, so the container gets a private one, with a warning; TestMountsWithoutMountNamespace",
	},
	{program: "linux_process_apparmor_profile", says: "AppArmor is disabled or not supported", reason: appArmor, only: noAppArmor},
	{program: "linux_process_apparmor_profile", says: "no plan", reason: appArmor, only: noAppArmor},
	{
		program: "linux_uid_mappings", says: "skip: root.readonly is false but the root filesystem is still not writable",
		reason: "the bundle belongs to a user who is not mapped, and a runtime SHOULD NOT change that (config-linux.md#user-namespace-mappings)",
	},
	{
		program: "misc_props", says: "MUST NOT generate an error if they encounter an unknown annotation key",
		reason: "the program forgets to copy the container's executable into the bundle; TestConfigThatIsNone",
	},
	{program: "mounts", says: "bind mounts cannot have any filesystem-specific options applied", reason: bindData},
	{program: "mounts", says: "no plan", reason: bindData},
	{
		program: "pidfile", says: "not ok: create with '--pid-file' option works", sometimes: true,
		reason: "the program kills a container that has ended, which is an error (runtime.md#kill), unless it is quicker than true(1); TestPidFile",
	},
	{
		program: "poststart", says: "error: The post-start hooks MUST be called after the user-specified process is executed", sometimes: true,
		reason: "the hook comes after the execve, but the program's shell may write later than the hook's; TestHooksRunInTheOrderOfTheSpec",
	},
	{
		program: "poststart_fail", says: "error: if any poststart hook fails, the runtime MUST log a warning",
		reason: "since 1.3.0 a poststart hook that fails is an error and stops the container (runtime.md#lifecycle, step 9); TestAFailingHookEndsTheContainer",
	},
	{
		program: "prestart", says: "error: Pre-start hooks MUST be called after the `start` operation is called",
		reason: "prestart hooks are part of the create operation (config.md#prestart)",
	},
	{program: "process_capabilities", says: "CAP_SYS_RESOURCE set", reason: sysResource, only: noSysResource},
	{
		program: "process_capabilities_fail", says: "exit status 1: Any value which cannot be mapped to a relevant kernel interface MUST cause an error",
		reason: "an unknown capability MUST be a warning and SHOULD NOT be an error (config.md#linux-process)",
	},
	{
		program: "process_rlimits", says: "not ok: has expected soft RLIMIT_NOFILE",
		reason: "the suite's program in the container is written in Go, which raises its own soft limit before anybody can read it (os/rlimit.go); TestRlimits",
	},
	{
		program: "process_rlimits_fail", says: "no plan",
		reason: "the program is silent when create fails, as it has to here",
	},
	{
		program: "start", says: "not ok: `start` operation MUST generate an error if `process` was not set",
		reason: "the program takes the error for a failure: it means err != nil",
	},
	{
		program: "start", says: "not ok: timeout in waiting for the container status",
		reason: "the program waits for the end of a container that was never started",
	},
}

// without reports whether no mounted v1 hierarchy has the controller. A hierarchy in /proc/self/cgroup may be mounted
// nowhere: it outlives its last mount while the kernel removes one of its cgroups.
func without(controller string) func() bool {
	return func() bool {
		text, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(text)) {
			_, fs, _ := strings.Cut(line, " - ")
			if f := strings.Fields(fs); len(f) == 3 && f[0] == "cgroup" && slices.Contains(strings.Split(f[2], ","), controller) {
				return false
			}
		}
		return true
	}
}

func noAppArmor() bool {
	text, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return !strings.HasPrefix(string(text), "Y")
}

func noSysResource() bool {
	const capSysResource = 24
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if text, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return err == nil && set&(1<<capSysResource) == 0
		}
	}
	return false
}

func withoutSELinux() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err != nil
}

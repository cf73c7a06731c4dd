package plan

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Side names the side that takes a step.
type Side string

const (
	Runtime   Side = "runtime"   // the calling process, on the host
	Container Side = "container" // the stub, by remote system calls
)

// Step is one action of the set-up. A step is a value; package engine performs
// the action.
type Step interface {
	fmt.Stringer
	Side() Side
}

// Item is a step and the field of config.json that requests it.
type Item struct {
	Field string // JSON pointer; "" if no field requests the step
	Step  Step
}

// Plan is the ordered list of steps.
type Plan struct{ Items []Item }

type runtimeStep struct{}

func (runtimeStep) Side() Side { return Runtime }

type containerStep struct{}

func (containerStep) Side() Side { return Container }

// Spawn starts the stub.
type Spawn struct {
	runtimeStep
	Namespaces uint64 // CLONE_NEWPID or 0; a later Unshare creates the others
	Cgroup     bool   // start the stub in the container's cgroup2 cgroup
}

// Harden is the stub's first step. The stub becomes undumpable, marks its
// descriptors close-on-exec, clears its umask and resets signals.
type Harden struct {
	containerStep
	// MapsFirst leaves the stub dumpable for now. The runtime side has no
	// privilege, and the kernel lets it write the id maps of a dumpable
	// process only. BecomeRoot makes the stub undumpable.
	MapsFirst bool
}

// Session makes the stub the leader of a new session. A session is also a
// scheduling group (sched(7), "The autogroup feature"). In a new group the stub
// waits for a processor until the runtime side blocks; that costs 0.2 ms while
// the runtime side is busy. So the step belongs where the runtime side is idle.
type Session struct{ containerStep }

// OOMScoreAdj sets oom_score_adj of the stub.
type OOMScoreAdj struct {
	runtimeStep
	Value int
}

// JoinCgroups moves the stub into the container's v1 cgroups. The stub itself
// writes "0" to their tasks files.
type JoinCgroups struct {
	containerStep
	Files []string
}

// EnterRootfs makes the root file system the working directory. At this point
// the stub still has the runtime's credentials, which can reach it.
type EnterRootfs struct {
	containerStep
	Path string
}

// Join enters an existing namespace.
type Join struct {
	containerStep
	Type string
	Path string
	Flag uint64
}

// Unshare creates new namespaces and enters them.
type Unshare struct {
	containerStep
	Flags uint64
}

// IDMaps writes the id maps of the new user namespace.
type IDMaps struct {
	runtimeStep
	UIDs, GIDs []specs.LinuxIDMapping
}

// BecomeRoot takes the ids of root in the user namespace, or the lowest mapped
// ids if root is not mapped.
type BecomeRoot struct {
	containerStep
	UID, GID uint32
}

// TimeOffsets sets the clock offsets of the new time namespace.
type TimeOffsets struct {
	runtimeStep
	Offsets map[string]specs.LinuxTimeOffset
}

// EnterTime enters the new time namespace. unshare creates it for future
// children only (time_namespaces(7)).
type EnterTime struct{ containerStep }

// Fork creates a child that takes the stub's place and becomes the container's
// first process. The stub cannot be that process: a pid namespace from unshare
// holds the children only.
type Fork struct{ containerStep }

// ForkInto creates a child in the container's cgroup2 cgroup; the child takes
// the stub's place. Moving the stub there instead would wait for the kernel's
// lock on all forks, which takes milliseconds.
type ForkInto struct{ containerStep }

// SessionKeyring creates a session keyring.
type SessionKeyring struct {
	containerStep
	Name  string
	Label string
}

// LoopbackUp brings lo up in the new network namespace.
type LoopbackUp struct{ containerStep }

// Propagation sets the propagation type of all mounts below "/".
type Propagation struct {
	containerStep
	Flags uint64 // MS_…
}

// AttachRootfs clones the root file system's tree and attaches the clone over
// the original. The clone is a mount, as pivot_root(2) requires.
type AttachRootfs struct {
	containerStep
	Path string
	// MaskSources mounts a tmpfs below the clone, where no path leads. It holds
	// the sources of masks: a null device and an empty directory. They come
	// from the runtime, not from the image (CVE-2025-31133). The tmpfs
	// disappears with the old root.
	MaskSources bool
	Label       string // SELinux label of the tmpfs
	HostNull    bool   // bind the host's /dev/null: mknod needs the initial user namespace
}

// Place is a location in the container.
type Place struct {
	Path string // clean and absolute, as config.json means it
	// In is the destination of an earlier mount of this plan that contains only
	// the plan's own entries. Name is one component in it. Such a place needs
	// no path resolution. In is "" if there is no such mount.
	In, Name string
	// Below is true if an earlier mount of this plan is at a parent of Path.
	// It compares names only; a symlink may lead to another mount.
	Below bool
}

// Param is one parameter of a file system. A flag has no Value.
type Param struct{ Key, Value string }

func (p Param) String() string {
	if p.Value == "" {
		return p.Key
	}
	return p.Key + "=" + p.Value
}

// Attrs are the attributes of a mount.
type Attrs struct {
	Set, Clear       uint64 // for the mount itself, MOUNT_ATTR_…
	RecSet, RecClear uint64 // for the whole tree
	// Implied are cleared too, unless the kernel has locked them. They are
	// flags of a bind mount's source that config.json does not list.
	Implied uint64
	// First is a propagation type that the whole tree takes before Propagation.
	// It ends the peer relation between a clone and the host's mounts. 0 means
	// none.
	First          uint64
	Propagation    uint64 // MS_…, 0 for no change
	PropagationRec bool
}

// Idmap is an id mapping of a mount. Without mappings it is the mapping of the
// container's user namespace.
type Idmap struct {
	Recursive  bool
	UIDs, GIDs []specs.LinuxIDMapping
}

// Mount creates a new mount of a file system.
type Mount struct {
	containerStep
	Type, Source string
	Params       []Param
	Attrs        Attrs
	At           Place
	// Ordinary requires a directory, not a symlink, as the destination. Masks
	// and sysctls rely on this mount (CVE-2019-19921).
	Ordinary     bool
	DestNofollow bool
	CopyUp       bool
	// Keep keeps the mount's descriptor for later steps.
	Keep bool
	// JoinedPID marks a procfs for the pid namespace that the container joins.
	JoinedPID bool
	// ModeFromTarget copies the permissions of the covered directory, for a
	// tmpfs without mode=. A mountpoint created for this mount does not count.
	ModeFromTarget bool
	// OrBind is the source of a bind mount that replaces the new mount if the
	// kernel refuses it. The kernel refuses a v2 cgroup mount in a nested user
	// namespace.
	OrBind string
	Idmap  *Idmap
	// RootLabel is the SELinux context of the root, set as an extended
	// attribute.
	RootLabel string
}

// Bind attaches a clone of an existing tree.
type Bind struct {
	containerStep
	Source       string
	Inside       bool // the source is in the root file system, where earlier mounts are visible
	Answers      bool // the source is on a kernel file system, which never blocks
	Recursive    bool
	Attrs        Attrs
	At           Place
	SrcNofollow  bool
	DestNofollow bool
	CopySymlink  bool
	Idmap        *Idmap
}

// Remount changes the attributes of the mount at a destination.
type Remount struct {
	containerStep
	At     Place
	Attrs  Attrs
	Params []Param
	Kept   bool // an earlier step kept the mount's descriptor; use it
}

// Device creates a device node or a FIFO.
type Device struct {
	containerStep
	At           Place
	Type         string // c, b, p
	Major, Minor int64
	Mode         uint32
	UID, GID     uint32
	FromHost     string // bind this host node instead: mknod needs the initial user namespace
}

// Symlink creates a symlink.
type Symlink struct {
	containerStep
	Target string
	At     Place
	Force  bool // replace an existing file
}

// Sysctl writes a kernel parameter of the container's namespaces.
type Sysctl struct {
	containerStep
	Path  []string // below /proc/sys
	Value string
}

// Hooks runs the hooks of one kind.
type Hooks struct {
	runtimeStep
	Kind string
}

// Masks hides paths.
type Masks struct {
	containerStep
	Paths []string
}

// Readonly makes paths read-only.
type Readonly struct {
	containerStep
	Paths []string
}

// Terminal creates the pseudo-terminal and connects the standard streams to it.
type Terminal struct {
	containerStep
	Console Place // /dev/console; the zero Place means no such mount (exec)
	Width   uint
	Height  uint
}

// Pivot makes the root file system the root and detaches the old root.
type Pivot struct {
	containerStep
	Move bool // --no-pivot: move the mount over / and chroot
}

// ChangeRoot enters the root file system without a mount namespace.
type ChangeRoot struct{ containerStep }

// RootAttrs changes the attributes of the root mount.
type RootAttrs struct {
	containerStep
	Attrs Attrs
}

// MakeCwd creates a missing working directory while the root is still writable.
type MakeCwd struct {
	containerStep
	Path string
}

// Hostname sets the host name and the domain name of the UTS namespace.
type Hostname struct {
	containerStep
	Name, Domain string
}

// Umask sets the file mode creation mask of the program.
type Umask struct {
	containerStep
	Mask uint32
}

// SecurityLabel sets the label that the process takes at the next execve.
type SecurityLabel struct {
	containerStep
	LSM   string // "apparmor" or "selinux"
	Label string
}

// NoNewPrivs sets no_new_privs.
type NoNewPrivs struct{ containerStep }

// Scheduling sets the scheduling policy, the I/O priority or the NUMA policy.
type Scheduling struct {
	containerStep
	Scheduler *specs.Scheduler
	// OfClone makes the runtime side set the policy on the clone that will
	// execute the program. A deadline process may not fork, and a clone loses
	// a policy with reset-on-fork (sched(7)).
	OfClone      bool
	IOPriority   *specs.LinuxIOPriority
	MemoryPolicy *specs.LinuxMemoryPolicy
}

// Personality sets the execution domain.
type Personality struct {
	containerStep
	Domain uint64
}

// Affinity sets the CPU affinity.
type Affinity struct {
	containerStep
	CPUs string // "" allows all CPUs of the cgroup's cpuset
}

// Rlimits sets resource limits. The runtime side does it, because raising a
// hard limit requires privilege on the host.
type Rlimits struct {
	runtimeStep
	Limits []Rlimit
}

// Rlimit is one resource limit.
type Rlimit struct {
	Name       string
	Resource   int
	Soft, Hard uint64
}

// Seccomp loads the seccomp filter.
type Seccomp struct {
	containerStep
	Listener bool
	// Then are the final sets, without the CAP_SYS_ADMIN that loading the
	// filter required. It is nil if loading required no capability.
	Then *Capabilities
}

// Cwd changes the working directory. A later check with the final credentials
// makes sure that it is in the container.
type Cwd struct {
	containerStep
	Path   string
	Create bool
}

// BoundingSet drops capabilities from the bounding set.
type BoundingSet struct {
	containerStep
	Keep uint64
}

// Identity sets the user id, the group id and the supplementary groups.
type Identity struct {
	containerStep
	UID, GID   uint32
	Groups     []uint32
	SetGroups  bool // false if /proc/PID/setgroups is "deny" or the groups are kept
	ChownStdio bool
	KeepCaps   bool
}

// Capabilities sets the capability sets other than the bounding set.
type Capabilities struct {
	containerStep
	Effective, Permitted, Inheritable, Ambient uint64
}

// FindProgram looks up args[0] like execvp(3), with the final credentials.
type FindProgram struct {
	containerStep
	Name string
	Path string // $PATH of process.env
}

// Home looks up $HOME in the container's /etc/passwd.
type Home struct {
	containerStep
	UID uint32
}

// CloseFiles marks the descriptors from First upwards close-on-exec. With LetIn
// the stub becomes dumpable, for an unprivileged runtime that has to reach into it.
type CloseFiles struct {
	containerStep
	First int
	LetIn bool
}

// CloneInto creates the process that executes the program, in the joined pid
// namespace. Processes there never see one with more than its final
// credentials (CVE-2016-9962).
type CloneInto struct{ containerStep }

// Gate waits for the start operation.
type Gate struct{ containerStep }

// Execute replaces the stub with the program.
type Execute struct {
	containerStep
	Args []string
	Env  []string
}

var nsNames = []struct {
	flag uint64
	name string
}{
	{unix.CLONE_NEWUSER, "user"},
	{unix.CLONE_NEWNS, "mount"},
	{unix.CLONE_NEWPID, "pid"},
	{unix.CLONE_NEWNET, "network"},
	{unix.CLONE_NEWIPC, "ipc"},
	{unix.CLONE_NEWUTS, "uts"},
	{unix.CLONE_NEWCGROUP, "cgroup"},
	{unix.CLONE_NEWTIME, "time"},
}

// NamespaceNames returns the names of CLONE_NEW… flags as in config.json.
func NamespaceNames(flags uint64) string {
	var out []string
	for _, n := range nsNames {
		if flags&n.flag != 0 {
			out = append(out, n.name)
		}
	}
	return strings.Join(out, ", ")
}

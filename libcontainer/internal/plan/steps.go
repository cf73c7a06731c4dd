package plan

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Side says who takes a step.
type Side string

const (
	Runtime   Side = "runtime"   // this process, on the host
	Container Side = "container" // the stub, by remote system calls
)

// Step is one thing to do. It is a value: engine gives it its meaning.
type Step interface {
	fmt.Stringer
	Side() Side
}

// Item is a step and the field of config.json that asks for it.
type Item struct {
	Field string // JSON pointer, "" for what no field asks for
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
	Namespaces uint64 // CLONE_NEWPID or nothing: the others are unshared later
	Cgroup     bool   // born in the container's cgroup2 cgroup
}

// Harden is what the stub does before anything else: not dumpable, no umask.
type Harden struct {
	containerStep
	// MapsFirst: the runtime has no privilege, and the kernel would not let it
	// write the id maps of a process that is not dumpable.
	MapsFirst bool
}

// Session makes the stub the leader of a session of its own. A session is a
// scheduling group too (sched(7), "The autogroup feature"), and in a new one the
// stub waits for the processor until the runtime side has to wait, for 0.2 ms
// where it is busy meanwhile: so this is for when it is not.
type Session struct{ containerStep }

// OOMScoreAdj is written before the stub has anything to lose.
type OOMScoreAdj struct {
	runtimeStep
	Value int
}

// JoinCgroups moves the stub into the container's v1 cgroups: it writes "0"
// to their tasks files itself.
type JoinCgroups struct {
	containerStep
	Files []string
}

// EnterRootfs makes the root file system the working directory, while the
// stub can still reach it with the runtime's credentials.
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

// Unshare enters new namespaces.
type Unshare struct {
	containerStep
	Flags uint64
}

// IDMaps writes the id maps of the new user namespace.
type IDMaps struct {
	runtimeStep
	UIDs, GIDs []specs.LinuxIDMapping
}

// BecomeRoot takes the ids of root in the user namespace, or of somebody else
// where root is not mapped.
type BecomeRoot struct {
	containerStep
	UID, GID uint32
}

// TimeOffsets sets the clocks of the new time namespace.
type TimeOffsets struct {
	runtimeStep
	Offsets map[string]specs.LinuxTimeOffset
}

// EnterTime enters the new time namespace, which unshare has made for children
// only (time_namespaces(7)).
type EnterTime struct{ containerStep }

// Fork makes the process that will be the container's first one, where the
// stub itself cannot be: in a pid namespace that was unshared, not cloned.
type Fork struct{ containerStep }

// ForkInto makes a process that is born in the container's cgroup2 cgroup, and
// goes on in the stub's place: moving one there would wait for the kernel's
// lock on all forks, for milliseconds.
type ForkInto struct{ containerStep }

// SessionKeyring makes a session keyring.
type SessionKeyring struct {
	containerStep
	Name  string
	Label string
}

// LoopbackUp brings lo up in the new network namespace.
type LoopbackUp struct{ containerStep }

// Propagation sets how mount events travel, for the whole tree at "/".
type Propagation struct {
	containerStep
	Flags uint64 // MS_…
}

// AttachRootfs clones the root file system's tree and attaches the clone over
// the original, which makes it a mount that pivot_root takes.
type AttachRootfs struct {
	containerStep
	Path string
	// MaskSources: below the clone, out of sight, a tmpfs that holds what paths
	// are masked with: a null device and an empty directory of our own, not the
	// container's (CVE-2025-31133). It goes away with the old root.
	MaskSources bool
	Label       string // SELinux label of the tmpfs
	HostNull    bool   // bind the host's /dev/null: mknod needs the initial user namespace
}

// Place is where in the container something goes.
type Place struct {
	Path string // clean and absolute, as config.json means it
	// In is the destination of a mount of this plan that is known to be empty
	// but for what the plan has put there, and Name the one component in it.
	// Nothing has to be resolved then. "" where there is no such mount.
	In, Name string
	// Below: an earlier mount of this plan is above it, by its name. Symlinks may
	// lead to others.
	Below bool
}

// Param is one parameter of a file system.
type Param struct{ Key, Value string }

func (p Param) String() string {
	if p.Value == "" {
		return p.Key
	}
	return p.Key + "=" + p.Value
}

// Attrs are the attributes of a mount.
type Attrs struct {
	Set, Clear       uint64 // of the mount itself, MOUNT_ATTR_…
	RecSet, RecClear uint64 // of the whole tree
	// Implied are cleared as well, where the kernel lets them be: the flags of a
	// bind mount's source that config.json does not list.
	Implied uint64
	// First is a propagation for the whole tree before the next one: a clone of
	// the host's mounts ends to be their peer. 0 leaves it out.
	First          uint64
	Propagation    uint64 // MS_…, 0 leaves it
	PropagationRec bool
}

// Idmap is an id mapping of a mount. Without mappings it is that of the
// container's user namespace.
type Idmap struct {
	Recursive  bool
	UIDs, GIDs []specs.LinuxIDMapping
}

// Mount makes a new mount of a file system.
type Mount struct {
	containerStep
	Type, Source string
	Params       []Param
	Attrs        Attrs
	At           Place
	// Ordinary: the destination must be an ordinary directory, not a symlink:
	// masks and sysctls rely on what is mounted there (CVE-2019-19921).
	Ordinary     bool
	DestNofollow bool
	CopyUp       bool
	// Keep: later steps use the mount's descriptor.
	Keep bool
	// JoinedPID: a procfs for the pid namespace that the first process joins.
	JoinedPID bool
	// ModeFromTarget: without mode=, what is covered lends its permissions. A
	// mountpoint that is made for the mount has none to lend.
	ModeFromTarget bool
	// OrBind: the kernel may refuse the file system (a v2 cgroup mount in a
	// nested user namespace); then this path is bound instead.
	OrBind string
	Idmap  *Idmap
	// RootLabel is the SELinux context of its root, set by attribute.
	RootLabel string
}

// Bind attaches a clone of a tree that exists.
type Bind struct {
	containerStep
	Source       string
	Inside       bool // the source is in the root file system: earlier mounts show in it
	Answers      bool // its file system is the kernel's own, and never keeps anyone waiting
	Recursive    bool
	Attrs        Attrs
	At           Place
	SrcNofollow  bool
	DestNofollow bool
	CopySymlink  bool
	Idmap        *Idmap
	Keep         bool
}

// Remount changes the attributes of the mount at a destination.
type Remount struct {
	containerStep
	At     Place
	Attrs  Attrs
	Params []Param
	Kept   bool // the mount was kept: its descriptor is used
}

// Device makes a device node.
type Device struct {
	containerStep
	At           Place
	Type         string // c, b, p
	Major, Minor int64
	Mode         uint32
	UID, GID     uint32
	FromHost     string // bind this node of the host instead: mknod needs the initial user namespace
}

// Symlink makes a symlink of the default set.
type Symlink struct {
	containerStep
	Target string
	At     Place
	Force  bool // replace what is there
}

// Sysctl writes a kernel parameter of one of the new namespaces.
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

// Terminal makes the pseudo-terminal and the standard streams of it.
type Terminal struct {
	containerStep
	Console Place // /dev/console; the zero Place leaves it out (exec)
	Width   uint
	Height  uint
}

// Pivot makes the root file system the root and lets go of the old one.
type Pivot struct {
	containerStep
	Move bool // --no-pivot: move the mount over / and chroot
}

// ChangeRoot enters the root file system without a mount namespace.
type ChangeRoot struct{ containerStep }

// RootAttrs changes the root mount, at the end.
type RootAttrs struct {
	containerStep
	Attrs Attrs
}

// MakeCwd makes the working directory where it is missing, while the root can
// be written to.
type MakeCwd struct {
	containerStep
	Path string
}

// Hostname sets the name of the UTS namespace.
type Hostname struct {
	containerStep
	Name, Domain string
}

// Umask sets the file mode creation mask of the program.
type Umask struct {
	containerStep
	Mask uint32
}

// SecurityLabel prepares the label that the execve will take on.
type SecurityLabel struct {
	containerStep
	LSM   string // "apparmor" or "selinux"
	Label string
}

// NoNewPrivs sets no_new_privs.
type NoNewPrivs struct{ containerStep }

// Scheduling sets policy, I/O priority, NUMA policy.
type Scheduling struct {
	containerStep
	Scheduler *specs.Scheduler
	// OfClone: the runtime sets it on the process that is cloned for the
	// program: the policy forbids its owner to fork, or is lost by forking
	// (sched(7)).
	OfClone      bool
	IOPriority   *specs.LinuxIOPriority
	MemoryPolicy *specs.LinuxMemoryPolicy
}

// Personality sets the execution domain.
type Personality struct {
	containerStep
	Domain uint64
}

// Affinity sets the CPUs.
type Affinity struct {
	containerStep
	CPUs string // "" resets it to what the cgroup allows
}

// Rlimits sets resource limits, from the host, whose privilege raising takes.
type Rlimits struct {
	runtimeStep
	Limits []Rlimit
}

// Rlimit is one of them.
type Rlimit struct {
	Name       string
	Resource   int
	Soft, Hard uint64
}

// Seccomp loads the filter.
type Seccomp struct {
	containerStep
	Listener bool
	// Then are the sets without the CAP_SYS_ADMIN that loading took, nil where
	// it took none.
	Then *Capabilities
}

// Cwd changes the working directory and checks that it is in the container.
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

// Identity takes the user's ids.
type Identity struct {
	containerStep
	UID, GID   uint32
	Groups     []uint32
	SetGroups  bool // false where /proc/PID/setgroups says deny, or the groups are kept
	ChownStdio bool
	KeepCaps   bool
}

// Capabilities sets the other four sets.
type Capabilities struct {
	containerStep
	Effective, Permitted, Inheritable, Ambient uint64
}

// FindProgram looks args[0] up as execvp would, with the final credentials.
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

// CloseFiles marks all descriptors from First on close-on-exec.
type CloseFiles struct {
	containerStep
	First int
}

// CloneInto makes the process that executes the program, in the pid namespace
// that was joined: nobody there ever sees one with more than its final
// credentials (CVE-2016-9962).
type CloneInto struct{ containerStep }

// Gate waits for start.
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

// NamespaceNames names CLONE_NEW… flags as config.json does.
func NamespaceNames(flags uint64) string {
	var out []string
	for _, n := range nsNames {
		if flags&n.flag != 0 {
			out = append(out, n.name)
		}
	}
	return strings.Join(out, ", ")
}

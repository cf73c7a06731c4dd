package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// String returns the plan for people: one line for each step, with its side and
// the field that requests it.
func (p *Plan) String() string {
	var b strings.Builder
	for i, it := range p.Items {
		line := fmt.Sprintf("%3d  %-9s  %s", i+1, it.Step.Side(), it.Step)
		if it.Field != "" {
			line = fmt.Sprintf("%-110s  %s", line, it.Field)
		}
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
	}
	return b.String()
}

type jsonItem struct {
	Step  string `json:"step"`
	Side  Side   `json:"side"`
	Field string `json:"field,omitempty"`
	Text  string `json:"text"`
	Args  Step   `json:"args"`
}

// MarshalJSON returns the plan for programs: an array of steps, each with its
// name, side, field, text and arguments.
func (p *Plan) MarshalJSON() ([]byte, error) {
	out := make([]jsonItem, len(p.Items))
	for i, it := range p.Items {
		out[i] = jsonItem{Name(it.Step), it.Step.Side(), it.Field, it.Step.String(), it.Step}
	}
	return json.Marshal(out)
}

// Name returns the name of a step, for example "Mount".
func Name(s Step) string { return reflect.TypeOf(s).Name() }

func (s Spawn) String() string {
	out := "start the stub"
	if s.Namespaces != 0 {
		out += " as process 1 of a new " + NamespaceNames(s.Namespaces) + " namespace"
	}
	if s.Cgroup {
		out += ", born in the cgroup"
	}
	return out
}

func (s Harden) String() string {
	if s.MapsFirst {
		return "set umask 0; become undumpable after the id maps"
	}
	return "become undumpable, set umask 0"
}

func (Session) String() string { return "start a new session" }

func (s OOMScoreAdj) String() string {
	return "set the OOM score adjustment to " + strconv.Itoa(s.Value)
}

func (s JoinCgroups) String() string {
	return fmt.Sprintf("join %d cgroup v1 hierarchies", len(s.Files))
}
func (s EnterRootfs) String() string { return "enter " + s.Path }
func (s Join) String() string        { return "join the " + s.Type + " namespace " + s.Path }
func (s Unshare) String() string     { return "create namespaces: " + NamespaceNames(s.Flags) }
func (s Enter) String() string {
	return "join the container's namespaces: " + NamespaceNames(s.Flags)
}

func (s IDMaps) String() string {
	return "map uids " + idMap(s.UIDs) + " and gids " + idMap(s.GIDs)
}

func idMap(list []specs.LinuxIDMapping) string {
	var out []string
	for _, m := range list {
		out = append(out, fmt.Sprintf("%d:%d:%d", m.ContainerID, m.HostID, m.Size))
	}
	return strings.Join(out, ",")
}

func (s BecomeRoot) String() string {
	if s.UID != 0 || s.GID != 0 {
		return fmt.Sprintf("become user %d, group %d of the user namespace", s.UID, s.GID)
	}
	return "become root of the user namespace"
}

func (s TimeOffsets) String() string {
	var out []string
	for _, k := range sortedKeys(s.Offsets) {
		o := s.Offsets[k]
		out = append(out, fmt.Sprintf("%s %+d.%09d s", k, o.Secs, o.Nanosecs))
	}
	return "set clock offsets: " + strings.Join(out, ", ")
}

func (EnterTime) String() string { return "enter the time namespace" }

func (Fork) String() string             { return "fork: the child is process 1" }
func (s SessionKeyring) String() string { return "create the session keyring " + s.Name }
func (LoopbackUp) String() string       { return "bring lo up" }
func (s Propagation) String() string    { return "make every mount " + propagation(s.Flags) }
func (s AttachRootfs) String() string   { return "attach a clone of the mounts at " + s.Path }
func (s Hooks) String() string          { return "run the " + s.Kind + " hooks" }
func (s Pivot) String() string {
	if s.Move {
		return "move the root file system over / and change root"
	}
	return "pivot into the root file system and detach the old root"
}

func (Stage) String() string {
	return "attach clones of the mounts at " + StageTree + " and " + StageRoot
}
func (ChangeRoot) String() string      { return "change root" }
func (NoNewPrivs) String() string      { return "set no_new_privs" }
func (Gate) String() string            { return "wait for start" }
func (s Execute) String() string       { return "execute " + quoteAll(s.Args) }
func (s Umask) String() string         { return fmt.Sprintf("set umask %04o", s.Mask) }
func (s SecurityLabel) String() string { return s.LSM + " label " + s.Label + " at execve" }
func (s Personality) String() string   { return fmt.Sprintf("set personality %#x", s.Domain) }
func (s BoundingSet) String() string   { return fmt.Sprintf("limit the bounding set to %016x", s.Keep) }

func (s Home) String() string { return fmt.Sprintf("set HOME of uid %d from /etc/passwd", s.UID) }

func (s CloseFiles) String() string {
	text := fmt.Sprintf("close descriptors from %d on at execve", s.First)
	if s.LetIn {
		text += "; /proc/PID stays readable for the runtime"
	}
	return text
}

func (s FindProgram) String() string {
	if s.Path == "" || strings.Contains(s.Name, "/") {
		return "find " + strconv.Quote(s.Name)
	}
	return "find " + strconv.Quote(s.Name) + " in " + s.Path
}
func (s RootAttrs) String() string { return "make / " + s.Attrs.String() }

func (s Place) String() string { return s.Path }

func (s Mount) String() string {
	out := "mount " + s.Type
	if s.Source != "" && s.Source != s.Type {
		out += " " + s.Source
	}
	out += " on " + s.At.Path
	opts := options(s.Attrs, s.Params)
	if s.CopyUp {
		opts = append(opts, "tmpcopyup")
	}
	if s.Idmap != nil {
		opts = append(opts, "idmap")
	}
	if len(opts) > 0 {
		out += " (" + strings.Join(opts, ",") + ")"
	}
	return out
}

func (s Bind) String() string {
	if s.CopySymlink {
		return "copy the symlink " + s.Source + " to " + s.At.Path
	}
	out := "bind "
	if s.Recursive {
		out = "rbind "
	}
	out += s.Source + " on " + s.At.Path
	opts := options(s.Attrs, nil)
	if s.Idmap != nil {
		opts = append(opts, "idmap")
	}
	if len(opts) > 0 {
		out += " (" + strings.Join(opts, ",") + ")"
	}
	return out
}

func (s Remount) String() string {
	opts := options(s.Attrs, s.Params)
	if len(opts) == 0 {
		return "leave " + s.At.Path + " as it is"
	}
	return "make " + s.At.Path + " " + strings.Join(opts, ",")
}

// options returns a mount's options as config.json writes them.
func options(a Attrs, params []Param) []string {
	var out []string
	if text := a.String(); text != "" {
		out = append(out, text)
	}
	for _, p := range params {
		out = append(out, p.String())
	}
	return out
}

func (s Device) String() string {
	if s.FromHost != "" {
		return "bind the host's " + s.FromHost + " on " + s.At.Path
	}
	return fmt.Sprintf("create device %s (%s %d:%d, mode %04o, owner %d:%d)", s.At.Path, s.Type, s.Major, s.Minor, s.Mode, s.UID, s.GID)
}

func (s Symlink) String() string { return "create symlink " + s.At.Path + " -> " + s.Target }
func (s Sysctl) String() string {
	return "set sysctl " + strings.Join(s.Path, ".") + " = " + strconv.Quote(s.Value)
}
func (s Masks) String() string    { return "mask " + strings.Join(s.Paths, " ") }
func (s Readonly) String() string { return "make read-only " + strings.Join(s.Paths, " ") }

func (s Terminal) String() string {
	out := "open a pseudo-terminal"
	if s.Width|s.Height != 0 {
		out += fmt.Sprintf(" of %d columns, %d rows", s.Width, s.Height)
	}
	if s.Console.Path != "" {
		out += " and bind it on " + s.Console.Path
	}
	return out
}

func (s Hostname) String() string {
	out := "set hostname " + s.Name
	if s.Domain != "" {
		out += ", domain name " + s.Domain
	}
	return out
}

func (s Scheduling) String() string {
	switch {
	case s.Scheduler != nil:
		out := fmt.Sprintf("set scheduler %s, nice %d, priority %d", s.Scheduler.Policy, s.Scheduler.Nice, s.Scheduler.Priority)
		if s.OfClone {
			out += ", on the clone"
		}
		return out
	case s.IOPriority != nil:
		return fmt.Sprintf("set I/O priority %s %d", s.IOPriority.Class, s.IOPriority.Priority)
	}
	return fmt.Sprintf("set memory policy %s, nodes %s", s.MemoryPolicy.Mode, s.MemoryPolicy.Nodes)
}

func (s Affinity) String() string {
	if s.CPUs == "" {
		return "run on all CPUs of the cpuset"
	}
	return "run on CPUs " + s.CPUs
}

func (s Rlimits) String() string {
	var out []string
	for _, l := range s.Limits {
		out = append(out, fmt.Sprintf("%s %s:%s", l.Name, limit(l.Soft), limit(l.Hard)))
	}
	return "set limits " + strings.Join(out, ", ")
}

func limit(v uint64) string {
	if v == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(v, 10)
}

func (s Seccomp) String() string {
	if s.Listener {
		return "load the seccomp filter, with a listener"
	}
	return "load the seccomp filter"
}

func (s Cwd) String() string { return "enter the working directory " + s.Path }

func (s Identity) String() string {
	out := fmt.Sprintf("become user %d, group %d", s.UID, s.GID)
	if len(s.Groups) > 0 && s.SetGroups {
		out += fmt.Sprintf(", additional groups %v", s.Groups)
	}
	if !s.SetGroups {
		out += ", without a change of additional groups"
	}
	return out
}

func (s Capabilities) String() string {
	return fmt.Sprintf("set capabilities: effective %016x, permitted %016x, inheritable %016x, ambient %016x", s.Effective, s.Permitted, s.Inheritable, s.Ambient)
}

func quoteAll(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return strings.Join(out, " ")
}

var attrNames = []struct {
	bit       uint64
	set, gone string
}{
	{unix.MOUNT_ATTR_RDONLY, "ro", "rw"},
	{unix.MOUNT_ATTR_NOSUID, "nosuid", "suid"},
	{unix.MOUNT_ATTR_NODEV, "nodev", "dev"},
	{unix.MOUNT_ATTR_NOEXEC, "noexec", "exec"},
	{unix.MOUNT_ATTR_NOATIME, "noatime", ""},
	{unix.MOUNT_ATTR_STRICTATIME, "strictatime", ""},
	{unix.MOUNT_ATTR_NODIRATIME, "nodiratime", "diratime"},
	{unix.MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow", "symfollow"},
}

func (a Attrs) String() string {
	var out []string
	add := func(prefix string, set, clear uint64) {
		for _, n := range attrNames {
			switch {
			case set&n.bit != 0:
				out = append(out, prefix+n.set)
			case clear&n.bit != 0 && n.gone != "":
				out = append(out, prefix+n.gone)
			}
		}
	}
	add("", a.Set, a.Clear)
	add("r", a.RecSet, a.RecClear)
	if a.Propagation != 0 {
		flags := a.Propagation
		if a.PropagationRec {
			flags |= unix.MS_REC
		}
		out = append(out, propagation(flags))
	}
	return strings.Join(out, ",")
}

func propagation(flags uint64) string {
	name := ""
	switch {
	case flags&unix.MS_SHARED != 0:
		name = "shared"
	case flags&unix.MS_SLAVE != 0:
		name = "slave"
	case flags&unix.MS_PRIVATE != 0:
		name = "private"
	case flags&unix.MS_UNBINDABLE != 0:
		name = "unbindable"
	}
	if flags&unix.MS_REC != 0 {
		name = "r" + name
	}
	return name
}

func (ForkInto) String() string { return "fork into the cgroup" }

func (CloneInto) String() string { return "clone into the pid namespace, with the final credentials" }

func (s MakeCwd) String() string { return "create " + s.Path + " if it is missing" }

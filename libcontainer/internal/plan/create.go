package plan

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// Host holds the facts that a plan needs about the machine and the caller.
type Host struct {
	// Rootless: the runtime has no privilege outside the new user namespace.
	Rootless bool
	// InUserns: the runtime runs in a user namespace, where mknod fails.
	InUserns bool
	// KeepGroups: the kernel forbids setgroups in the container's user
	// namespace (user_namespaces(7), "setgroups").
	KeepGroups bool
	// Capabilities are those that the runtime can grant.
	Capabilities uint64
	// NoKcore: the kernel has no /proc/kcore.
	NoKcore bool
	// Unified: the container has a cgroup2 cgroup, in which the stub can start.
	Unified bool
	// Cgroups are the hierarchies that a mount of type cgroup shows.
	Cgroups []CgroupMount
	// CgroupTasks are the tasks files of the container's v1 cgroups.
	CgroupTasks []string
}

// CgroupMount is one hierarchy in a container's mount of type cgroup.
type CgroupMount struct {
	Name    string   // directory in the mount, "" for the mount itself
	Links   []string // symlinks to Name, in the same directory
	V2      bool
	Options string // superblock options
	Path    string // the container's cgroup, as a bind source
	Root    string // mountpoint of the whole hierarchy
}

// Request describes the container to create.
type Request struct {
	Spec         *specs.Spec
	ID           string
	Rootfs       string // absolute
	Bundle       string // absolute
	NoPivot      bool
	NoNewKeyring bool
	// Preserve is the number of descriptors from 3 on that the program keeps.
	Preserve int
	// NotifyDir contains the socket on which the program reports that it is
	// ready. It is "" without such a socket.
	NotifyDir string
	// Resctrl are the resctrl directories (groups) that the container joins.
	Resctrl []string
	Host    Host
}

// builder collects the steps, each with the field that requests it.
type builder struct {
	*Request
	linux specs.Linux
	items []Item
	err   error

	guided  bool            // see ExecRequest.Guided
	further bool            // not the container's first process: exec, hooks, live mounts
	late    []Item          // remounts to read-only, after all mountpoints exist
	spots   map[string]spot // by path
}

// spot holds the facts about a mount destination or a parent of one.
type spot struct {
	mounted bool // it is a mount destination
	fresh   bool // the mount contains only entries of the plan
	kept    bool // the stub keeps the mount's descriptor
}

func (b *builder) add(field string, s Step) {
	if b.items == nil {
		b.items = make([]Item, 0, usualSteps)
	}
	b.items = append(b.items, Item{field, s})
}

// usualSteps is enough for the configurations that engines write. A list that grows takes memory
// of several sizes, and each new size touches new pages.
const usualSteps = 64

func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Create plans the set-up of a container, up to the gate and the program after
// it. The caller has checked the configuration with specconv.Validate.
//
// docs/security.md, "The order of the set-up", shows the order as a table. Each
// line here gives the reason for its position.
func Create(r Request) (*Plan, error) {
	b := &builder{Request: &r, spots: map[string]spot{}}
	if r.Spec.Linux != nil {
		b.linux = *r.Spec.Linux
	}
	ns := b.namespaces()

	b.spawn(ns)                                             // outside the container's user namespace: its root gets no access to the stub's memory (mm->user_ns)
	b.add("", Harden{MapsFirst: b.mapsFirst(ns)})           // first, before the stub holds anything of value
	b.delegate(ns)                                          // before any program of the container can use the cgroup
	b.bandwidth()                                           // before any process can open a socket
	b.joinResctrl(r.Resctrl)                                // before the stub has children, which inherit the group
	b.cgroups()                                             // before namespaces: their memory is charged to the container
	b.add("", Affinity{})                                   // drops the runtime's affinity; the container's cpuset applies
	b.enterRootfs(ns, true)                                 // with the runtime's credentials: directories on the path may be closed to others
	b.enterNamespaces(ns)                                   // the user namespace first and alone, so that it owns the others
	b.enterRootfs(ns, false)                                // only here if a mount namespace is joined
	b.add("", Session{})                                    // while the runtime side is idle; before a terminal
	b.keyring()                                             // after the user namespace, whose quota counts the keyring
	b.network(ns)                                           //
	b.rootfs(ns)                                            // before the mounts in it
	b.mounts(ns)                                            // in the order of config.json, as the specification requires
	b.notify(ns)                                            // after the mounts: on top of them
	b.devices(ns)                                           // after the mount of /dev
	b.netDevices()                                          // before sysctls, some of which configure these devices
	b.sysctls()                                             // before /proc/sys becomes read-only
	b.hooks("prestart", "createRuntime", "createContainer") // while the old root exists, and before masks
	b.mountedTerminal(ns)                                   // needs devpts; before a read-only root
	b.makeCwd()                                             // while the root is writable
	b.lateReadonly()                                        // after the last mountpoint in those mounts
	b.readonlyPaths()                                       // before masks: a mask inside a read-only tree stays a mask
	b.maskedPaths()                                         //
	b.pivot(ns)                                             // after this, no path leads to the host
	b.plainTerminal(ns)                                     // the container's devpts is reachable only now
	b.rootAttrs(ns)                                         // after the last mountpoint
	b.hostname()                                            //
	b.process(ns)                                           // credentials go last; the gate and the program follow
	return &Plan{b.items}, b.err
}

// namespaces is /linux/namespaces as flags.
type namespaces struct {
	new    uint64 // to create
	joined []specs.LinuxNamespace
	join   uint64
	index  map[uint64]int // by flag, the index in /linux/namespaces
}

func (n *namespaces) has(flag uint64) bool { return (n.new|n.join)&flag != 0 }

func (b *builder) namespaces() *namespaces {
	ns := &namespaces{index: map[uint64]int{}}
	for i, n := range b.linux.Namespaces {
		flag, _ := specconv.NamespaceFlag(n.Type)
		ns.index[flag] = i
		if n.Path == "" {
			ns.new |= flag
			continue
		}
		ns.join |= flag
		ns.joined = append(ns.joined, n)
	}
	return ns
}

func (n *namespaces) field(flag uint64) string {
	return "/linux/namespaces/" + strconv.Itoa(n.index[flag])
}

// forks reports whether the first process is a child of the stub. A pid
// namespace that belongs to the container's user namespace is created inside
// that one, by unshare, and an unshared pid namespace holds the children only.
func (n *namespaces) forks() bool {
	return n.new&unix.CLONE_NEWPID != 0 && n.has(unix.CLONE_NEWUSER)
}

func (b *builder) spawn(ns *namespaces) {
	s := Spawn{Cgroup: b.Host.Unified}
	field := ""
	if ns.new&unix.CLONE_NEWPID != 0 && !ns.forks() {
		s.Namespaces = unix.CLONE_NEWPID
		field = ns.field(unix.CLONE_NEWPID)
	}
	b.add(field, s)
}

// mapsFirst reports whether the runtime side writes the id maps without
// privilege. The kernel then permits the write only while the stub is dumpable.
func (b *builder) mapsFirst(ns *namespaces) bool {
	return b.Host.Rootless && ns.new&unix.CLONE_NEWUSER != 0
}

func (b *builder) cgroups() {
	if p := b.Spec.Process; p != nil && p.OOMScoreAdj != nil {
		b.add("/process/oomScoreAdj", OOMScoreAdj{Value: *p.OOMScoreAdj})
	}
	b.joinCgroups()
}

func (b *builder) enterNamespaces(ns *namespaces) {
	// A joined namespace that belongs to the host's user namespace can only be
	// entered from there. One that belongs to a joined user namespace can only
	// be entered after that. The engine enters the user namespace and then
	// retries those that the kernel refused.
	for _, n := range ns.joined {
		if n.Type != specs.UserNamespace {
			b.join(ns, n)
		}
	}
	for _, n := range ns.joined {
		if n.Type == specs.UserNamespace {
			b.join(ns, n)
			b.becomeRoot()
		}
	}
	rest := ns.new
	if rest&unix.CLONE_NEWUSER != 0 {
		b.add(ns.field(unix.CLONE_NEWUSER), Unshare{Flags: unix.CLONE_NEWUSER})
		b.add("/linux/uidMappings", IDMaps{UIDs: b.linux.UIDMappings, GIDs: b.linux.GIDMappings})
		b.becomeRoot()
		rest &^= unix.CLONE_NEWUSER
	}
	if !ns.forks() {
		rest &^= unix.CLONE_NEWPID // Spawn creates it
	}
	if rest != 0 {
		b.add("/linux/namespaces", Unshare{Flags: rest})
	}
	b.subCgroup(ns)
	if len(b.linux.TimeOffsets) > 0 {
		b.add("/linux/timeOffsets", TimeOffsets{Offsets: b.linux.TimeOffsets}) // while the namespace has no process: the kernel accepts no offsets later
	}
	if ns.new&unix.CLONE_NEWTIME != 0 {
		b.add(ns.field(unix.CLONE_NEWTIME), EnterTime{})
	}
	if ns.forks() {
		b.add(ns.field(unix.CLONE_NEWPID), Fork{})
	}
}

func (b *builder) becomeRoot() {
	b.add("", BecomeRoot{UID: lowestID(b.linux.UIDMappings), GID: lowestID(b.linux.GIDMappings)})
}

// lowestID returns the lowest mapped id: 0 if root is mapped, or without a map.
func lowestID(list []specs.LinuxIDMapping) uint32 {
	var ids []uint32
	for _, m := range list {
		ids = append(ids, m.ContainerID)
	}
	if len(ids) == 0 {
		return 0
	}
	return slices.Min(ids)
}

func (b *builder) join(ns *namespaces, n specs.LinuxNamespace) {
	flag, _ := specconv.NamespaceFlag(n.Type)
	b.add(ns.field(flag)+"/path", Join{Type: string(n.Type), Path: n.Path, Flag: flag})
}

func (b *builder) keyring() {
	if b.NoNewKeyring {
		return
	}
	k := SessionKeyring{Name: "_ses." + b.ID}
	if p := b.Spec.Process; p != nil {
		k.Label = p.SelinuxLabel
	}
	b.add("", k)
}

// enterRootfs adds the step before the namespaces. Only if a mount namespace is
// joined does it come after them, because joining resets the working directory.
func (b *builder) enterRootfs(ns *namespaces, before bool) {
	if joins := ns.join&unix.CLONE_NEWNS != 0; before != joins {
		b.add("/root/path", EnterRootfs{Path: b.Rootfs})
	}
}

func (b *builder) network(ns *namespaces) {
	if ns.new&unix.CLONE_NEWNET != 0 {
		b.add(ns.field(unix.CLONE_NEWNET), LoopbackUp{})
	}
}

func (b *builder) rootfs(ns *namespaces) {
	if !ns.has(unix.CLONE_NEWNS) {
		return
	}
	// No mount made here may propagate to the host, whatever config.json
	// requests. RootAttrs later sets the container's own propagation, on its
	// own tree.
	b.add("", Propagation{Flags: unix.MS_SLAVE | unix.MS_REC})
	b.add("/root/path", AttachRootfs{
		Path: b.Rootfs, MaskSources: len(b.linux.MaskedPaths) > 0, Label: b.linux.MountLabel,
		HostNull: ns.has(unix.CLONE_NEWUSER) || b.Host.InUserns,
	})
}

func (b *builder) sysctls() {
	for _, key := range sortedKeys(b.linux.Sysctl) {
		p, err := specconv.SysctlPath(key)
		if err != nil {
			b.fail(err)
			continue
		}
		b.add("/linux/sysctl/"+escape(key), Sysctl{Path: p, Value: b.linux.Sysctl[key]})
	}
}

func (b *builder) hooks(kinds ...string) {
	for _, k := range kinds {
		if len(specconv.Hooks(b.Spec.Hooks, k)) > 0 {
			b.add("/hooks/"+k, Hooks{Kind: k})
		}
	}
}

// mountedTerminal adds a terminal that is also mounted on /dev/console.
func (b *builder) mountedTerminal(ns *namespaces) {
	if ns.has(unix.CLONE_NEWNS) {
		b.terminal(Terminal{Console: b.place("/dev/console")})
	}
}

// plainTerminal adds a terminal without that mount, for a container in the
// host's mount namespace.
func (b *builder) plainTerminal(ns *namespaces) {
	if !ns.has(unix.CLONE_NEWNS) {
		b.terminal(Terminal{})
	}
}

func (b *builder) terminal(t Terminal) {
	p := b.Spec.Process
	if p == nil || !p.Terminal {
		return
	}
	if p.ConsoleSize != nil {
		t.Width, t.Height = p.ConsoleSize.Width, p.ConsoleSize.Height
	}
	b.add("/process/terminal", t)
}

func (b *builder) readonlyPaths() {
	// A clone of the root cannot cover the root; rootAttrs makes it read-only.
	paths := slices.DeleteFunc(slices.Clone(b.linux.ReadonlyPaths), isRoot)
	if len(paths) > 0 {
		b.add("/linux/readonlyPaths", Readonly{Paths: paths})
	}
}

func (b *builder) maskedPaths() {
	if len(b.linux.MaskedPaths) > 0 {
		b.add("/linux/maskedPaths", Masks{Paths: once(b.linux.MaskedPaths)})
	}
}

// once returns the paths without duplicates.
func once(paths []string) []string {
	seen := make(map[string]bool, len(paths))
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		before := seen[clean(p)]
		seen[clean(p)] = true
		return before
	})
}

// clean is path.Clean for a path without "..". With ".." the file depends on the
// symlinks of the container, so the path stays as it is.
func clean(p string) string {
	if slices.Contains(strings.Split(p, "/"), "..") {
		return p
	}
	return path.Clean(p)
}

// makeCwd creates the working directory of a container whose root will be
// read-only. With a writable root, the step Cwd creates it.
func (b *builder) makeCwd() {
	if p := b.Spec.Process; p != nil && b.readonlyRoot() != "" && !isRoot(p.Cwd) {
		b.add("/process/cwd", MakeCwd{Path: p.Cwd})
	}
}

func (b *builder) lateReadonly() { b.items = append(b.items, b.late...) }

func (b *builder) pivot(ns *namespaces) {
	if ns.has(unix.CLONE_NEWNS) {
		b.add("/root/path", Pivot{Move: b.NoPivot})
		return
	}
	b.add("/root/path", ChangeRoot{})
}

func (b *builder) rootAttrs(ns *namespaces) {
	if !ns.has(unix.CLONE_NEWNS) {
		return
	}
	if b.linux.RootfsPropagation != "" {
		flags, _ := specconv.PropagationFlags(b.linux.RootfsPropagation)
		b.add("/linux/rootfsPropagation", RootAttrs{Attrs: Attrs{Propagation: flags &^ unix.MS_REC, PropagationRec: flags&unix.MS_REC != 0}})
	}
	if field := b.readonlyRoot(); field != "" {
		b.add(field, RootAttrs{Attrs: Attrs{Set: unix.MOUNT_ATTR_RDONLY}})
	}
}

// readonlyRoot returns the field that requests a read-only root, or "".
func (b *builder) readonlyRoot() string {
	if b.Spec.Root != nil && b.Spec.Root.Readonly {
		return "/root/readonly"
	}
	if i := slices.IndexFunc(b.linux.ReadonlyPaths, isRoot); i >= 0 {
		return "/linux/readonlyPaths/" + strconv.Itoa(i)
	}
	return ""
}

func isRoot(p string) bool { return clean(p) == "/" }

func (b *builder) hostname() {
	if b.Spec.Hostname != "" || b.Spec.Domainname != "" {
		field := given("/hostname", b.Spec.Hostname)
		if field == "" {
			field = "/domainname"
		}
		b.add(field, Hostname{Name: b.Spec.Hostname, Domain: b.Spec.Domainname})
	}
}

// place returns the location of p: in a fresh mount of this plan, or to be
// resolved in the root file system.
func (b *builder) place(p string) Place {
	p = path.Clean("/" + p)
	dir, name := path.Split(p)
	if dir = path.Clean(dir); b.spots[dir].fresh {
		return Place{Path: p, In: dir, Name: name, Below: true}
	}
	return Place{Path: p, Below: b.below(p)}
}

func (b *builder) below(p string) bool {
	for p != "/" {
		if p = path.Dir(p); b.spots[p].mounted {
			return true
		}
	}
	return false
}

// given returns field if config.json has a value for it, otherwise "".
func given(field, value string) string {
	if value == "" {
		return ""
	}
	return field
}

// escape escapes a key for a JSON pointer (RFC 6901).
func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}

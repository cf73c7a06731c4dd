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

// Host is what a plan has to know about the machine and the caller.
type Host struct {
	// Rootless: no privilege outside of the user namespace to be made.
	Rootless bool
	// InUserns: this process is in a user namespace, where mknod is refused.
	InUserns bool
	// KeepGroups: the kernel lets nobody change groups in the container's user
	// namespace (user_namespaces(7), "setgroups").
	KeepGroups bool
	// Capabilities are those the runtime has to give away.
	Capabilities uint64
	// NoKcore: the kernel has no /proc/kcore.
	NoKcore bool
	// Unified: there is a cgroup2 hierarchy to be born in.
	Unified bool
	// Cgroups are the mounts that a container's mount of type cgroup shows.
	Cgroups []CgroupMount
	// CgroupTasks are the tasks files of the container's v1 cgroups.
	CgroupTasks []string
}

// CgroupMount is one hierarchy in a container's mount of type cgroup.
type CgroupMount struct {
	Name    string   // directory in the mount, "" for all of it
	Links   []string // symlinks to Name beside it
	V2      bool
	Options string // of the superblock
	Path    string // the container's cgroup, as a source to bind
	Root    string // where all of the hierarchy is mounted
}

// Request is what is asked for.
type Request struct {
	Spec         *specs.Spec
	ID           string
	Rootfs       string // absolute
	Bundle       string // absolute
	NoPivot      bool
	NoNewKeyring bool
	// Preserve is how many descriptors from 3 on the program gets.
	Preserve int
	// NotifyDir has the socket on which the program says that it is ready, ""
	// where nobody wants to be told.
	NotifyDir string
	// Resctrl are the directories of resctrl that the container is put into.
	Resctrl []string
	Host    Host
}

// builder collects steps under the field that asks for them.
type builder struct {
	*Request
	linux specs.Linux
	items []Item
	err   error

	further bool            // exec: a further process, not the first
	late    []Item          // read-only, once everything is in place
	spots   map[string]spot // by path
}

// spot is what is known of the destination of a mount, or of what is above one.
type spot struct {
	mounted bool // it is a destination
	fresh   bool // the mount holds only what the plan put there
	kept    bool // the mount's descriptor is kept
}

func (b *builder) add(field string, s Step) { b.items = append(b.items, Item{field, s}) }

func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Create plans the set-up of a container, up to the gate and the program
// behind it. The configuration has passed specconv.Validate.
//
// The order is that of security.md in the documentation; each line says why it
// stands where it does.
func Create(r Request) (*Plan, error) {
	b := &builder{Request: &r, spots: map[string]spot{}}
	if r.Spec.Linux != nil {
		b.linux = *r.Spec.Linux
	}
	ns := b.namespaces()

	b.spawn(ns)                                             // outside the container: its memory is never the container's (mm->user_ns)
	b.add("", Harden{MapsFirst: b.mapsFirst(ns)})           // first, before there is anything to see
	b.delegate(ns)                                          // by the host, before there is anything in it
	b.bandwidth()                                           // likewise
	b.joinResctrl(r.Resctrl)                                // before it has children
	b.cgroups()                                             // before namespaces: what they cost is charged to the container
	b.add("", Affinity{})                                   // the runtime's is not the container's: the cpuset is
	b.enterRootfs(ns, true)                                 // with the runtime's credentials, through directories closed to others
	b.enterNamespaces(ns)                                   // user first and alone, so that the others belong to its root
	b.enterRootfs(ns, false)                                //
	b.add("", Session{})                                    // when the runtime side has nothing to do but wait; before a terminal
	b.keyring()                                             // after the user namespace, whose quota it is charged to
	b.network(ns)                                           //
	b.rootfs(ns)                                            // before the mounts in it
	b.mounts(ns)                                            // in config.json's order, which is the law
	b.notify(ns)                                            // over them
	b.devices(ns)                                           // after the mount of /dev
	b.netDevices()                                          // before sysctls, some of which are about them
	b.sysctls()                                             // before /proc/sys becomes read-only
	b.hooks("prestart", "createRuntime", "createContainer") // the old root is still there; masks are not yet
	b.mountedTerminal(ns)                                   // needs devpts; before a read-only root
	b.makeCwd()                                             // while the root can be written to
	b.lateReadonly()                                        // mountpoints in them are made by now
	b.readonlyPaths()                                       // before masks: a mask inside a read-only tree stays a mask
	b.maskedPaths()                                         //
	b.pivot(ns)                                             // nothing of the host is reachable from here on
	b.plainTerminal(ns)                                     // the container's devpts is at hand only now
	b.rootAttrs(ns)                                         // mountpoints are made by now
	b.hostname()                                            //
	b.process(ns)                                           // credentials go last, program and gate behind them
	return &Plan{b.items}, b.err
}

// namespaces is config.json's list as flags.
type namespaces struct {
	new    uint64 // to be made
	joined []specs.LinuxNamespace
	join   uint64
	index  map[uint64]int // place in /linux/namespaces
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

// forks tells whether the first process is a child of the stub: a pid
// namespace below a user namespace has to be made after that, by unshare, and
// holds only children.
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

// mapsFirst: the id maps are written by somebody whom the kernel lets write
// only to processes that could be looked into.
func (b *builder) mapsFirst(ns *namespaces) bool {
	return b.Host.Rootless && ns.new&unix.CLONE_NEWUSER != 0
}

func (b *builder) cgroups() {
	if p := b.Spec.Process; p != nil && p.OOMScoreAdj != nil {
		b.add("/process/oomScoreAdj", OOMScoreAdj{Value: *p.OOMScoreAdj})
	}
	if len(b.Host.CgroupTasks) > 0 {
		b.add(given("/linux/cgroupsPath", b.linux.CgroupsPath), JoinCgroups{Files: b.Host.CgroupTasks})
	}
}

func (b *builder) enterNamespaces(ns *namespaces) {
	// Joined ones that belong to the host's user namespace can only be entered
	// from there; those that belong to a joined user namespace only after it.
	// The engine retries the refused ones behind the user namespace.
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
		rest &^= unix.CLONE_NEWPID // made at birth
	}
	if rest != 0 {
		b.add("/linux/namespaces", Unshare{Flags: rest})
	}
	b.subCgroup(ns)
	if len(b.linux.TimeOffsets) > 0 {
		b.add("/linux/timeOffsets", TimeOffsets{Offsets: b.linux.TimeOffsets}) // while nobody is there yet
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

// lowestID is 0 where that is mapped.
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

// enterRootfs stands before the namespaces, but for a mount namespace that is
// joined: entering that one resets the working directory.
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
	// Nothing mounted here may travel to the host, whatever is asked for
	// inside: the container's own propagation is set on its own tree later.
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
	h := b.Spec.Hooks
	if h == nil {
		return
	}
	lists := map[string][]specs.Hook{
		"prestart": h.Prestart, "createRuntime": h.CreateRuntime, "createContainer": h.CreateContainer, //nolint:staticcheck // prestart is still used
	}
	for _, k := range kinds {
		if len(lists[k]) > 0 {
			b.add("/hooks/"+k, Hooks{Kind: k})
		}
	}
}

// mountedTerminal is a terminal that is mounted on /dev/console too.
func (b *builder) mountedTerminal(ns *namespaces) {
	if ns.has(unix.CLONE_NEWNS) {
		b.terminal(Terminal{Console: b.place("/dev/console")})
	}
}

// plainTerminal is for a container in the host's mount namespace, where
// nothing is mounted.
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
	// The root cannot be covered by a clone of itself, see rootAttrs.
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

// once leaves out the paths that are there already.
func once(paths []string) []string {
	seen := make(map[string]bool, len(paths))
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		before := seen[path.Clean(p)]
		seen[path.Clean(p)] = true
		return before
	})
}

// makeCwd is for a root that will be read-only; in others the step that enters
// the directory makes it.
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

// readonlyRoot is the field that asks for a read-only root, "" where none does.
func (b *builder) readonlyRoot() string {
	if b.Spec.Root != nil && b.Spec.Root.Readonly {
		return "/root/readonly"
	}
	if i := slices.IndexFunc(b.linux.ReadonlyPaths, isRoot); i >= 0 {
		return "/linux/readonlyPaths/" + strconv.Itoa(i)
	}
	return ""
}

func isRoot(p string) bool { return path.Clean(p) == "/" }

func (b *builder) hostname() {
	if b.Spec.Hostname != "" || b.Spec.Domainname != "" {
		field := given("/hostname", b.Spec.Hostname)
		if field == "" {
			field = "/domainname"
		}
		b.add(field, Hostname{Name: b.Spec.Hostname, Domain: b.Spec.Domainname})
	}
}

// place says where path is: in a mount that is known to be empty, or to be
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

// given is field where config.json has a value for it.
func given(field, value string) string {
	if value == "" {
		return ""
	}
	return field
}

// escape is for a key in a JSON pointer (RFC 6901).
func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}

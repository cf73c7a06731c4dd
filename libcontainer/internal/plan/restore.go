package plan

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// These are the places where the stub of a restore attaches the file systems for
// CRIU. CRIU creates its own directory of mounts in /tmp. The stub covers the host's
// /tmp with a tmpfs, so CRIU does not write there.
const (
	StageDir  = "/tmp"
	StageRoot = StageDir + "/root" // the root file system, without a mount on it
	StageTree = StageDir + "/tree" // the root file system with all mounts of the plan
)

// Stage attaches two clones of the root file system's tree at StageRoot and
// StageTree. CRIU takes the sources of the container's mounts from StageTree, where
// the mounts have their final flags, id maps and propagation.
type Stage struct {
	containerStep
	// Open lets other users reach the two places: the root of a user namespace is one.
	Open bool
}

// ProgramOf is the host's program that a restore executes: CRIU.
type ProgramOf struct {
	Path string
	Args []string
	Env  []string
}

// Restore plans the part of a restore that CRIU does not do, or does wrongly: the
// cgroups, the session keyring, the cgroup namespace, and the sources of all mounts
// in a mount namespace of their own. The last step executes CRIU with the
// privileges of the runtime. CRIU creates the other namespaces.
func Restore(r Request, criu ProgramOf) (*Plan, error) {
	b := &builder{Request: &r, spots: map[string]spot{}}
	if r.Spec.Linux != nil {
		b.linux = *r.Spec.Linux
	}
	asked := b.namespaces()
	ns := &namespaces{new: unix.CLONE_NEWNS | asked.new&unix.CLONE_NEWCGROUP, index: asked.index}
	inUserns := asked.new&unix.CLONE_NEWUSER != 0
	if inUserns {
		r.Host.InUserns = true // the container has the host's devices, as mounts
	}

	b.add("", Spawn{Cgroup: b.Host.Unified})     // in the runtime's pid namespace: CRIU creates the container's
	b.add("", Harden{})                          // as in Create
	b.delegate(ns)                               // before any process of the container can use the cgroup
	b.bandwidth()                                // before any process can open a socket
	b.joinResctrl(r.Resctrl)                     // before CRIU creates the container's processes, which inherit the group
	b.joinCgroups()                              // for the same reason
	b.add("", Affinity{})                        // drops the runtime's affinity
	b.enterRootfs(ns, true)                      // before the mount namespace, as in Create
	b.enterNamespaces(ns)                        // the container's processes inherit the cgroup namespace from CRIU
	b.add("", Session{})                         // signals for the caller's terminal must not reach CRIU
	b.keyring()                                  // the container's processes inherit it from CRIU
	b.rootfs(ns)                                 // up to Stage the steps are those of Create: CRIU clones the same mounts
	b.mounts(ns)                                 //
	b.notify(ns)                                 //
	b.devices(ns)                                //
	b.lateReadonly()                             //
	b.readonlyPaths()                            //
	b.maskedPaths()                              //
	b.rootAttrs(ns)                              //
	b.add("", Stage{Open: inUserns})             // after the last change to a mount
	b.add("", FindProgram{Name: criu.Path})      // on the host: the stub did not change its root
	b.add("", CloseFiles{First: 3 + b.Preserve}) // CRIU gets its descriptors and no others
	b.add("", Execute{Args: criu.Args, Env: criu.Env})
	b.mapByConfig(inUserns)
	return &Plan{b.items}, b.err
}

// mapByConfig gives the id-mapped mounts without mappings those of the new user namespace,
// in which the stub is not. A new file system needs none: CRIU mounts it in the namespace.
func (b *builder) mapByConfig(inUserns bool) {
	if !inUserns {
		return
	}
	for i, it := range b.items {
		switch s := it.Step.(type) {
		case Bind:
			if s.Idmap != nil && len(s.Idmap.UIDs) == 0 {
				s.Idmap = &Idmap{Recursive: s.Idmap.Recursive, UIDs: b.linux.UIDMappings, GIDs: b.linux.GIDMappings}
				b.items[i].Step = s
			}
		case Mount:
			if s.Idmap != nil && len(s.Idmap.UIDs) == 0 {
				s.Idmap = nil
				b.items[i].Step = s
			}
		}
	}
}

func (b *builder) joinCgroups() {
	if len(b.Host.CgroupTasks) > 0 {
		b.add(given("/linux/cgroupsPath", b.linux.CgroupsPath), JoinCgroups{Files: b.Host.CgroupTasks})
	}
}

// Unrestorable returns the first field of the configuration that Restore cannot
// honour, and the reason. Both are "" if there is none.
func Unrestorable(spec *specs.Spec) (field, why string) {
	if spec.Linux == nil {
		return "", ""
	}
	for _, n := range spec.Linux.Namespaces {
		switch {
		case n.Type == specs.MountNamespace && n.Path != "":
			return "/linux/namespaces", "a container in a joined mount namespace cannot be restored: CRIU makes a new one"
		case n.Type == specs.UserNamespace && n.Path != "":
			return "/linux/namespaces", "a container in a joined user namespace cannot be restored: CRIU makes a new one"
		case n.Path != "" && newUserns(spec):
			return "/linux/namespaces", "a container with a user namespace and a joined " + string(n.Type) + " namespace cannot be restored: CRIU would enter the latter with the privileges of the former"
		}
	}
	if len(spec.Linux.NetDevices) > 0 {
		return "/linux/netDevices", "a container with network devices of the host cannot be restored: CRIU cannot bring them"
	}
	return "", ""
}

func newUserns(spec *specs.Spec) bool {
	n := specconv.Namespace(spec, specs.UserNamespace)
	return n != nil && n.Path == ""
}

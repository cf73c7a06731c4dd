package plan

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// DelegateCgroup gives the container's cgroup to the user that the program
// runs as (config-linux.md, "Cgroup ownership").
type DelegateCgroup struct {
	runtimeStep
	UID uint32 // the host's number
}

// SubCgroup moves the stub into a cgroup below the container's, which is the
// user's to divide.
type SubCgroup struct {
	runtimeStep
	Path string // from the container's
	UID  uint32 // the host's number
}

func (s DelegateCgroup) String() string { return fmt.Sprintf("give the cgroup to user %d", s.UID) }

func (s SubCgroup) String() string {
	return fmt.Sprintf("move into the cgroup %s below it, and give that to user %d", s.Path, s.UID)
}

// delegate: the owner of a v1 cgroup could get at the host (cgroups(7),
// "Cgroups delegation"), and without a cgroup namespace of its own the
// container would be handed more than its own.
func (b *builder) delegate(ns *namespaces) {
	i := slices.IndexFunc(b.Spec.Mounts, writableCgroups)
	if i < 0 || !b.onlyUnified() || ns.new&unix.CLONE_NEWCGROUP == 0 {
		return
	}
	if uid, ok := b.owner(ns); ok {
		b.add("/mounts/"+strconv.Itoa(i), DelegateCgroup{UID: uid})
	}
}

// writableCgroups is the rule of config-linux.md for the mount that shows that
// the container is to manage its cgroup.
func writableCgroups(m specs.Mount) bool {
	o, err := specconv.ParseMountOptions(m.Type, m.Options)
	return err == nil && m.Source == "cgroup" && path.Clean(m.Destination) == "/sys/fs/cgroup" &&
		strings.HasPrefix(m.Type, "cgroup") && o.Set&unix.MOUNT_ATTR_RDONLY == 0
}

// onlyUnified tells a host without v1 hierarchies.
func (b *builder) onlyUnified() bool {
	v1 := func(c CgroupMount) bool { return !c.V2 }
	return len(b.Host.Cgroups) > 0 && !slices.ContainsFunc(b.Host.Cgroups, v1)
}

// owner is the host's number of the program's user; false where a user
// namespace is joined and the configuration does not say how it maps.
func (b *builder) owner(ns *namespaces) (uint32, bool) {
	uid := uint32(0)
	if b.Spec.Process != nil {
		uid = b.Spec.Process.User.UID
	}
	if !ns.has(unix.CLONE_NEWUSER) {
		return uid, true
	}
	for _, m := range b.linux.UIDMappings {
		if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
			return m.HostID + (uid - m.ContainerID), true
		}
	}
	return 0, false
}

// subCgroup stands behind the cgroup namespace, whose root is the container's
// cgroup and not the one below it.
func (b *builder) subCgroup(ns *namespaces) {
	sub := b.Spec.Annotations[specconv.DelegateCgroup]
	if sub == "" {
		return
	}
	pointer := "/annotations/" + specconv.DelegateCgroup
	uid, known := b.owner(ns)
	switch {
	case !b.onlyUnified():
		b.fail(specconv.Problems{{Pointer: pointer, Message: "needs cgroup v2: delegation is not safe with v1"}})
	case !known:
		b.fail(specconv.Problems{{Pointer: pointer, Message: "needs /linux/uidMappings, to know whom the cgroup is to belong to"}})
	default:
		b.add(pointer, SubCgroup{Path: strings.Trim(sub, "/"), UID: uid})
	}
}

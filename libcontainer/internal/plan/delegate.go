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

// DelegateCgroup gives the container's cgroup to the user of the container's
// program (config-linux.md, "Cgroup ownership").
type DelegateCgroup struct {
	runtimeStep
	UID uint32 // as the host numbers it
}

// SubCgroup moves the stub into a cgroup below the container's and gives that
// cgroup to the user, who may divide it.
type SubCgroup struct {
	runtimeStep
	Path string // relative to the container's cgroup
	UID  uint32 // as the host numbers it
}

func (s DelegateCgroup) String() string { return fmt.Sprintf("give the cgroup to user %d", s.UID) }

func (s SubCgroup) String() string {
	return fmt.Sprintf("move into the sub-cgroup %s and give it to user %d", s.Path, s.UID)
}

// delegate adds DelegateCgroup where that is safe. The owner of a v1 cgroup could
// attack the host (cgroups(7), "Cgroups delegation"). Without a cgroup namespace
// of its own, the container would control more than its own cgroup.
func (b *builder) delegate(ns *namespaces) {
	i := slices.IndexFunc(b.Spec.Mounts, writableCgroups)
	if i < 0 || !b.onlyUnified() || ns.new&unix.CLONE_NEWCGROUP == 0 {
		return
	}
	if uid, ok := b.owner(ns); ok {
		b.add("/mounts/"+strconv.Itoa(i), DelegateCgroup{UID: uid})
	}
}

// writableCgroups reports whether m is the mount that, by config-linux.md, shows
// that the container manages its own cgroup.
func writableCgroups(m specs.Mount) bool {
	o, err := specconv.ParseMountOptions(m.Type, m.Options)
	return err == nil && m.Source == "cgroup" && path.Clean(m.Destination) == "/sys/fs/cgroup" &&
		strings.HasPrefix(m.Type, "cgroup") && o.Set&unix.MOUNT_ATTR_RDONLY == 0
}

// onlyUnified reports whether all of the container's cgroups are v2.
func (b *builder) onlyUnified() bool {
	v1 := func(c CgroupMount) bool { return !c.V2 }
	return len(b.Host.Cgroups) > 0 && !slices.ContainsFunc(b.Host.Cgroups, v1)
}

// owner returns the program's user as the host numbers it. It returns false if
// the configuration has no mapping for that user, as with a joined user
// namespace.
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

// subCgroup adds SubCgroup. Its place is after the cgroup namespace, whose root
// has to be the container's cgroup, not the cgroup below it.
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

package plan

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

func (b *builder) mounts(ns *namespaces) { b.mountAll("/mounts", ns) }

// mountAll plans the mounts of the configuration. list is the JSON pointer of
// their list.
func (b *builder) mountAll(list string, ns *namespaces) {
	for i := range b.Spec.Mounts {
		m := &b.Spec.Mounts[i]
		field := list + "/" + strconv.Itoa(i)
		o, err := specconv.ParseMountOptions(m.Type, m.Options)
		if err != nil {
			b.fail(err)
			continue
		}
		b.mount(field, m, &o, ns)
	}
	b.labelMounts()
}

func (b *builder) mount(field string, m *specs.Mount, o *specconv.MountOptions, ns *namespaces) {
	at := b.place(InRootfs(b.Rootfs, m.Destination))
	if o.Remount {
		b.remount(field, o, at)
		return
	}
	if err := checkDestination(at.Path, m, o); err != nil {
		b.fail(fmt.Errorf("%s: %w", field, err))
		return
	}
	_, there := b.spots[at.Path]
	b.covers(at.Path)
	switch {
	case o.Bind || m.Type == "bind": // the option bind wins over any type
		b.add(field, b.bind(m, o, at))
	case m.Type == "cgroup" || m.Type == "cgroup2":
		b.cgroupMount(field, m, o, at, ns)
	default:
		b.add(field, b.newMount(field, m, o, at, ns, there))
	}
}

// InRootfs returns a destination without the path of the root file system.
// Some callers put that path in front.
func InRootfs(rootfs, destination string) string {
	clean := path.Clean(destination)
	if rest, ok := strings.CutPrefix(clean, rootfs); ok && rootfs != "/" && (rest == "" || rest[0] == '/') {
		return path.Clean("/" + rest)
	}
	return destination
}

// remount changes the mount that is at a place at this point of the list. Its ro
// or rw applies from here on: config.json has chosen the moment, so an earlier
// delayed remount to read-only is dropped.
func (b *builder) remount(field string, o *specconv.MountOptions, at Place) {
	if (o.Set|o.Clear)&unix.MOUNT_ATTR_RDONLY != 0 {
		b.late = slices.DeleteFunc(b.late, func(it Item) bool { return it.Step.(Remount).At.Path == at.Path })
	}
	s := Remount{At: at, Attrs: attrs(o), Params: params(o.Data), Kept: b.spots[at.Path].kept}
	if o.Set&unix.MOUNT_ATTR_RDONLY != 0 {
		spot := b.spots[at.Path]
		spot.fresh = false
		b.spots[at.Path] = spot
		if at.Path == "/dev" { // delayed: the device nodes come after all mounts and need a writable /dev
			late := s
			late.Attrs, late.Params = Attrs{Set: unix.MOUNT_ATTR_RDONLY}, nil
			b.late = append(b.late, Item{field, late})
			s.Attrs.Set &^= unix.MOUNT_ATTR_RDONLY
		}
	}
	b.add(field, s)
}

// lxcfs lists the files of /proc that a mount may cover. Most are files that
// lxcfs(1) and similar programs emulate for the container. The two kernel
// parameters are for checkpointing and FIPS. A runtime writes to none of them.
var lxcfs = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg", "/proc/slabinfo",
	"/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}

// InProc reports whether p is one of the few permitted destinations in procfs.
func InProc(p string) bool { return slices.Contains(lxcfs, p) }

// checkDestination refuses two kinds of mounts. The first would replace a part
// of procfs, through which the runtime writes labels and sysctls
// (CVE-2019-16884). The second covers the root. That has no effect on the
// container: path resolution starts at the root that pivot_root sets, not at a
// mount over it. The engine checks where a symlink leads.
func checkDestination(p string, m *specs.Mount, o *specconv.MountOptions) error {
	switch {
	case p == "/":
		return errors.New("/ cannot be a destination: root.path is mounted there")
	case strings.HasPrefix(p, "/proc/") && !InProc(p):
		return errors.New(strconv.Quote(p) + " cannot be mounted because it is inside /proc: only the files of lxcfs may be there")
	case p == "/proc" && m.Type != "proc" && !o.Bind && !o.Remount:
		return errors.New("a mount of type " + m.Type + " cannot be mounted because it is not of type proc, as only a procfs may be mounted on /proc")
	}
	return nil
}

// covers records a mount at p and forgets the facts about the places that it
// hides.
func (b *builder) covers(p string) {
	if !b.noteMount(p) {
		return
	}
	hidden := func(dir string) bool { return dir == p || strings.HasPrefix(dir, p+"/") }
	for dir, s := range b.spots {
		if hidden(dir) {
			b.spots[dir] = spot{mounted: s.mounted}
		}
	}
	b.late = slices.DeleteFunc(b.late, func(it Item) bool { return hidden(it.Step.(Remount).At.Path) })
}

// noteMount records a mount at p. It reports whether there was a mount at p or
// below p before.
func (b *builder) noteMount(p string) bool {
	s, before := b.spots[p]
	s.mounted = true
	b.spots[p] = s
	for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
		if _, known := b.spots[dir]; known {
			break
		}
		b.spots[dir] = spot{}
	}
	return before
}

func (b *builder) newMount(field string, m *specs.Mount, o *specconv.MountOptions, at Place, ns *namespaces, there bool) Mount {
	s := Mount{
		Type: m.Type, Source: m.Source, Attrs: attrs(o).single(), At: at, DestNofollow: o.DestNofollow,
		Params: append(flags(o.SuperSet), params(o.Data)...),
		Idmap:  idmap(m, o),
	}
	if len(m.UIDMappings) == 0 && ns.has(unix.CLONE_NEWUSER) {
		s.Idmap = nil // a mount made in the user namespace already has its mapping
	}
	fresh := false
	switch m.Type {
	case "proc":
		s.JoinedPID = ns.join&unix.CLONE_NEWPID != 0
		s.Ordinary, s.Keep = at.Path == "/proc", at.Path == "/proc"
	case "sysfs":
		s.Ordinary = at.Path == "/sys"
	case "devpts":
		s.Keep = at.Path == "/dev/pts"
	case "tmpfs":
		s.CopyUp = o.TmpCopyUp
		s.Keep = true
		fresh = !o.TmpCopyUp
		// As in runc, a tmpfs takes the mode of the directory that it covers.
		// Without one it has the kernel's default, which lets everybody write.
		s.ModeFromTarget = !hasParam(s.Params, "mode") && (at.In == "" || there)
		if s.Attrs.Set&unix.MOUNT_ATTR_RDONLY != 0 {
			b.fillFirst(field, &s)
		}
	}
	b.spots[at.Path] = spot{mounted: true, fresh: fresh, kept: s.Keep}
	return s
}

// fillFirst keeps a read-only tmpfs writable until its mountpoints exist.
func (b *builder) fillFirst(field string, s *Mount) {
	s.Attrs.Set &^= unix.MOUNT_ATTR_RDONLY
	s.Params = slices.DeleteFunc(s.Params, func(p Param) bool { return p.Key == "ro" })
	b.late = append(b.late, Item{field, Remount{At: s.At, Attrs: Attrs{Set: unix.MOUNT_ATTR_RDONLY}, Kept: true}})
}

func (b *builder) bind(m *specs.Mount, o *specconv.MountOptions, at Place) Bind {
	src := m.Source
	if !filepath.IsAbs(src) {
		src = filepath.Join(b.Bundle, src)
	}
	src = filepath.Clean(src)
	s := Bind{
		Source: src, Recursive: o.Rbind, Attrs: attrs(o), At: at, Inside: b.inside(src),
		SrcNofollow: o.SrcNofollow, DestNofollow: o.DestNofollow, CopySymlink: o.CopySymlink,
		Idmap: idmap(m, o),
	}
	b.propagate(&s.Attrs, s.Recursive)
	if !s.Recursive {
		s.Attrs = s.Attrs.single()
	}
	if o.Listed {
		s.Attrs.onlyListed()
	}
	return s
}

// propagate sets the propagation types of a bind mount's tree. The tree must
// cease to be a peer of the host's mounts, as a bind mount made inside the
// container would never be one. Then it takes the propagation that config.json
// requests. One call is enough if that applies to all mounts of the tree.
func (b *builder) propagate(a *Attrs, recursive bool) {
	first, rec := b.inherited()
	all := a.PropagationRec || !recursive
	switch {
	case first == 0:
	case a.Propagation == 0, a.Propagation == unix.MS_SLAVE:
		a.Propagation, a.PropagationRec = first, rec // MS_SLAVE leaves a private mount private
	case all && (a.Propagation == unix.MS_PRIVATE || a.Propagation == unix.MS_UNBINDABLE):
	default:
		a.First = first
	}
}

// onlyListed implies the clearing of flags that are not listed, as mount(2) does
// with MS_REMOUNT|MS_BIND. It covers the flags that forbid something. It covers
// the access time mode only if the options request another one. A diratime
// alone changes nothing.
func (a *Attrs) onlyListed() {
	const atime = unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME
	a.Implied = Forbidding
	if a.Clear&unix.MOUNT_ATTR__ATIME != 0 || a.Set&unix.MOUNT_ATTR_NODIRATIME != 0 {
		a.Implied |= atime
	} else {
		a.Clear &^= unix.MOUNT_ATTR_NODIRATIME
	}
	a.Implied &^= a.Set&^unix.MOUNT_ATTR__ATIME | a.Clear
}

// inside reports whether a source is in the root file system. The stub opens
// such a source in mount order, so that it shows the earlier mounts. The runtime
// side opens all other sources, where no mount of the container can mislead it.
func (b *builder) inside(src string) bool {
	return src == b.Rootfs || strings.HasPrefix(src, b.Rootfs+"/")
}

// inherited returns the propagation of a bind mount that requests none. It is
// that of the mounts that a bind mount made inside would have been copied from.
func (b *builder) inherited() (uint64, bool) {
	flags, ok := specconv.PropagationFlags(b.linux.RootfsPropagation)
	switch {
	case !ok || flags&unix.MS_SLAVE != 0 || flags&unix.MS_UNBINDABLE != 0:
		return unix.MS_SLAVE, true
	case flags&unix.MS_SHARED != 0:
		return 0, false // the mount stays a peer of its source
	}
	return unix.MS_PRIVATE, true
}

// cgroupMount plans a mount of the container's own cgroups: one cgroup2 file
// system, or a directory with one mount for each v1 hierarchy. A container without
// cgroups gets an empty, read-only directory, or the host's cgroups, read-only, if
// it is rootless.
func (b *builder) cgroupMount(field string, m *specs.Mount, o *specconv.MountOptions, at Place, ns *namespaces) {
	fresh := ns.has(unix.CLONE_NEWCGROUP)
	cgroups := b.Host.Cgroups
	if len(cgroups) == 0 && b.Host.Rootless {
		// As with runc, the container sees its place among the host's cgroups.
		b.add(field, Bind{Source: "/sys/fs/cgroup", Answers: true, Recursive: true, At: at, Attrs: Attrs{
			RecSet:      attrs(o).single().Set | unix.MOUNT_ATTR_RDONLY,
			Propagation: unix.MS_PRIVATE, PropagationRec: true,
		}})
		return
	}
	if len(cgroups) == 0 {
		b.add(field, Mount{Type: "tmpfs", Source: "tmpfs", Attrs: Attrs{Set: attrs(o).single().Set | unix.MOUNT_ATTR_RDONLY}, Params: []Param{{"mode", "555"}}, At: at})
		return
	}
	if c := cgroups[0]; len(cgroups) == 1 && c.Name == "" {
		if !fresh {
			// Without a cgroup namespace, /proc/self/cgroup shows the path from
			// the hierarchy's root, and that path must be valid in the mount. A
			// new mount would change the host's options (nsdelegate, …:
			// cgroup-v2.rst, "Mounting"), or wait 15 ms for that.
			c.Path = c.Root
		}
		b.cgroupHierarchy(field, m, o, at, c, fresh)
		return
	}
	set := attrs(o).single()
	dir := set
	dir.Set &^= unix.MOUNT_ATTR_RDONLY // until the directories exist
	b.add(field, Mount{Type: "tmpfs", Source: "tmpfs", Params: []Param{{"mode", "755"}}, Attrs: dir, At: at, Keep: true})
	for _, c := range cgroups {
		sub := Place{Path: path.Join(at.Path, c.Name), In: at.Path, Name: c.Name, Below: true}
		b.cgroupHierarchy(field, m, o, sub, c, fresh)
		for _, l := range c.Links {
			b.add(field, Symlink{Target: c.Name, At: Place{Path: path.Join(at.Path, l), In: at.Path, Name: l, Below: true}})
		}
	}
	b.spots[at.Path] = spot{mounted: true, kept: true}
	if set.Set&unix.MOUNT_ATTR_RDONLY != 0 {
		b.add(field, Remount{At: at, Attrs: Attrs{Set: unix.MOUNT_ATTR_RDONLY}, Kept: true})
	}
}

func (b *builder) cgroupHierarchy(field string, m *specs.Mount, o *specconv.MountOptions, at Place, c CgroupMount, fresh bool) {
	a := attrs(o)
	if !fresh {
		// Without a cgroup namespace, a new v1 mount would show all of the host's
		// cgroups.
		a.Propagation, a.PropagationRec = unix.MS_PRIVATE, true
		b.add(field, Bind{Source: c.Path, Answers: true, At: at, Attrs: a.single()})
		return
	}
	s := Mount{Type: "cgroup", Source: "cgroup", At: at, Attrs: a.single(), OrBind: c.Path}
	if c.V2 {
		s.Type = "cgroup2"
	}
	if c.Options != "" {
		s.Params = params(strings.Split(c.Options, ","))
	}
	b.add(field, s)
}

func attrs(o *specconv.MountOptions) Attrs {
	return Attrs{Set: o.Set, Clear: o.Clear, RecSet: o.RecSet, RecClear: o.RecClear, Propagation: o.Propagation, PropagationRec: o.PropagationRec}
}

// single returns the attributes for a mount with no mounts below it. Those for
// the tree become those of the mount, so one call sets both.
func (a Attrs) single() Attrs {
	a.Set, a.Clear = a.Set&^a.RecClear|a.RecSet, a.Clear&^a.RecSet|a.RecClear
	a.RecSet, a.RecClear, a.PropagationRec = 0, 0, false
	return a
}

func flags(keys []string) []Param {
	var out []Param
	for _, k := range keys {
		out = append(out, Param{Key: k})
	}
	return out
}

func params(data []string) []Param {
	var out []Param
	for _, d := range data {
		k, v, _ := strings.Cut(d, "=")
		out = append(out, Param{k, v})
	}
	return out
}

func hasParam(ps []Param, key string) bool {
	return slices.ContainsFunc(ps, func(p Param) bool { return p.Key == key })
}

func idmap(m *specs.Mount, o *specconv.MountOptions) *Idmap {
	if !o.Idmap && !o.Ridmap && len(m.UIDMappings) == 0 {
		return nil
	}
	return &Idmap{Recursive: o.Ridmap, UIDs: m.UIDMappings, GIDs: m.GIDMappings}
}

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

// mountAll plans the configuration's mounts; list is the pointer to them.
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
	case o.Bind || m.Type == "bind": // of whatever type it says it is
		b.add(field, b.bind(m, o, at))
	case m.Type == "cgroup" || m.Type == "cgroup2":
		b.cgroupMount(field, m, o, at, ns)
	default:
		b.add(field, b.newMount(field, m, o, at, ns, there))
	}
}

// InRootfs is a destination without the path of the root file system, which some
// put in front of it.
func InRootfs(rootfs, destination string) string {
	clean := path.Clean(destination)
	if rest, ok := strings.CutPrefix(clean, rootfs); ok && rootfs != "/" && (rest == "" || rest[0] == '/') {
		return path.Clean("/" + rest)
	}
	return destination
}

// remount changes the mount that is at a place by now. What it says of
// read-only holds from here on: config.json has chosen the moment.
func (b *builder) remount(field string, o *specconv.MountOptions, at Place) {
	if (o.Set|o.Clear)&unix.MOUNT_ATTR_RDONLY != 0 {
		b.late = slices.DeleteFunc(b.late, func(it Item) bool { return it.Step.(Remount).At.Path == at.Path })
	}
	s := Remount{At: at, Attrs: attrs(o), Params: params(o.Data), Kept: b.spots[at.Path].kept}
	if o.Set&unix.MOUNT_ATTR_RDONLY != 0 {
		spot := b.spots[at.Path]
		spot.fresh = false
		b.spots[at.Path] = spot
		if at.Path == "/dev" { // but devices come behind all mounts, and none of them could say so
			late := s
			late.Attrs, late.Params = Attrs{Set: unix.MOUNT_ATTR_RDONLY}, nil
			b.late = append(b.late, Item{field, late})
			s.Attrs.Set &^= unix.MOUNT_ATTR_RDONLY
		}
	}
	b.add(field, s)
}

// lxcfs is what may be mounted over single files of /proc: what lxcfs(1) and
// its like make up for the container, and two parameters of the kernel that
// checkpointing and FIPS need. None is written to by a runtime.
var lxcfs = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg", "/proc/slabinfo",
	"/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}

// InProc tells whether a destination is one of the few that may be in procfs.
func InProc(p string) bool { return slices.Contains(lxcfs, p) }

// checkDestination refuses mounts that would put something else in the place of a
// part of procfs, which labels and sysctls are written through
// (CVE-2019-16884), and mounts over the root, below which everything would
// still be: what paths begin at is chosen by pivot_root, not by what covers it.
// The engine checks what a symlink leads to.
func checkDestination(p string, m *specs.Mount, o *specconv.MountOptions) error {
	switch {
	case p == "/":
		return errors.New("nothing may be mounted on /, where root.path is")
	case strings.HasPrefix(p, "/proc/") && !InProc(p):
		return errors.New("nothing may be mounted in /proc but what lxcfs makes up for it: " + p)
	case p == "/proc" && m.Type != "proc" && !o.Bind && !o.Remount:
		return errors.New("only a procfs may be mounted on /proc, not " + m.Type)
	}
	return nil
}

// covers forgets what is hidden by a mount at p.
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

// noteMount tells whether there has been a mount at p before, or below.
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
		s.Idmap = nil // it is mounted in the user namespace, whose mapping it has therefore
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
		// As runc does: what a tmpfs covers lends it its mode, and one that
		// covers nothing has the kernel's, which lets everybody write.
		s.ModeFromTarget = !hasParam(s.Params, "mode") && (at.In == "" || there)
		if s.Attrs.Set&unix.MOUNT_ATTR_RDONLY != 0 {
			b.fillFirst(field, &s)
		}
	}
	b.spots[at.Path] = spot{mounted: true, fresh: fresh, kept: s.Keep}
	return s
}

// fillFirst has a read-only tmpfs be writable until its mountpoints are made.
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

// propagate has the tree of a bind mount end to be a peer of the host's mounts,
// as one that was made inside would never have been, before it becomes what
// config.json asks for. One call does where that says it of all mounts of the
// tree.
func (b *builder) propagate(a *Attrs, recursive bool) {
	first, rec := b.inherited()
	all := a.PropagationRec || !recursive
	switch {
	case first == 0:
	case a.Propagation == 0, a.Propagation == unix.MS_SLAVE:
		a.Propagation, a.PropagationRec = first, rec // a private mount stays private when it is made a slave
	case all && (a.Propagation == unix.MS_PRIVATE || a.Propagation == unix.MS_UNBINDABLE):
	default:
		a.First = first
	}
}

// onlyListed clears the flags that are not listed, as mount(2) does with
// MS_REMOUNT|MS_BIND: those that forbid something, and, if only where another
// is asked for, the access time mode. A diratime alone changes nothing.
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

// inside tells whether a source lies in the root file system. Those are opened
// in mount order by the stub, so that they show what was mounted before; all
// others by the runtime, where no mount of the container can mislead.
func (b *builder) inside(src string) bool {
	return src == b.Rootfs || strings.HasPrefix(src, b.Rootfs+"/")
}

// inherited is the propagation of a bind mount that asks for none: that of
// the mounts it would have been copied from, had it been made inside.
func (b *builder) inherited() (uint64, bool) {
	flags, ok := specconv.PropagationFlags(b.linux.RootfsPropagation)
	switch {
	case !ok || flags&unix.MS_SLAVE != 0 || flags&unix.MS_UNBINDABLE != 0:
		return unix.MS_SLAVE, true
	case flags&unix.MS_SHARED != 0:
		return 0, false // it stays a peer of its source
	}
	return unix.MS_PRIVATE, true
}

// cgroupMount is the container's own cgroups: one cgroup2 file system, or a
// directory with one mount a v1 hierarchy.
func (b *builder) cgroupMount(field string, m *specs.Mount, o *specconv.MountOptions, at Place, ns *namespaces) {
	fresh := ns.has(unix.CLONE_NEWCGROUP)
	cgroups := b.Host.Cgroups
	if len(cgroups) == 0 && b.Host.Rootless {
		// Without a cgroup of its own, the container sees where it is in the host's.
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
			// /proc/self/cgroup has the path from the hierarchy's root then, and it
			// has to lead there. A new mount would set the options of the host's
			// (nsdelegate, …: cgroup-v2.rst, "Mounting"), or wait for that, 15 ms.
			c.Path = c.Root
		}
		b.cgroupHierarchy(field, m, o, at, c, fresh)
		return
	}
	set := attrs(o).single()
	dir := set
	dir.Set &^= unix.MOUNT_ATTR_RDONLY // until the directories are made
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
		// Without a cgroup namespace a new mount of v1 would show all of the host's.
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

// single is for a mount that has nothing below it yet: what is asked for the
// tree is asked for the mount, with one call.
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

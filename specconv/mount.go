package specconv

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// MountOptions is what the options of one mount ask for, in the vocabulary of
// the new mount API: attributes for mount_setattr(2) and fsmount(2), keys for
// fsconfig(2).
//
// Where options contradict each other the last one wins, as in mount(8).
type MountOptions struct {
	// MOUNT_ATTR_* bits to set and to clear on the mount itself. The access
	// time mode is a field of three values (MOUNT_ATTR__ATIME), not a bit: where
	// an option names one, Set has its value and Clear has the whole mask, which
	// is what mount_setattr(2) wants; where none does, neither has any of it.
	// Set alone is the attr_flags of fsmount(2).
	Set, Clear uint64
	// The same for the recursive options (rro, rnosuid, ...), to be applied with
	// AT_RECURSIVE.
	RecSet, RecClear uint64
	// Listed: there is an option, other than the recursive ones, that mount(2) has
	// a flag for, or that clears one. A bind mount then has the flags that are
	// listed and no others; without such an option it has those of its source.
	Listed bool
	// Keys for FSCONFIG_SET_FLAG. SuperSet has those that turn a flag of the
	// superblock on (ro, sync, dirsync, mand, lazytime), SuperClear those that
	// turn one off (rw, async, nomand, nolazytime). A new superblock starts with
	// all of them off, so SuperClear matters to a remount only.
	//
	// silent, loud, iversion and noiversion have no key: fsconfig(2) has no
	// name for them, the first two only quieten the kernel's log, and file
	// systems with a change counter keep it always. They are accepted.
	SuperSet, SuperClear []string
	// Bind: a bind mount (bind, rbind, or the type "bind"). Rbind: with
	// everything below.
	Bind, Rbind bool
	// Propagation is one of MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0;
	// PropagationRec: for everything below as well.
	Propagation    uint64
	PropagationRec bool
	// Remount: change the mount that is already at the destination.
	Remount bool
	// TmpCopyUp: fill the tmpfs with what it covers.
	TmpCopyUp bool
	// Idmap, Ridmap: apply an id mapping to the mount, or to the whole tree.
	Idmap, Ridmap bool
	// SrcNofollow: a source that is a symlink is itself mounted. DestNofollow: a
	// destination that is a symlink is itself covered. CopySymlink: a source that
	// is a symlink is copied to the destination, not mounted.
	SrcNofollow, DestNofollow, CopySymlink bool
	// Data is for the file system: "key=value" or "flag", one an element, in
	// order.
	Data []string
}

// optionKind says which part of MountOptions an option changes.
type optionKind uint8

const (
	ignored     optionKind = iota
	attrSet                // value: the attribute
	attrClear              // value: the attribute
	atime                  // value: the access time mode asked for
	noAtime                // value: the access time mode not wanted
	superSet               // opposite: the key that turns the flag off
	superClear             // opposite: the key that turns the flag on
	propagation            // value: the MS_* flag
	special                // handled by name
	specialRec             // the same, with a recursive form
)

// recursive tells the kinds with a second option that has "r" before the name
// and means the whole tree.
func (k optionKind) recursive() bool {
	switch k {
	case attrSet, attrClear, atime, noAtime, propagation, specialRec:
		return true
	}
	return false
}

// option is one row of the table of options.
type option struct {
	name     string
	kind     optionKind
	value    uint64
	opposite string // for the superblock
}

// mountOptions is config.md, "Linux mount options", and three options of crun.
// The recursive forms are not listed. A name that is not here belongs to the
// file system.
var mountOptions = [...]option{
	{"defaults", ignored, 0, ""},
	{"silent", ignored, 0, ""},
	{"loud", ignored, 0, ""},
	{"iversion", ignored, 0, ""},
	{"noiversion", ignored, 0, ""},

	{"ro", attrSet, unix.MOUNT_ATTR_RDONLY, "rw"},
	{"rw", attrClear, unix.MOUNT_ATTR_RDONLY, "ro"},
	{"nosuid", attrSet, unix.MOUNT_ATTR_NOSUID, ""},
	{"suid", attrClear, unix.MOUNT_ATTR_NOSUID, ""},
	{"nodev", attrSet, unix.MOUNT_ATTR_NODEV, ""},
	{"dev", attrClear, unix.MOUNT_ATTR_NODEV, ""},
	{"noexec", attrSet, unix.MOUNT_ATTR_NOEXEC, ""},
	{"exec", attrClear, unix.MOUNT_ATTR_NOEXEC, ""},
	{"nodiratime", attrSet, unix.MOUNT_ATTR_NODIRATIME, ""},
	{"diratime", attrClear, unix.MOUNT_ATTR_NODIRATIME, ""},
	{"nosymfollow", attrSet, unix.MOUNT_ATTR_NOSYMFOLLOW, ""},
	{"symfollow", attrClear, unix.MOUNT_ATTR_NOSYMFOLLOW, ""},

	{"noatime", atime, unix.MOUNT_ATTR_NOATIME, ""},
	{"atime", noAtime, unix.MOUNT_ATTR_NOATIME, ""},
	{"relatime", atime, unix.MOUNT_ATTR_RELATIME, ""},
	{"norelatime", noAtime, unix.MOUNT_ATTR_RELATIME, ""},
	{"strictatime", atime, unix.MOUNT_ATTR_STRICTATIME, ""},
	{"nostrictatime", noAtime, unix.MOUNT_ATTR_STRICTATIME, ""},

	{"sync", superSet, 0, "async"},
	{"async", superClear, 0, "sync"},
	{"lazytime", superSet, 0, "nolazytime"},
	{"nolazytime", superClear, 0, "lazytime"},
	{"mand", superSet, 0, "nomand"},
	{"nomand", superClear, 0, "mand"},
	{"dirsync", superSet, 0, ""}, // mount(8) has no opposite

	{"shared", propagation, unix.MS_SHARED, ""},
	{"slave", propagation, unix.MS_SLAVE, ""},
	{"private", propagation, unix.MS_PRIVATE, ""},
	{"unbindable", propagation, unix.MS_UNBINDABLE, ""},

	{"bind", specialRec, 0, ""},
	{"idmap", specialRec, 0, ""},
	{"remount", special, 0, ""},
	{"tmpcopyup", special, 0, ""},
	{"src-nofollow", special, 0, ""},
	{"dest-nofollow", special, 0, ""},
	{"copy-symlink", special, 0, ""},
}

// findOption looks an option up; rec tells that it is the recursive form.
func findOption(name string) (o option, rec, known bool) {
	for i := range mountOptions {
		if mountOptions[i].name == name {
			return mountOptions[i], false, true
		}
	}
	if base, ok := strings.CutPrefix(name, "r"); ok {
		for i := range mountOptions {
			if o := &mountOptions[i]; o.name == base && o.kind.recursive() {
				return *o, true, true
			}
		}
	}
	return option{}, false, false
}

// fstabOnly tells the words of mount(8) that are about /etc/fstab and never
// reach a file system.
func fstabOnly(name string) bool {
	switch name {
	case "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group":
		return true
	}
	return strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-")
}

// KnownMountOptions lists the options that are not handed to the file system,
// sorted, for the features document.
func KnownMountOptions() []string {
	names := make([]string, 0, 2*len(mountOptions))
	for _, o := range mountOptions {
		names = append(names, o.name)
		if o.kind.recursive() {
			names = append(names, "r"+o.name)
		}
	}
	sort.Strings(names)
	return names
}

// ParseMountOptions translates the options of a mount of type typ. An option
// that is neither in the specification nor about /etc/fstab is data for the
// file system; one element may hold several, separated by commas, as mount(2)
// would have split them.
func ParseMountOptions(typ string, opts []string) (MountOptions, error) {
	m := MountOptions{Bind: typ == "bind"}
	for _, name := range opts {
		if strings.IndexByte(name, 0) >= 0 {
			return m, fmt.Errorf("option %q has a NUL character", name)
		}
		o, rec, known := findOption(name)
		switch {
		case known:
			m.apply(o, rec)
		case fstabOnly(name):
		default:
			m.Data = append(m.Data, splitData(name)...)
		}
	}
	return m, m.check(typ)
}

func (m *MountOptions) apply(o option, rec bool) {
	set, clear := &m.Set, &m.Clear
	if rec {
		set, clear = &m.RecSet, &m.RecClear
	}
	switch o.kind {
	case attrSet:
		*set, *clear = *set|o.value, *clear&^o.value
	case attrClear:
		*set, *clear = *set&^o.value, *clear|o.value
	case atime:
		*set, *clear = *set&^unix.MOUNT_ATTR__ATIME|o.value, *clear|unix.MOUNT_ATTR__ATIME
	case noAtime:
		if rec {
			dropAtimeBelow(set, clear, o.value)
		} else {
			dropAtime(set, clear, o.value)
		}
	case propagation:
		m.PropagationRec = rec || m.PropagationRec && m.Propagation == o.value
		m.Propagation = o.value
	case special, specialRec:
		m.special(o.name, rec)
	}
	if !rec {
		m.super(o)
		m.Listed = m.Listed || o.listed()
	}
}

// listed tells the options that mount(2) has a flag for, and their opposites.
func (o option) listed() bool {
	switch o.kind {
	case propagation, special, specialRec:
		return false
	}
	return true
}

// dropAtime takes back an earlier choice of mode. Without one, mount(2) leaves
// the mode of a mount that exists as it is.
func dropAtime(set, clear *uint64, mode uint64) {
	if *clear&unix.MOUNT_ATTR__ATIME != 0 && *set&unix.MOUNT_ATTR__ATIME == mode {
		*set, *clear = *set&^unix.MOUNT_ATTR__ATIME, *clear&^unix.MOUNT_ATTR__ATIME
	}
}

// dropAtimeBelow makes the mode of a tree one that is not mode. mount_setattr(2)
// has no "none of them": the rest is the kernel's default, relatime, unless an
// earlier option chose a third mode.
func dropAtimeBelow(set, clear *uint64, mode uint64) {
	chosen := *clear&unix.MOUNT_ATTR__ATIME != 0
	if !chosen || *set&unix.MOUNT_ATTR__ATIME == mode {
		*set, *clear = *set&^unix.MOUNT_ATTR__ATIME|unix.MOUNT_ATTR_RELATIME, *clear|unix.MOUNT_ATTR__ATIME
	}
}

// super records what the option means for the superblock: ro and rw are
// attributes of the mount and flags of the superblock, as in mount(2).
func (m *MountOptions) super(o option) {
	on, off := &m.SuperSet, &m.SuperClear
	switch {
	case o.kind != superSet && o.kind != superClear && o.opposite == "":
		return
	case o.kind == superClear || o.kind == attrClear:
		on, off = off, on
	}
	if !slices.Contains(*on, o.name) {
		*on = append(*on, o.name)
	}
	*off = slices.DeleteFunc(*off, func(key string) bool { return key == o.opposite })
}

func (m *MountOptions) special(name string, rec bool) {
	switch name {
	case "bind":
		m.Bind, m.Rbind = true, m.Rbind || rec
	case "idmap":
		m.Idmap, m.Ridmap = m.Idmap || !rec, m.Ridmap || rec
	case "remount":
		m.Remount = true
	case "tmpcopyup":
		m.TmpCopyUp = true
	case "src-nofollow":
		m.SrcNofollow = true
	case "dest-nofollow":
		m.DestNofollow = true
	case "copy-symlink":
		m.CopySymlink = true
	}
}

// check finds options that cannot be met together.
func (m *MountOptions) check(typ string) error {
	switch {
	case m.Bind && len(m.Data) > 0:
		return fmt.Errorf("bind mounts cannot have any filesystem-specific options applied: %q", strings.Join(m.Data, ","))
	case m.TmpCopyUp && (typ != "tmpfs" || m.Bind):
		return fmt.Errorf("tmpcopyup is for a tmpfs, not for type %q", typ)
	case m.Idmap && m.Ridmap:
		return fmt.Errorf("idmap and ridmap contradict each other")
	case m.Remount && (m.Idmap || m.Ridmap):
		return fmt.Errorf("a mount cannot get an id mapping by remount")
	case m.Remount && m.Rbind:
		return fmt.Errorf("remount and rbind contradict each other: a remount changes one mount")
	case (m.SrcNofollow || m.CopySymlink) && !m.Bind:
		return fmt.Errorf("src-nofollow and copy-symlink are for bind mounts")
	}
	return nil
}

// splitData splits at the commas that are not escaped by a backslash, nor
// inside the double quotes of an SELinux context. Those quotes are mount(8)'s
// and are not part of the value; all others are, as in a path.
func splitData(s string) []string {
	var out []string
	var b strings.Builder
	quoted, escaped := false, false
	flush := func() {
		if b.Len() > 0 {
			out = append(out, b.String())
		}
		b.Reset()
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' && !escaped && (quoted || isContext(b.String())):
			quoted = !quoted
		case c == ',' && !quoted && !escaped:
			flush()
		default:
			b.WriteByte(c)
		}
		escaped = s[i] == '\\' && !escaped
	}
	flush()
	return out
}

// isContext tells the beginnings of the options with an SELinux context
// (mount(8)), up to the value.
func isContext(s string) bool {
	switch s {
	case "context=", "fscontext=", "defcontext=", "rootcontext=":
		return true
	}
	return false
}

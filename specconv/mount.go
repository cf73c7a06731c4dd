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
	attrSet optionKind = iota
	attrClear
	attrAtime   // value: the mode asked for
	attrNoAtime // value: the mode that is not wanted
	superSet
	superClear
	propagation
	special // handled by name
	ignored
)

// option is one row of the table of options.
type option struct {
	kind  optionKind
	value uint64
	super string // the opposite key, for superSet and superClear
	rec   bool
}

// mountOptions is config.md, "Linux mount options", and three options of crun.
// A name that is not here belongs to the file system.
var mountOptions = map[string]option{
	"defaults": {kind: ignored},
	"silent":   {kind: ignored}, "loud": {kind: ignored},
	"iversion": {kind: ignored}, "noiversion": {kind: ignored},

	"ro":     {kind: attrSet, value: unix.MOUNT_ATTR_RDONLY, super: "rw"},
	"rw":     {kind: attrClear, value: unix.MOUNT_ATTR_RDONLY, super: "ro"},
	"nosuid": {kind: attrSet, value: unix.MOUNT_ATTR_NOSUID}, "suid": {kind: attrClear, value: unix.MOUNT_ATTR_NOSUID},
	"nodev": {kind: attrSet, value: unix.MOUNT_ATTR_NODEV}, "dev": {kind: attrClear, value: unix.MOUNT_ATTR_NODEV},
	"noexec": {kind: attrSet, value: unix.MOUNT_ATTR_NOEXEC}, "exec": {kind: attrClear, value: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime": {kind: attrSet, value: unix.MOUNT_ATTR_NODIRATIME}, "diratime": {kind: attrClear, value: unix.MOUNT_ATTR_NODIRATIME},
	"nosymfollow": {kind: attrSet, value: unix.MOUNT_ATTR_NOSYMFOLLOW}, "symfollow": {kind: attrClear, value: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"noatime": {kind: attrAtime, value: unix.MOUNT_ATTR_NOATIME}, "atime": {kind: attrNoAtime, value: unix.MOUNT_ATTR_NOATIME},
	"relatime": {kind: attrAtime, value: unix.MOUNT_ATTR_RELATIME}, "norelatime": {kind: attrNoAtime, value: unix.MOUNT_ATTR_RELATIME},
	"strictatime": {kind: attrAtime, value: unix.MOUNT_ATTR_STRICTATIME}, "nostrictatime": {kind: attrNoAtime, value: unix.MOUNT_ATTR_STRICTATIME},

	"rro": {kind: attrSet, value: unix.MOUNT_ATTR_RDONLY, rec: true}, "rrw": {kind: attrClear, value: unix.MOUNT_ATTR_RDONLY, rec: true},
	"rnosuid": {kind: attrSet, value: unix.MOUNT_ATTR_NOSUID, rec: true}, "rsuid": {kind: attrClear, value: unix.MOUNT_ATTR_NOSUID, rec: true},
	"rnodev": {kind: attrSet, value: unix.MOUNT_ATTR_NODEV, rec: true}, "rdev": {kind: attrClear, value: unix.MOUNT_ATTR_NODEV, rec: true},
	"rnoexec": {kind: attrSet, value: unix.MOUNT_ATTR_NOEXEC, rec: true}, "rexec": {kind: attrClear, value: unix.MOUNT_ATTR_NOEXEC, rec: true},
	"rnodiratime": {kind: attrSet, value: unix.MOUNT_ATTR_NODIRATIME, rec: true}, "rdiratime": {kind: attrClear, value: unix.MOUNT_ATTR_NODIRATIME, rec: true},
	"rnosymfollow": {kind: attrSet, value: unix.MOUNT_ATTR_NOSYMFOLLOW, rec: true}, "rsymfollow": {kind: attrClear, value: unix.MOUNT_ATTR_NOSYMFOLLOW, rec: true},
	"rnoatime": {kind: attrAtime, value: unix.MOUNT_ATTR_NOATIME, rec: true}, "ratime": {kind: attrNoAtime, value: unix.MOUNT_ATTR_NOATIME, rec: true},
	"rrelatime": {kind: attrAtime, value: unix.MOUNT_ATTR_RELATIME, rec: true}, "rnorelatime": {kind: attrNoAtime, value: unix.MOUNT_ATTR_RELATIME, rec: true},
	"rstrictatime": {kind: attrAtime, value: unix.MOUNT_ATTR_STRICTATIME, rec: true}, "rnostrictatime": {kind: attrNoAtime, value: unix.MOUNT_ATTR_STRICTATIME, rec: true},

	"sync": {kind: superSet, super: "async"}, "async": {kind: superClear, super: "sync"},
	"lazytime": {kind: superSet, super: "nolazytime"}, "nolazytime": {kind: superClear, super: "lazytime"},
	"mand": {kind: superSet, super: "nomand"}, "nomand": {kind: superClear, super: "mand"},
	"dirsync": {kind: superSet}, // mount(8) has no opposite

	"shared": {kind: propagation, value: unix.MS_SHARED}, "rshared": {kind: propagation, value: unix.MS_SHARED, rec: true},
	"slave": {kind: propagation, value: unix.MS_SLAVE}, "rslave": {kind: propagation, value: unix.MS_SLAVE, rec: true},
	"private": {kind: propagation, value: unix.MS_PRIVATE}, "rprivate": {kind: propagation, value: unix.MS_PRIVATE, rec: true},
	"unbindable": {kind: propagation, value: unix.MS_UNBINDABLE}, "runbindable": {kind: propagation, value: unix.MS_UNBINDABLE, rec: true},

	"bind": {kind: special}, "rbind": {kind: special}, "remount": {kind: special},
	"tmpcopyup": {kind: special}, "idmap": {kind: special}, "ridmap": {kind: special},
	"src-nofollow": {kind: special}, "dest-nofollow": {kind: special}, "copy-symlink": {kind: special},
}

// fstabOnly are words of mount(8) that are about /etc/fstab and never reach a
// file system.
var fstabOnly = map[string]bool{
	"auto": true, "noauto": true, "nofail": true, "_netdev": true,
	"user": true, "nouser": true, "users": true, "owner": true, "group": true,
}

// KnownMountOptions lists the options that are not handed to the file system,
// sorted, for the features document.
func KnownMountOptions() []string {
	names := make([]string, 0, len(mountOptions))
	for name := range mountOptions {
		names = append(names, name)
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
		o, known := mountOptions[name]
		switch {
		case known:
			m.apply(name, o)
		case fstabOnly[name] || strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-"):
		default:
			m.Data = append(m.Data, splitData(name)...)
		}
	}
	return m, m.check(typ, opts)
}

func (m *MountOptions) apply(name string, o option) {
	set, clear := &m.Set, &m.Clear
	if o.rec {
		set, clear = &m.RecSet, &m.RecClear
	}
	switch o.kind {
	case attrSet:
		*set, *clear = *set|o.value, *clear&^o.value
		if o.super != "" {
			m.super(&m.SuperSet, name, &m.SuperClear, o.super)
		}
	case attrClear:
		*set, *clear = *set&^o.value, *clear|o.value
		if o.super != "" {
			m.super(&m.SuperClear, name, &m.SuperSet, o.super)
		}
	case attrAtime:
		*set, *clear = *set&^unix.MOUNT_ATTR__ATIME|o.value, *clear|unix.MOUNT_ATTR__ATIME
	case attrNoAtime:
		m.dropAtime(set, clear, o.value)
	case superSet:
		m.super(&m.SuperSet, name, &m.SuperClear, o.super)
	case superClear:
		m.super(&m.SuperClear, name, &m.SuperSet, o.super)
	case propagation:
		m.PropagationRec = o.rec || m.PropagationRec && m.Propagation == o.value
		m.Propagation = o.value
	case special:
		m.special(name)
	}
}

// dropAtime makes the mode one that is not mode. The kernel has no "none of
// them": what remains is its default, relatime, unless an earlier option chose
// a third mode.
func (m *MountOptions) dropAtime(set, clear *uint64, mode uint64) {
	chosen := *clear&unix.MOUNT_ATTR__ATIME != 0
	if !chosen || *set&unix.MOUNT_ATTR__ATIME == mode {
		*set, *clear = *set&^unix.MOUNT_ATTR__ATIME|unix.MOUNT_ATTR_RELATIME, *clear|unix.MOUNT_ATTR__ATIME
	}
}

// super puts key on a list and takes its opposite off the other.
func (m *MountOptions) super(on *[]string, key string, off *[]string, opposite string) {
	if !slices.Contains(*on, key) {
		*on = append(*on, key)
	}
	*off = slices.DeleteFunc(*off, func(s string) bool { return s == opposite })
}

func (m *MountOptions) special(name string) {
	switch name {
	case "bind":
		m.Bind = true
	case "rbind":
		m.Bind, m.Rbind = true, true
	case "remount":
		m.Remount = true
	case "tmpcopyup":
		m.TmpCopyUp = true
	case "idmap":
		m.Idmap = true
	case "ridmap":
		m.Ridmap = true
	case "src-nofollow":
		m.SrcNofollow = true
	case "dest-nofollow":
		m.DestNofollow = true
	case "copy-symlink":
		m.CopySymlink = true
	}
}

// check finds options that cannot be met together.
func (m *MountOptions) check(typ string, opts []string) error {
	switch {
	case m.Bind && len(m.Data) > 0:
		return fmt.Errorf("a bind mount cannot have file system specific options: %q", strings.Join(m.Data, ","))
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
	case m.Propagation == unix.MS_SHARED && (slices.Contains(opts, "slave") || slices.Contains(opts, "rslave")):
		return fmt.Errorf("slave and shared together are not supported")
	}
	return nil
}

// splitData splits at the commas that are neither escaped by a backslash nor
// inside double quotes. The quotes are mount(8)'s, for SELinux contexts, and
// are not part of the value.
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
		case c == '"' && !escaped:
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

package specconv

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MountOptions are the options of one mount in the vocabulary of the new mount
// API: attributes for mount_setattr(2) and fsmount(2), keys for fsconfig(2).
//
// The last one of contradicting options wins, as in mount(8).
type MountOptions struct {
	// Set and Clear are MOUNT_ATTR_* bits to set and to clear on the mount
	// itself. The access time mode is not a bit but a field with three values
	// (MOUNT_ATTR__ATIME). If an option selects a mode, Set has its value and
	// Clear has the whole mask, as mount_setattr(2) requires. Otherwise both
	// have no bit of the mask. Set alone is the attr_flags of fsmount(2).
	Set, Clear uint64
	// RecSet and RecClear are the same for the recursive options (rro, rnosuid,
	// ...). They apply with AT_RECURSIVE.
	RecSet, RecClear uint64
	// Listed: a non-recursive option sets or clears a flag of mount(2). A bind
	// mount then has the listed flags and no others. Without such an option it
	// keeps the flags of its source.
	Listed bool
	// SuperSet and SuperClear are keys for FSCONFIG_SET_FLAG. Those of SuperSet
	// turn a flag of the superblock on (ro, sync, dirsync, mand, lazytime).
	// Those of SuperClear turn one off (rw, async, nomand, nolazytime). A new
	// superblock starts with all of them off, so SuperClear matters to a
	// remount only.
	//
	// silent, loud, iversion and noiversion are accepted without effect:
	// fsconfig(2) has no key for them. The first two only quieten the kernel's
	// log, and file systems with a change counter always maintain it.
	SuperSet, SuperClear []string
	// Bind: a bind mount (bind, rbind, or the type "bind"). Rbind: with all
	// mounts below the source.
	Bind, Rbind bool
	// Propagation is MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE or 0.
	// PropagationRec: it also applies to all mounts below.
	Propagation    uint64
	PropagationRec bool
	// Remount: change the existing mount at the destination.
	Remount bool
	// TmpCopyUp: copy the files that the tmpfs covers into it.
	TmpCopyUp bool
	// Idmap, Ridmap: apply an id mapping to the mount, or to the whole tree.
	Idmap, Ridmap bool
	// SrcNofollow: if the source is a symlink, mount the symlink itself.
	// DestNofollow: if the destination is a symlink, cover the symlink itself.
	// CopySymlink: if the source is a symlink, copy it to the destination
	// instead of a mount.
	SrcNofollow, DestNofollow, CopySymlink bool
	// Data are the parameters of the file system, in order, each "key=value" or
	// "flag".
	Data []string
}

// optionKind is the effect of an option on MountOptions.
type optionKind uint8

const (
	ignored     optionKind = iota
	attrSet                // value: the attribute
	attrClear              // value: the attribute
	atime                  // value: the requested access time mode
	noAtime                // value: the refused access time mode
	superSet               // opposite: the key that turns the flag off
	superClear             // opposite: the key that turns the flag on
	propagation            // value: the MS_* flag
	special                // handled by name
	specialRec             // handled by name, with a recursive form
)

// recursive reports whether options of the kind have a recursive form. That form
// has an "r" before the name and applies to the whole tree.
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
	opposite string // the key with the opposite effect on the superblock
}

// mountOptions are those of config.md, "Linux mount options", and three options
// of crun. The recursive forms are not listed. Any other name belongs to the
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

// findOption looks up an option. rec is true for the recursive form.
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

// fstabOnly reports whether a word of mount(8) concerns /etc/fstab only. Such
// words never reach a file system.
func fstabOnly(name string) bool {
	switch name {
	case "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group":
		return true
	}
	return strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-")
}

// KnownMountOptions returns the options that do not go to the file system,
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
// that belongs neither to the specification nor to /etc/fstab is data for the
// file system. One element may hold several such options, separated by commas;
// mount(2) would split them too.
func ParseMountOptions(typ string, opts []string) (MountOptions, error) {
	m := MountOptions{Bind: typ == "bind"}
	var elements []string // with several options each
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
			parts := splitData(name)
			m.Data = append(m.Data, parts...)
			if len(parts) > 1 {
				elements = append(elements, name)
			}
		}
	}
	if err := m.check(typ); err != nil {
		return m, err
	}
	for _, element := range elements {
		if slices.ContainsFunc(splitData(element), func(part string) bool { return m.notData(typ, part) }) {
			return m, oneEach(element)
		}
	}
	return m, nil
}

// notData reports whether a part of an element is an option of its own, which the
// file system typ cannot take. A file system that is not known here may have a
// parameter of the same name.
func (m *MountOptions) notData(typ, part string) bool {
	o, _, known := findOption(part)
	switch {
	case !known:
		return false
	case o.name == "bind":
		return true
	case o.kind == superSet || o.kind == superClear || o.opposite != "":
		return false
	}
	switch typ {
	case "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2":
		return true
	}
	return false
}

// oneEach is the error for several options in one element.
func oneEach(element string) error {
	return fmt.Errorf("%q: options are one per element: %s", element, quoteAll(splitData(element)))
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = strconv.Quote(word)
	}
	return strings.Join(quoted, ", ")
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

// listed reports whether mount(2) has a flag for the option or its opposite.
func (o option) listed() bool {
	switch o.kind {
	case propagation, special, specialRec:
		return false
	}
	return true
}

// dropAtime revokes an earlier choice of mode. Without a choice, mount(2) leaves
// the mode of an existing mount unchanged.
func dropAtime(set, clear *uint64, mode uint64) {
	if *clear&unix.MOUNT_ATTR__ATIME != 0 && *set&unix.MOUNT_ATTR__ATIME == mode {
		*set, *clear = *set&^unix.MOUNT_ATTR__ATIME, *clear&^unix.MOUNT_ATTR__ATIME
	}
}

// dropAtimeBelow selects, for a tree, a mode other than the given one.
// mount_setattr(2) cannot express "any but this". So the mode becomes the
// kernel's default, relatime, unless an earlier option chose a third mode.
func dropAtimeBelow(set, clear *uint64, mode uint64) {
	chosen := *clear&unix.MOUNT_ATTR__ATIME != 0
	if !chosen || *set&unix.MOUNT_ATTR__ATIME == mode {
		*set, *clear = *set&^unix.MOUNT_ATTR__ATIME|unix.MOUNT_ATTR_RELATIME, *clear|unix.MOUNT_ATTR__ATIME
	}
}

// super records the effect of an option on the superblock. ro and rw are both
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

// known says that options are one per element if an element has joined options
// that would be known alone.
func (m *MountOptions) known() string {
	if !slices.ContainsFunc(m.Data, func(part string) bool { _, _, known := findOption(part); return known }) {
		return ""
	}
	return ": options are one per element: " + quoteAll(m.Data)
}

// check refuses options that contradict each other.
func (m *MountOptions) check(typ string) error {
	switch {
	case m.Bind && len(m.Data) > 0:
		return fmt.Errorf("bind mounts cannot have any filesystem-specific options applied: %q%s", strings.Join(m.Data, ","), m.known())
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

// splitData splits at commas, except those escaped by a backslash and those in
// the double quotes of an SELinux context. Such quotes are syntax of mount(8)
// and not part of the value. All other quotes are part of it, as in a path.
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

// isContext reports whether s is an option for an SELinux context (mount(8)), up
// to its value.
func isContext(s string) bool {
	switch s {
	case "context=", "fscontext=", "defcontext=", "rootcontext=":
		return true
	}
	return false
}

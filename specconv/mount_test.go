package specconv

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	rdonly  = unix.MOUNT_ATTR_RDONLY
	nosuid  = unix.MOUNT_ATTR_NOSUID
	nodev   = unix.MOUNT_ATTR_NODEV
	noexec  = unix.MOUNT_ATTR_NOEXEC
	noatime = unix.MOUNT_ATTR_NOATIME
	strict  = unix.MOUNT_ATTR_STRICTATIME
	anytime = unix.MOUNT_ATTR__ATIME
)

func TestParseMountOptions(t *testing.T) {
	for _, test := range []struct {
		typ  string
		opts string // separated by spaces
		want MountOptions
	}{
		{"tmpfs", "", MountOptions{}},
		{"tmpfs", "defaults silent loud iversion noiversion", MountOptions{}},
		{"tmpfs", "auto noauto nofail _netdev user x-systemd.automount X-mount.mkdir", MountOptions{}},
		{"proc", "nosuid noexec nodev", MountOptions{Set: nosuid | noexec | nodev}},
		{"proc", "suid exec dev", MountOptions{Clear: nosuid | noexec | nodev}},
		{"proc", "nosuid suid", MountOptions{Clear: nosuid}},
		{"proc", "suid nosuid", MountOptions{Set: nosuid}},
		{"tmpfs", "nosymfollow nodiratime", MountOptions{Set: unix.MOUNT_ATTR_NOSYMFOLLOW | unix.MOUNT_ATTR_NODIRATIME}},
		{"tmpfs", "symfollow diratime", MountOptions{Clear: unix.MOUNT_ATTR_NOSYMFOLLOW | unix.MOUNT_ATTR_NODIRATIME}},

		{"sysfs", "ro", MountOptions{Set: rdonly, SuperSet: []string{"ro"}}},
		{"sysfs", "rw", MountOptions{Clear: rdonly, SuperClear: []string{"rw"}}},
		{"sysfs", "ro rw", MountOptions{Clear: rdonly, SuperSet: []string{}, SuperClear: []string{"rw"}}},
		{"sysfs", "rw ro ro", MountOptions{Set: rdonly, SuperSet: []string{"ro"}, SuperClear: []string{}}},
		{"ext4", "sync dirsync lazytime mand", MountOptions{SuperSet: []string{"sync", "dirsync", "lazytime", "mand"}}},
		{"ext4", "async nolazytime nomand", MountOptions{SuperClear: []string{"async", "nolazytime", "nomand"}}},

		{"tmpfs", "noatime", MountOptions{Set: noatime, Clear: anytime}},
		{"tmpfs", "relatime", MountOptions{Clear: anytime}},
		{"tmpfs", "strictatime", MountOptions{Set: strict, Clear: anytime}},
		{"tmpfs", "noatime strictatime", MountOptions{Set: strict, Clear: anytime}},
		{"tmpfs", "strictatime noatime", MountOptions{Set: noatime, Clear: anytime}},
		{"tmpfs", "noatime atime", MountOptions{}},
		{"tmpfs", "strictatime atime", MountOptions{Set: strict, Clear: anytime}},
		{"tmpfs", "noatime nostrictatime", MountOptions{Set: noatime, Clear: anytime}},
		{"tmpfs", "strictatime nostrictatime", MountOptions{}},
		{"tmpfs", "atime", MountOptions{}},
		{"tmpfs", "norelatime", MountOptions{}},
		{"tmpfs", "noatime norelatime", MountOptions{Set: noatime, Clear: anytime}},

		{"bind", "", MountOptions{Bind: true}},
		{"none", "bind", MountOptions{Bind: true}},
		{"none", "rbind rprivate", MountOptions{Bind: true, Rbind: true, Propagation: unix.MS_PRIVATE, PropagationRec: true}},
		{"none", "rbind bind", MountOptions{Bind: true, Rbind: true}},
		{"none", "rbind rro rnosuid rnodev rnoexec", MountOptions{Bind: true, Rbind: true, RecSet: rdonly | nosuid | nodev | noexec}},
		{"none", "rbind rrw rsuid rdev rexec", MountOptions{Bind: true, Rbind: true, RecClear: rdonly | nosuid | nodev | noexec}},
		{"none", "rbind rnoatime", MountOptions{Bind: true, Rbind: true, RecSet: noatime, RecClear: anytime}},
		{"none", "rbind rnoatime ratime", MountOptions{Bind: true, Rbind: true, RecClear: anytime}},
		{"none", "rbind rstrictatime rnosymfollow rnodiratime", MountOptions{
			Bind: true, Rbind: true,
			RecSet: strict | unix.MOUNT_ATTR_NOSYMFOLLOW | unix.MOUNT_ATTR_NODIRATIME, RecClear: anytime,
		}},
		{"none", "rbind rrelatime rsymfollow rdiratime", MountOptions{
			Bind: true, Rbind: true,
			RecClear: anytime | unix.MOUNT_ATTR_NOSYMFOLLOW | unix.MOUNT_ATTR_NODIRATIME,
		}},
		{"none", "rbind ro rrw", MountOptions{Bind: true, Rbind: true, Set: rdonly, RecClear: rdonly, SuperSet: []string{"ro"}}},

		{"tmpfs", "private rslave", MountOptions{Propagation: unix.MS_SLAVE, PropagationRec: true}},
		{"tmpfs", "rslave slave", MountOptions{Propagation: unix.MS_SLAVE, PropagationRec: true}},
		{"tmpfs", "rslave private", MountOptions{Propagation: unix.MS_PRIVATE}},
		{"tmpfs", "slave shared", MountOptions{Propagation: unix.MS_SHARED}},
		{"tmpfs", "shared", MountOptions{Propagation: unix.MS_SHARED}},
		{"tmpfs", "runbindable", MountOptions{Propagation: unix.MS_UNBINDABLE, PropagationRec: true}},

		{"tmpfs", "tmpcopyup mode=755", MountOptions{TmpCopyUp: true, Data: []string{"mode=755"}}},
		{"none", "bind idmap", MountOptions{Bind: true, Idmap: true}},
		{"none", "rbind ridmap", MountOptions{Bind: true, Rbind: true, Ridmap: true}},
		{"none", "remount ro", MountOptions{Remount: true, Set: rdonly, SuperSet: []string{"ro"}}},
		{"none", "bind src-nofollow dest-nofollow copy-symlink", MountOptions{Bind: true, SrcNofollow: true, DestNofollow: true, CopySymlink: true}},

		{"tmpfs", "mode=755 size=64k noswap", MountOptions{Data: []string{"mode=755", "size=64k", "noswap"}}},
		{"tmpfs", "mode=755,size=64k,,", MountOptions{Data: []string{"mode=755", "size=64k"}}},
		{"tmpfs", `context="a:b:c:s0:c1,c2",size=1`, MountOptions{Data: []string{"context=a:b:c:s0:c1,c2", "size=1"}}},
		{"overlay", `lowerdir=/a"b,upperdir=/u"`, MountOptions{Data: []string{`lowerdir=/a"b`, `upperdir=/u"`}}},
		{"overlay", `lowerdir=/a\,b:/c,upperdir=/u`, MountOptions{Data: []string{`lowerdir=/a\,b:/c`, "upperdir=/u"}}},
		{"tmpfs", "rsync rdirsync rremount", MountOptions{Data: []string{"rsync", "rdirsync", "rremount"}}},
	} {
		got, err := ParseMountOptions(test.typ, strings.Fields(test.opts))
		got.Listed = false // TestListed checks it
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("ParseMountOptions(%s, %s) = %+v, %v; want %+v", test.typ, test.opts, got, err, test.want)
		}
	}
}

func TestListed(t *testing.T) {
	for _, test := range []struct {
		opts string
		want bool
	}{
		{"", false},
		{"bind", false},
		{"rbind rprivate", false},
		{"bind shared slave unbindable", false},
		{"rbind rro rnosuid rnoatime rrw", false},
		{"rbind idmap src-nofollow dest-nofollow nofail x-y", false},
		{"bind ro", true},
		{"rbind rprivate rw", true},
		{"bind suid", true},
		{"bind atime", true},
		{"bind noatime", true},
		{"bind diratime", true},
		{"bind sync", true},
		{"bind async", true},
		{"bind silent", true},
		{"bind defaults", true},
	} {
		got, err := ParseMountOptions("none", strings.Fields(test.opts))
		if err != nil || got.Listed != test.want {
			t.Errorf("ParseMountOptions(none, %s).Listed = %v, %v; want %v", test.opts, got.Listed, err, test.want)
		}
	}
}

func TestParseMountOptionsErrors(t *testing.T) {
	for _, test := range []struct{ typ, opts, want string }{
		{"none", "rbind mode=755 size=1", `bind mounts cannot have any filesystem-specific options applied: "mode=755,size=1"`},
		{"bind", "uid=0", `bind mounts cannot have any filesystem-specific options applied: "uid=0"`},
		{"bind", "bind,ro,nosuid", `bind mounts cannot have any filesystem-specific options applied: "bind,ro,nosuid": options are one per element: "bind", "ro", "nosuid"`},
		{"none", "rbind,ro", `"rbind,ro": options are one per element: "rbind", "ro"`},
		{"", "ro,mode=1 rbind", `bind mounts cannot have any filesystem-specific options applied: "ro,mode=1": options are one per element: "ro", "mode=1"`},
		{"tmpfs", "nosuid,size=1m", `"nosuid,size=1m": options are one per element: "nosuid", "size=1m"`},
		{"proc", "tmpcopyup", `tmpcopyup is for a tmpfs, not for type "proc"`},
		{"tmpfs", "bind tmpcopyup", `tmpcopyup is for a tmpfs, not for type "tmpfs"`},
		{"none", "bind idmap ridmap", `idmap and ridmap contradict each other`},
		{"none", "remount bind idmap", `a mount cannot get an id mapping by remount`},
		{"none", "remount rbind", `remount and rbind contradict each other: a remount changes one mount`},
		{"tmpfs", "src-nofollow", `src-nofollow and copy-symlink are for bind mounts`},
		{"tmpfs", "mode=\x00", `option "mode=\x00" has a NUL character`},
	} {
		_, err := ParseMountOptions(test.typ, strings.Fields(test.opts))
		if err == nil || err.Error() != test.want {
			t.Errorf("ParseMountOptions(%s, %q) = %v; want %s", test.typ, test.opts, err, test.want)
		}
	}
}

// specified are the names of the table "Linux mount options" of config.md.
const specified = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev
	nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev
	rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro
	rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave
	strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap rnodev`

func TestKnownMountOptions(t *testing.T) {
	want := append(strings.Fields(specified), "src-nofollow", "dest-nofollow", "copy-symlink")
	slices.Sort(want)
	got := KnownMountOptions()
	if !slices.Equal(got, want) {
		t.Errorf("KnownMountOptions() = %q; want %q", got, want)
	}
}

// TestMountOptionsKernel checks that the kernel accepts the result for every
// option, on a new tmpfs and then on the existing mount.
func TestMountOptionsKernel(t *testing.T) {
	for _, name := range KnownMountOptions() {
		typ := "tmpfs"
		if strings.Contains(name, "symlink") || name == "src-nofollow" {
			typ = "bind"
		}
		o, err := ParseMountOptions(typ, []string{name})
		if err != nil {
			t.Errorf("ParseMountOptions(%s): %v", name, err)
			continue
		}
		if err := mountDetached(o); err != nil {
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
				t.Skipf("no new mount API here: %v", err)
			}
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mountDetached creates a tmpfs and attaches it nowhere.
func mountDetached(o MountOptions) error {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	for _, key := range slices.Concat(o.SuperSet, o.SuperClear) {
		if err := unix.FsconfigSetFlag(fs, key); err != nil {
			return err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return err
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(o.Set))
	if err != nil {
		return err
	}
	defer unix.Close(mnt)
	for _, attr := range []unix.MountAttr{
		{Attr_set: o.Set, Attr_clr: o.Clear, Propagation: o.Propagation},
		{Attr_set: o.RecSet, Attr_clr: o.RecClear},
	} {
		if err := unix.MountSetattr(mnt, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
			return err
		}
	}
	return nil
}

// FuzzParseMountOptions checks that no result contains both options of an opposite
// pair, and that the access time mode is complete.
func FuzzParseMountOptions(f *testing.F) {
	f.Add("tmpfs", strings.Join(strings.Fields(specified), " "))
	f.Add("overlay", `lowerdir=/a\,b:/c,upperdir=/u context="a,b`)
	f.Add("none", "rbind rro rnoatime ratime")
	f.Fuzz(func(t *testing.T, typ, opts string) {
		m, err := ParseMountOptions(typ, strings.Split(opts, " "))
		if err != nil {
			return
		}
		for _, attr := range [][2]uint64{{m.Set, m.Clear}, {m.RecSet, m.RecClear}} {
			set, clear := attr[0], attr[1]
			if set&clear&^anytime != 0 {
				t.Errorf("ParseMountOptions(%q) sets and clears %#x", opts, set&clear)
			}
			if mask := clear & anytime; mask != 0 && mask != anytime || mask == 0 && set&anytime != 0 {
				t.Errorf("ParseMountOptions(%q): incomplete access time mode: set %#x, clear %#x", opts, set, clear)
			}
		}
		if m.Rbind && !m.Bind {
			t.Errorf("ParseMountOptions(%q): Rbind without Bind", opts)
		}
		if slices.Contains(m.Data, "") {
			t.Errorf("ParseMountOptions(%q): empty data", opts)
		}
	})
}

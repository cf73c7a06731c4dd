package engine

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// longest is the maximal length of a value of fsconfig(2) (fs/fsopen.c,
// strndup_user). mount(2) takes a page of options. The list of lower directories
// of an image with several layers is longer than 255 bytes.
const (
	longest    = 255
	optionPage = 4095
)

// hasLong reports whether a value of the mount is too long for fsconfig(2).
func hasLong(s plan.Mount) bool { return anyLong(s.Params) || len(s.Source) > longest }

func anyLong(params []plan.Param) bool {
	return slices.ContainsFunc(params, func(p plan.Param) bool { return len(p.Key) > longest || len(p.Value) > longest })
}

// longMount creates the file system with mount(2), which takes a path and not a
// descriptor. The path is a directory in a new tmpfs, which is attached to the
// destination for a moment. The stub clones the mount out of it and detaches the
// tmpfs. The clone is then attached like any other mount.
func (r *rootfs) longMount(s plan.Mount, to *remote.FD) (*remote.FD, error) {
	flags, data, err := r.longOptions(s.Params)
	if err != nil {
		return nil, err
	}
	const place = "m"
	stage, err := r.newMount(plan.Mount{Type: "tmpfs", Source: "tmpfs", Params: []plan.Param{{Key: "mode", Value: "700"}}, At: s.At})
	if err != nil {
		return nil, err
	}
	b := r.building
	b.MoveMount(stage, to)
	b.Mkdirat(stage, place, 0o700)
	b.Fchdir(stage)
	b.Mount(s.Source, place, s.Type, flags, data)
	m := b.OpenTree(remote.Cwd(), place, false)
	b.Umount2(place, unix.MNT_DETACH)
	b.Umount2(".", unix.MNT_DETACH)
	b.Fchdir(r.root)
	b.Close(stage)
	if s.Attrs.Set != 0 {
		b.MountSetattr(m, "", false, remote.Attr{Set: s.Attrs.Set})
	}
	return m, nil
}

// longRemount changes the parameters of the file system m with mount(2). Such a
// remount also resets the flags of the mount that it finds. So the stub lays a
// clone of m over it for a moment and remounts that one. Unlike fsconfig(2),
// mount(2) turns off the flags of the superblock that are not named.
func (r *rootfs) longRemount(m *remote.FD, params []plan.Param) error {
	flags, data, err := r.longOptions(params)
	if err != nil {
		return err
	}
	b := r.building
	clone := b.OpenTree(m, "", false)
	b.MoveMount(clone, m)
	b.Fchdir(clone)
	b.Mount("", ".", "", unix.MS_REMOUNT|flags, data)
	b.Umount2(".", unix.MNT_DETACH)
	b.Fchdir(r.root)
	b.Close(clone)
	return nil
}

// longOptions returns the parameters in the form of mount(2), if it can be called
// with them.
func (r *rootfs) longOptions(params []plan.Param) (flags uint64, data string, err error) {
	if r.visit != nil {
		return 0, "", fmt.Errorf("a running container takes no mount with an option or a source of more than %d bytes: %w", longest, unix.E2BIG)
	}
	if flags, data = classic(params); len(data) > optionPage {
		return 0, "", fmt.Errorf("the options are %d bytes long, and mount(2) takes %d: %w", len(data), optionPage, unix.E2BIG)
	}
	return flags, data, nil
}

// classic returns the parameters in the form of mount(2).
func classic(params []plan.Param) (flags uint64, data string) {
	var list []string
	for _, p := range params {
		flag := superFlag(p)
		flags |= flag
		if flag == 0 {
			list = append(list, optionText(p))
		}
	}
	return flags, strings.Join(list, ",")
}

// superFlag returns the flag of mount(2) that replaces a key of fsconfig(2), or
// 0 if there is none.
func superFlag(p plan.Param) uint64 {
	if p.Value != "" {
		return 0
	}
	switch p.Key {
	case "ro":
		return unix.MS_RDONLY
	case "sync":
		return unix.MS_SYNCHRONOUS
	case "dirsync":
		return unix.MS_DIRSYNC
	case "mand":
		return unix.MS_MANDLOCK
	case "lazytime":
		return unix.MS_LAZYTIME
	}
	return 0
}

// optionText returns the parameter as one option of mount(2). It quotes an SELinux
// context with commas (selinux_sb_eat_lsm_opts).
func optionText(p plan.Param) string {
	if strings.Contains(p.Value, ",") && strings.HasSuffix(p.Key, "context") {
		return p.Key + `="` + p.Value + `"`
	}
	return p.String()
}

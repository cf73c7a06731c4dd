package engine

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// masks covers paths that the container must not see.
type masks struct {
	*rootfs
	toolbox *remote.FD // the tmpfs with the sources of masks
}

// The names of the mask sources in their tmpfs.
const (
	maskFile = "null"
	maskDir  = "empty"
)

// createSources creates the tmpfs from which all masks are cloned. The container
// cannot have prepared its contents (CVE-2025-31133). The tmpfs is attached
// below the clone of the root file system, where no path leads: before Linux
// 6.15 an unattached mount cannot be cloned (open_tree(2)).
func (ma *masks) createSources(s plan.AttachRootfs) {
	b := ma.building
	ctx := b.Fsopen("tmpfs")
	b.FsconfigString(ctx, "mode", "755")
	b.FsconfigString(ctx, "size", "4k") // it holds two inodes and no data
	if s.Label != "" {
		b.FsconfigString(ctx, "context", s.Label)
	}
	b.FsconfigCreate(ctx)
	ma.toolbox = b.Fsmount(ctx, "mask sources", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	b.Close(ctx)
	b.Mkdirat(ma.toolbox, maskDir, 0o555)
	if t := ma.sources.byItem[ma.at]; t != nil {
		b.Mknodat(ma.toolbox, maskFile, unix.S_IFREG, 0)
		b.MoveMountAt(ma.toolbox, ".")
		node := b.Openat2(ma.toolbox, maskFile, unix.O_PATH, 0, remote.Beneath)
		m := ma.sources.mountOf(t, false, true)
		b.MoveMount(m, node)
		b.Close(node)
		b.Close(m)
	} else {
		b.Mknodat(ma.toolbox, maskFile, unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
		b.MoveMountAt(ma.toolbox, ".")
	}
	b.MountSetattr(ma.toolbox, "", false, remote.Attr{Set: unix.MOUNT_ATTR_RDONLY})
}

// cover covers each path with the null device or with the empty directory. The
// kernel attaches only the one that has the same type as the path. So the stub
// tries both, and does not ask for the type. A missing path needs no mask. A try
// that fails costs 40 us for the unused clone, so the likely source comes first.
//
// "/file/" and "/file/." fail with ENOTDIR (path_resolution(7)): the file exists, and
// the list means to cover it.
func (ma *masks) cover(s plan.Masks) error {
	b := ma.building
	for _, p := range s.Paths {
		at := b.Openat2(ma.root, relative(p), unix.O_PATH, 0, remote.InRoot)
		missing := b.Last().Tolerate(unix.ENOENT)
		likely, other := maskFile, maskDir
		if isDirectoryInLinux(p) {
			likely, other = other, likely
		}
		mask := b.OpenTree(ma.toolbox, likely, false)
		covered := b.MoveMount(mask, at).Tolerate(unix.ENOTDIR, unix.EINVAL)
		second := b.OpenTree(ma.toolbox, other, false)
		b.MoveMount(second, at)
		b.Close(second)
		covered.OnZeroSkip()
		b.Close(mask)
		b.Close(at)
		missing.OnFailSkip()
		if ma.full() {
			if err := ma.settle(); err != nil {
				return err
			}
		}
	}
	return nil
}

// isDirectoryInLinux reports whether a path that engines mask is a directory.
func isDirectoryInLinux(path string) bool {
	switch path {
	case "/proc/acpi", "/proc/asound", "/proc/scsi":
		return true
	}
	return strings.HasPrefix(path, "/sys/")
}

// readonly covers each path with a read-only clone of itself.
func (ma *masks) readonly(s plan.Readonly) error {
	b := ma.building
	for _, p := range s.Paths {
		at := b.Openat2(ma.root, relative(p), unix.O_PATH, 0, remote.InRoot)
		missing := b.Last().Tolerate(unix.ENOENT)
		m := b.OpenTree(at, "", true)
		b.MountSetattr(m, "", false, remote.Attr{Set: unix.MOUNT_ATTR_RDONLY})
		b.MoveMount(m, at)
		b.Close(m)
		b.Close(at)
		missing.OnFailSkip()
		if ma.full() {
			if err := ma.settle(); err != nil {
				return err
			}
		}
	}
	return nil
}

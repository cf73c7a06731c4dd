package engine

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// moveRoot replaces pivot_root(2) on a root file system that pivot_root cannot
// leave: a ramdisk. The old root stays below the new one. So moveRoot first
// unmounts the whole procfs and sysfs mounts of the old root. A process that escapes from
// the chroot would find their files unmasked.
func (r *rootfs) moveRoot() error {
	if err := r.settle(); err != nil {
		return err
	}
	info, err := os.ReadFile("/proc/" + strconv.Itoa(r.stub.Pid) + "/mountinfo")
	if err != nil {
		return err
	}
	b := r.building
	for _, p := range wholeProcs(string(info), r.rootfsPath()) {
		gone := b.Umount2(p, unix.MNT_DETACH).TolerateAll()
		b.Mount("tmpfs", p, "tmpfs", unix.MS_RDONLY, "size=4k") // a locked mount cannot be unmounted: cover it
		gone.OnZeroSkip()
	}
	b.Mount(".", "/", "", unix.MS_MOVE, "")
	b.Chroot(".")
	b.Chdir("/")
	return nil
}

// wholeProcs lists the mountpoints of whole procfs and sysfs mounts outside the
// root file system in reverse order, so that the deepest comes first
// (proc_pid_mountinfo(5)).
func wholeProcs(mountinfo, rootfs string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(line, " - ")
		f := strings.Fields(left)
		fs := strings.Fields(right)
		if !ok || len(f) < 5 || len(fs) == 0 || f[3] != "/" || fs[0] != "proc" && fs[0] != "sysfs" {
			continue
		}
		if p := unescape(f[4]); p != rootfs && !strings.HasPrefix(p, rootfs+"/") {
			out = append([]string{p}, out...)
		}
	}
	return out
}

// unescape decodes the octal escapes of mountinfo.
func unescape(s string) string {
	for _, e := range [][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, e[0], e[1])
	}
	return s
}

package engine

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

func TestWholeProcs(t *testing.T) {
	const info = `21 26 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
22 26 0:21 / /proc rw shared:14 - proc proc rw
23 26 0:5 / /dev rw - devtmpfs udev rw
30 22 0:21 /sys /proc/sys ro - proc proc rw
31 26 0:22 / /mnt/a\040b\134c rw - proc proc rw
32 26 0:23 / /bundle/rootfs/proc rw - proc proc rw
33 26 0:24 / /bundle/rootfs rw - sysfs sysfs rw
34 26 0:25 / /bundle/rootfs2/proc rw master:1 propagate_from:2 - proc proc rw
broken
35 26 0:26 / /proc - 
36 26 0:26 / /x rw proc proc
`
	want := []string{"/bundle/rootfs2/proc", `/mnt/a b\c`, "/proc", "/sys"}
	if got := wholeProcs(info, "/bundle/rootfs"); !slices.Equal(got, want) {
		t.Errorf("wholeProcs = %q; want %q", got, want)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`/a`: "/a", `/a\040b`: "/a b", `\011\012`: "\t\n", `\134040`: `\040`, `/a\134b`: `/a\b`} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q; want %q", in, got, want)
		}
	}
}

// TestMoveRoot: a process that escapes from the chroot finds no whole procfs or
// sysfs.
func TestMoveRoot(t *testing.T) {
	in := newInside(t)
	in.file("proc", "/")
	in.file("bin/sh", "text")
	err := in.take(newMountNamespace(), []plan.Step{plan.Mount{Type: "proc", At: place("/proc")}, plan.Pivot{Move: true}}, func(path func(string) string) {
		if text, err := os.ReadFile(path("/bin/sh")); err != nil || string(text) != "text" {
			t.Errorf("the root is not the container's: %q, %v", text, err)
		}
		info, err := os.ReadFile(strings.TrimSuffix(path("/"), "/root") + "/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(info), " - proc "); n != 1 {
			t.Errorf("%d procfs are mounted; want the container's\n%s", n, info)
		}
		if n := strings.Count(string(info), " - sysfs "); n != 0 {
			t.Errorf("%d sysfs are mounted; want none\n%s", n, info)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

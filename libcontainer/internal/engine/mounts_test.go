package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// mountOf returns the line of mountinfo for a path of the root file system: the
// mount's options and propagation, the file system's type and options.
func (in *inside) mountOf(p string) (line string, ok bool) {
	in.t.Helper()
	info, err := os.ReadFile("/proc/" + strconv.Itoa(in.stub.Pid) + "/mountinfo")
	if err != nil {
		in.t.Fatal(err)
	}
	for l := range strings.Lines(string(info)) {
		if f := strings.Fields(l); f[4] == filepath.Join(in.rootfs, p) {
			line, ok = strings.Join(f[5:], " "), true // the last one is on top
		}
	}
	return line, ok
}

func TestMountOptions(t *testing.T) {
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		steps []plan.Step
		at    string
		want  []string // parts of the line
	}{
		{"a tmpfs with parameters", []plan.Step{
			plan.Mount{Type: "tmpfs", Source: "name", Params: []plan.Param{{Key: "size", Value: "64k"}, {Key: "mode", Value: "711"}}, Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC}, At: place("/m")},
		}, "/m", []string{"rw,nosuid,noexec,relatime", "tmpfs name", "size=64k", "mode=711"}},
		{"a flag", []plan.Step{plan.Mount{Type: "tmpfs", Params: []plan.Param{{Key: "ro"}}, At: place("/m")}}, "/m", []string{"rw,relatime", "tmpfs none ro"}},
		{"propagation", []plan.Step{plan.Mount{Type: "tmpfs", Attrs: plan.Attrs{Propagation: unix.MS_SHARED}, At: place("/m")}}, "/m", []string{"shared:"}},
		{"a bind mount", []plan.Step{plan.Bind{Source: source, At: place("/m"), Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}}}, "/m", []string{"ro,nodev"}},
		{"made read-only later", []plan.Step{
			plan.Mount{Type: "tmpfs", At: place("/m"), Keep: true},
			plan.Mount{Type: "tmpfs", At: plan.Place{Path: "/m/inner", In: "/m", Name: "inner"}},
			plan.Remount{At: place("/m"), Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY}, Kept: true},
		}, "/m", []string{"ro,relatime"}},
		{"but not what is in it", []plan.Step{
			plan.Mount{Type: "tmpfs", At: place("/m"), Keep: true},
			plan.Mount{Type: "tmpfs", At: plan.Place{Path: "/m/inner", In: "/m", Name: "inner"}},
			plan.Remount{At: place("/m"), Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY}, Kept: true},
		}, "/m/inner", []string{"rw,relatime"}},
		{"the whole tree", []plan.Step{
			plan.Mount{Type: "tmpfs", At: place("/m"), Keep: true},
			plan.Mount{Type: "tmpfs", At: plan.Place{Path: "/m/inner", In: "/m", Name: "inner"}},
			plan.Remount{At: place("/m"), Attrs: plan.Attrs{RecSet: unix.MOUNT_ATTR_RDONLY}},
		}, "/m/inner", []string{"ro,relatime"}},
		{"another size", []plan.Step{
			plan.Mount{Type: "tmpfs", At: place("/m"), Params: []plan.Param{{Key: "size", Value: "64k"}}},
			plan.Remount{At: place("/m"), Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_NODEV}, Params: []plan.Param{{Key: "size", Value: "128k"}}},
		}, "/m", []string{"nodev", "size=128k"}},
		{"another size, kept", []plan.Step{
			plan.Mount{Type: "tmpfs", At: place("/m"), Keep: true},
			plan.Remount{At: place("/m"), Params: []plan.Param{{Key: "size", Value: "128k"}}, Kept: true},
		}, "/m", []string{"size=128k"}},
		{"access times are replaced as a whole", []plan.Step{
			plan.Mount{Type: "tmpfs", At: place("/m"), Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_NOATIME}},
			plan.Remount{At: place("/m"), Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_STRICTATIME, Clear: unix.MOUNT_ATTR__ATIME}},
		}, "/m", []string{"rw -"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			err := in.take(newMountNamespace(), tt.steps, func(func(string) string) {
				line, ok := in.mountOf(tt.at)
				for _, part := range tt.want {
					if !ok || !strings.Contains(line, part) {
						t.Errorf("%s is %q; want %q in it", tt.at, line, part)
					}
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSourcesInside: a source in the root file system shows earlier mounts; a
// source outside is the host's.
func TestSourcesInside(t *testing.T) {
	in := newInside(t)
	in.file("data/file", "of the image")
	err := in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/data"), Keep: true},
		plan.Symlink{Target: "here", At: plan.Place{Path: "/data/link", In: "/data", Name: "link"}},
		plan.Bind{Source: in.rootfs + "/data", Inside: true, Recursive: true, At: place("/inside")},
		plan.Bind{Source: in.rootfs + "/data", At: place("/outside")},
		plan.Bind{Source: in.rootfs + "/data/link/missing", Inside: true, At: place("/x")},
	}, nil)
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("a source that is not there = %v; want ENOENT", err)
	}
	in = newInside(t)
	in.file("data/file", "of the image")
	err = in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/data"), Keep: true},
		plan.Symlink{Target: "here", At: plan.Place{Path: "/data/link", In: "/data", Name: "link"}},
		plan.Bind{Source: in.rootfs + "/data", Inside: true, At: place("/inside")},
		plan.Bind{Source: in.rootfs + "/data", At: place("/outside")},
		plan.Bind{Source: in.rootfs + "/outside/file", Inside: true, At: place("/file")},
	}, func(path func(string) string) {
		if to, err := os.Readlink(path("/inside/link")); err != nil || to != "here" {
			t.Errorf("/inside/link = %q, %v; want what was put on the tmpfs", to, err)
		}
		for _, p := range []string{"/outside/file", "/file"} {
			if text, err := os.ReadFile(path(p)); err != nil || string(text) != "of the image" {
				t.Errorf("%s = %q, %v", p, text, err)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBindInsteadOfMount: a bind mount replaces a file system that the kernel
// refuses in a user namespace.
func TestBindInsteadOfMount(t *testing.T) {
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "file"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(source, 0o755); err != nil {
		t.Fatal(err)
	}
	in := newInside(t)
	err := in.take(newUserNamespace(0), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/cgroup"), Keep: true},
		plan.Mount{Type: "cgroup2", At: plan.Place{Path: "/cgroup/unified", In: "/cgroup", Name: "unified"}, OrBind: source, Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY}},
		plan.Symlink{Target: "unified", At: plan.Place{Path: "/cgroup/link", In: "/cgroup", Name: "link"}},
	}, func(path func(string) string) {
		if text, err := os.ReadFile(path("/cgroup/link/file")); err != nil || string(text) != "hello" {
			t.Errorf("/cgroup/link/file = %q, %v; want what is bound", text, err)
		}
		if line, _ := in.mountOf("/cgroup/unified"); !strings.HasPrefix(line, "ro,") || strings.Contains(line, "shared:") {
			t.Errorf("/cgroup/unified is %q; want it read-only and nobody's peer", line)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRefusedParameter: the error contains the kernel's message about a parameter.
func TestRefusedParameter(t *testing.T) {
	in := newInside(t)
	err := in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", Params: []plan.Param{{Key: "size", Value: "64k"}, {Key: "nonsense", Value: "1"}}, At: place("/m")},
	}, nil)
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), `FSCONFIG_SET_STRING, "nonsense", "1"`) || !strings.Contains(err.Error(), "Unknown parameter 'nonsense')") {
		t.Errorf("an unknown parameter = %v; want what the kernel's log says", err)
	}
	in = newInside(t)
	err = in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/m")},
		plan.Remount{At: place("/m"), Params: []plan.Param{{Key: "huge", Value: "nonsense"}}},
	}, nil)
	if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a remount with a parameter that is none = %v", err)
	}
	in = newInside(t)
	err = in.take(newMountNamespace(), []plan.Step{plan.Mount{Type: "nosuchfs", At: place("/m")}}, nil)
	if !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "the kernel has no file system nosuchfs") {
		t.Errorf("an unknown file system = %v", err)
	}
}

// TestModeFromTarget: a tmpfs takes the mode of the directory that it covers. A
// mountpoint created for it does not count: its mode lets only root write.
func TestModeFromTarget(t *testing.T) {
	in := newInside(t)
	in.file("d", "/")
	if err := os.Chmod(filepath.Join(in.rootfs, "d"), 0o733|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	in.file("link", "->elsewhere/else")
	err := in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/d"), ModeFromTarget: true},
		plan.Mount{Type: "tmpfs", At: place("/new"), ModeFromTarget: true},
		plan.Mount{Type: "tmpfs", At: place("/link"), ModeFromTarget: true},
		plan.Mount{Type: "tmpfs", At: place("/ahead"), ModeFromTarget: true},
		plan.Mount{Type: "tmpfs", At: place("/kept"), Keep: true},
		plan.Mount{Type: "tmpfs", At: plan.Place{Path: "/kept/x", In: "/kept", Name: "x", Below: true}, ModeFromTarget: true},
	}, func(path func(string) string) {
		for p, want := range map[string]uint32{"/d": 0o1733, "/new": 0o1777, "/elsewhere/else": 0o1777, "/ahead": 0o1777, "/kept/x": 0o755} {
			var st unix.Stat_t
			if err := unix.Stat(path(p), &st); err != nil || st.Mode&0o7777 != want {
				t.Errorf("%s has mode %o, %v; want %o", p, st.Mode&0o7777, err, want)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDevices(t *testing.T) {
	null := plan.Device{At: place("/dev/null"), Type: "c", Major: 1, Minor: 3, Mode: 0o640, UID: 1, GID: 2}
	for _, tt := range []struct {
		name    string
		prepare func(*inside)
		device  plan.Device
		errno   unix.Errno
	}{
		{"there already, before Linux 6.6", func(in *inside) { in.file("dev", "/"); mknod(in, "dev/null", 3); in.files.devices.noFchmodat2 = true }, null, 0},
		{"made", func(in *inside) { in.file("dev", "/") }, null, 0},
		{"in a directory that is missing", func(*inside) {}, null, 0},
		{"there already", func(in *inside) { in.file("dev", "/"); mknod(in, "dev/null", 3) }, null, 0},
		{"another is there already", func(in *inside) { in.file("dev", "/"); mknod(in, "dev/null", 5) }, null, unix.EEXIST},
		{"a file is there already", func(in *inside) { in.file("dev/null", "text") }, null, unix.EEXIST},
		{"a symlink to one is there already", func(in *inside) {
			in.file("dev", "/")
			mknod(in, "dev/real", 3)
			in.file("dev/null", "->real")
		}, null, unix.EEXIST},
		{"a pipe", func(*inside) {}, plan.Device{At: place("/p"), Type: "p", Mode: 0o600}, 0},
		{"the host's", func(*inside) {}, plan.Device{At: place("/dev/null"), Type: "c", Major: 1, Minor: 3, FromHost: "/dev/null"}, 0},
		{"not what the host has there", func(*inside) {}, plan.Device{At: place("/dev/null"), Type: "c", Major: 1, Minor: 3, FromHost: "/dev/zero"}, unix.ENODEV},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			tt.prepare(in)
			err := in.take(newMountNamespace(), []plan.Step{tt.device, plan.Mount{Type: "tmpfs", At: place("/behind")}}, func(path func(string) string) {
				var st unix.Stat_t
				if err := unix.Lstat(path(tt.device.At.Path), &st); err != nil {
					t.Fatal(err)
				}
				d := tt.device
				if st.Mode&unix.S_IFMT != deviceTypes[d.Type] || st.Rdev != unix.Mkdev(uint32(d.Major), uint32(d.Minor)) {
					t.Errorf("it has mode %o, number %x", st.Mode, st.Rdev)
				}
				if d.FromHost == "" && (st.Mode&0o7777 != d.Mode || st.Uid != d.UID || st.Gid != d.GID) {
					t.Errorf("it has mode %o, owner %d:%d; want %o, %d:%d", st.Mode&0o7777, st.Uid, st.Gid, d.Mode, d.UID, d.GID)
				}
			})
			if tt.errno != 0 && !errors.Is(err, tt.errno) || tt.errno == 0 && err != nil {
				t.Errorf("%v = %v; want %v", tt.device, err, tt.errno)
			}
		})
	}
}

func TestSymlinks(t *testing.T) {
	for _, tt := range []struct {
		name, there string
		force       bool
		want        string
	}{
		{"made", "", false, "target"},
		{"there already", "->other", false, "other"},
		{"replaced", "->other", true, "target"},
		{"a file is replaced", "text", true, "target"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			if tt.there != "" {
				in.file("d/link", tt.there)
			}
			err := in.take(newMountNamespace(), []plan.Step{plan.Symlink{Target: "target", At: place("/d/link"), Force: tt.force}}, func(path func(string) string) {
				if got, err := os.Readlink(path("/d/link")); err != nil || got != tt.want {
					t.Errorf("the link is %q, %v; want %q", got, err, tt.want)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHostSeesNoMounts: none of the mounts appears on the host.
func TestHostSeesNoMounts(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	in := newInside(t)
	in.masked = true
	in.file("file", "text")
	err = in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "tmpfs", At: place("/m"), Attrs: plan.Attrs{Propagation: unix.MS_SHARED}},
		plan.Bind{Source: "/usr", Recursive: true, At: place("/usr"), Attrs: plan.Attrs{Propagation: unix.MS_SLAVE, PropagationRec: true}},
		plan.Masks{Paths: []string{"/file"}},
		plan.Pivot{},
	}, func(func(string) string) {
		if after, err := os.ReadFile("/proc/self/mountinfo"); err != nil || string(after) != string(before) {
			t.Errorf("the host's mounts are now\n%s; they were\n%s", after, before)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

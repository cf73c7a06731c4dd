package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// TestCallsOfABind counts the calls of one bind mount: each of them is made once
// for each mount.
func TestCallsOfABind(t *testing.T) {
	ro := plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_SLAVE}
	all := plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE, PropagationRec: true}
	in := func(dir, name string) plan.Place {
		return plan.Place{Path: dir + "/" + name, In: dir, Name: name, Below: true}
	}
	for _, tt := range []struct {
		name string
		bind plan.Bind
		with func(*walk)
		want int
	}{
		{"read-only", plan.Bind{At: place("/data"), Attrs: ro}, nil, 4},                                                  // openat2, mount_setattr, move_mount, close
		{"a tree, of which the top is read-only", plan.Bind{At: place("/data"), Attrs: all}, nil, 5},                     // mount_setattr
		{"let go of", plan.Bind{At: place("/data"), Attrs: ro}, func(w *walk) { w.limits.tight = true }, 5},              // close
		{"below another", plan.Bind{At: plan.Place{Path: "/other/a/b", Below: true}, Attrs: ro}, nil, 5},                 // fstatfs
		{"where mounts are unknown", plan.Bind{At: place("/x"), Attrs: ro}, func(w *walk) { w.files.crossed = true }, 5}, // fstatfs
		{"in a mount of the plan", plan.Bind{At: in("/fresh", "x"), Attrs: ro}, nil, 5},                                  // mknodat
	} {
		w := newWalk(t.Context(), &plan.Plan{Items: []plan.Item{{Step: tt.bind}}}, &Job{})
		w.files.root = remote.Inherited(7, "rootfs")
		w.files.kept["/fresh"] = remote.Inherited(9, "/fresh")
		w.sources.byItem[0] = &tree{fd: -1, there: remote.Inherited(8, "source")}
		if tt.with != nil {
			tt.with(w)
		}
		if err := w.files.binds.bind(tt.bind); err != nil || w.building.Len() != tt.want {
			t.Errorf("%s: %d calls, %v; want %d", tt.name, w.building.Len(), err, tt.want)
		}
	}
}

// TestManySources uses more sources than are opened one by one, both files and
// directories, whose mountpoints are missing.
func TestManySources(t *testing.T) {
	for _, n := range []int{1, fewSources, fewSources + 1, 300} {
		in := newInside(t)
		source := t.TempDir()
		var steps []plan.Step
		for i := range n {
			name := fmt.Sprint(i)
			path := filepath.Join(source, name)
			if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
			if i%100 != 0 {
				in.file(name, "")
			}
			steps = append(steps, plan.Bind{Source: path, At: place("/" + name), Attrs: plan.Attrs{Propagation: unix.MS_PRIVATE}})
		}
		steps = append(steps, plan.Bind{Source: source, At: place("/missing/dir"), Attrs: plan.Attrs{Propagation: unix.MS_PRIVATE}})
		err := in.take(newMountNamespace(), steps, func(path func(string) string) {
			for i := range n {
				if text, err := os.ReadFile(path(fmt.Sprint(i))); err != nil || string(text) != fmt.Sprint(i) {
					t.Errorf("%d of %d: %q, %v", i, n, text, err)
				}
			}
			if _, err := os.Stat(path("/missing/dir/0")); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Errorf("%d sources: %v", n, err)
		}
	}
}

// TestMountsThatAreCrossed: a symlink leads to a mount that the path does not show.
func TestMountsThatAreCrossed(t *testing.T) {
	in := newInside(t)
	in.file("run", "/")
	in.file("var/run", "->/run")
	source := t.TempDir()
	steps := []plan.Step{plan.Mount{Type: "tmpfs", At: place("/run")}}
	for _, name := range []string{"a", "b", "c"} {
		steps = append(steps, plan.Bind{Source: source, At: place("/var/run/" + name), Attrs: plan.Attrs{Propagation: unix.MS_PRIVATE}})
	}
	err := in.take(newMountNamespace(), steps, func(func(string) string) {
		for _, name := range []string{"a", "b", "c"} {
			if _, ok := in.mountOf("/run/" + name); !ok {
				t.Errorf("/run/%s is not mounted", name)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNothingIsMountedInProc: no path may lead a mount into procfs.
func TestNothingIsMountedInProc(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(*inside)
		at      string
	}{
		{"a symlink", func(in *inside) { in.file("etc/here", "->/proc/self/attr") }, "/etc/here"},
		{"a symlink above", func(in *inside) { in.file("etc", "->/proc/sys") }, "/etc/kernel"},
		{"a procfs elsewhere", func(in *inside) {}, "/elsewhere/sys"},
	} {
		in := newInside(t)
		tt.prepare(in)
		in.file("proc", "/")
		err := in.take(newMountNamespace(), []plan.Step{
			plan.Mount{Type: "proc", At: place("/proc"), Ordinary: true, Keep: true},
			plan.Mount{Type: "proc", At: place("/elsewhere")},
			plan.Bind{Source: t.TempDir(), At: place(tt.at), Attrs: plan.Attrs{Propagation: unix.MS_PRIVATE}},
		}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.at+" leads into /proc") {
			t.Errorf("%s: %v; want that %s leads into /proc", tt.name, err, tt.at)
		}
	}
}

func TestRootOnProcfs(t *testing.T) {
	in := newInside(t)
	in.rootfs = "/proc/sys"
	if err := in.take(newMountNamespace(), nil, nil); err == nil || !strings.Contains(err.Error(), "/ leads into /proc") {
		t.Errorf("a root file system on procfs: %v", err)
	}
}

func TestCloseFds(t *testing.T) {
	var fds, others []int
	for i := range 40 {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if i%7 == 3 {
			others = append(others, fd)
			defer unix.Close(fd)
		} else {
			fds = append([]int{fd}, fds...)
		}
	}
	closeFds(fds)
	open := func(fd int) bool {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		return err == nil
	}
	for _, fd := range fds {
		if open(fd) {
			t.Errorf("descriptor %d is still open", fd)
		}
	}
	for _, fd := range others {
		if !open(fd) {
			t.Errorf("descriptor %d of somebody else is closed", fd)
		}
	}
	closeFds(nil)
}

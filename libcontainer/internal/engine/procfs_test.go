package engine

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// TestJoinedProc mounts the procfs of a joined pid namespace: with the file
// system's option, and, as before Linux 6.18, by a child in that namespace.
func TestJoinedProc(t *testing.T) {
	for _, forced := range []bool{false, true} {
		t.Run("without pidns="+strconv.FormatBool(forced), func(t *testing.T) {
			in := newInside(t)
			in.file("proc", "/")
			in.files.procfs.noPidnsOption = forced
			first, err := remote.Start(t.Context(), remote.Spawn{Control: 3, Cloneflags: unix.CLONE_NEWPID, Timeout: 10 * time.Second, Argv0: "first"})
			if err != nil {
				t.Fatal(err)
			}
			defer first.Kill()
			var q remote.Batch
			q.Umask(0)
			if err := first.Do(&q); err != nil { // after this answer, the process has executed the stub
				t.Fatal(err)
			}
			join := plan.Join{Type: "pid", Path: "/proc/" + strconv.Itoa(first.Pid) + "/ns/pid", Flag: unix.CLONE_NEWPID}
			err = in.take([]plan.Step{join, plan.Unshare{Flags: unix.CLONE_NEWNS}}, []plan.Step{
				plan.Mount{Type: "proc", Source: "joined", Params: []plan.Param{{Key: "hidepid", Value: "1"}}, Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_NOSUID}, At: place("/proc"), JoinedPID: true, Keep: true, Ordinary: true},
			}, func(path func(string) string) {
				line, err := os.ReadFile(path("/proc/1/cmdline"))
				if err != nil || !strings.HasPrefix(string(line), "first") {
					t.Errorf("process 1 is %q, %v; want the one of the joined namespace", line, err)
				}
				info, err := os.ReadFile("/proc/" + strconv.Itoa(in.stub.Pid) + "/mountinfo")
				if err != nil || !strings.Contains(string(info), "hidepid=invisible") && !strings.Contains(string(info), "hidepid=noaccess") && !strings.Contains(string(info), "hidepid=1") {
					t.Errorf("the parameter is lost: %v\n%s", err, info)
				}
				if !strings.Contains(string(info), " - proc joined ") {
					t.Errorf("the source is lost:\n%s", info)
				}
				if n := children(t, in.stub.Pid); n != 0 {
					t.Errorf("the stub has %d children left", n)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if !forced {
				t.Logf("pidns= is known here: %v", !in.files.procfs.noPidnsOption)
			}
		})
	}
}

func children(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children")
	if err != nil {
		t.Skip("the kernel does not list children: ", err)
	}
	return len(strings.Fields(string(list)))
}

func TestSysctl(t *testing.T) {
	const ipc = unix.CLONE_NEWIPC | unix.CLONE_NEWNS
	proc := plan.Mount{Type: "proc", Source: "proc", At: place("/proc"), Keep: true, Ordinary: true}
	set := plan.Sysctl{Path: []string{"kernel", "shmmni"}, Value: "1234"}
	for _, tt := range []struct {
		name       string
		namespaces []plan.Step
		steps      []plan.Step
	}{
		{"in a procfs of our own", []plan.Step{plan.Unshare{Flags: ipc}}, []plan.Step{set}},
		{"in the container's", []plan.Step{plan.Unshare{Flags: ipc}}, []plan.Step{proc, set}},
		{"in one that is read-only", []plan.Step{plan.Unshare{Flags: ipc}}, []plan.Step{
			plan.Mount{Type: "proc", At: place("/proc"), Keep: true, Attrs: plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY}}, set,
		}},
		// Without a new pid namespace, root of a user namespace may not mount a procfs.
		{"in the old root's", newUserNamespace(unix.CLONE_NEWIPC), []plan.Step{set}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const file = "/proc/sys/kernel/shmmni"
			host, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := newInside(t)
			in.file("proc", "/")
			if err := in.take(tt.namespaces, tt.steps, func(func(string) string) {}); err != nil {
				t.Fatal(err)
			}
			if got := shmmni(t, in); got != "1234\n" {
				t.Errorf("inside, kernel.shmmni is %q", got)
			}
			if now, err := os.ReadFile(file); err != nil || string(now) != string(host) {
				t.Errorf("outside, kernel.shmmni is %q, %v; it was %q", now, err, host)
			}
		})
	}
}

// shmmni reads the value through the stub, in its namespace.
func shmmni(t *testing.T, in *inside) string {
	t.Helper()
	var q remote.Batch
	fd := q.Open("/proc/sys/kernel/shmmni", unix.O_RDONLY)
	r, buf := q.Read(fd, 20)
	q.Close(fd)
	if err := in.ask(&q); err != nil {
		t.Fatal(err)
	}
	return string(buf.First(r.Value()))
}

// TestSysctlThroughSymlinks: a /proc of the container that is no procfs is not
// written to.
func TestSysctlThroughSymlinks(t *testing.T) {
	in := newInside(t)
	in.file("proc/sys/kernel/shmmni", "untouched")
	err := in.take([]plan.Step{plan.Unshare{Flags: unix.CLONE_NEWIPC | unix.CLONE_NEWNS}}, []plan.Step{plan.Sysctl{Path: []string{"kernel", "shmmni"}, Value: "1"}}, func(func(string) string) {
		if p, err := os.ReadFile(in.rootfs + "/proc/sys/kernel/shmmni"); err != nil || string(p) != "untouched" {
			t.Errorf("the image's file holds %q, %v", p, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestUnknownSysctl(t *testing.T) {
	in := newInside(t)
	err := in.take(newMountNamespace(), []plan.Step{plan.Sysctl{Path: []string{"kernel", "no_such_thing"}, Value: "1"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "this kernel has no such parameter") || !strings.HasSuffix(err.Error(), "no such file or directory") {
		t.Errorf("an unknown sysctl = %v", err)
	}
}

func TestProcMustBeOrdinary(t *testing.T) {
	for name, text := range map[string]string{"a symlink": "->/tmp", "a file": "text"} {
		in := newInside(t)
		in.file("tmp", "/")
		in.file("proc", text)
		err := in.take(newMountNamespace(), []plan.Step{plan.Mount{Type: "proc", At: place("/proc"), Ordinary: true}}, nil)
		if err == nil || !strings.Contains(err.Error(), `filesystem "proc" must be mounted on ordinary directory`) {
			t.Errorf("/proc is %s: %v", name, err)
		}
	}
}

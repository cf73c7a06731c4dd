package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/tests/fault"
)

// nest creates cgroups below dir, each in the one before, and returns a descriptor of the lowest.
func nest(t *testing.T, dir string, depth int) *os.File {
	t.Helper()
	name := strings.Repeat("x", 100)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range depth {
		if err == nil {
			err = unix.Mkdirat(fd, name, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		above := fd
		fd, err = unix.Openat(above, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(above)
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "the lowest cgroup")
}

// A container can nest cgroups deeply in a cgroup that it may write to. The verbs must keep only one directory open at a
// time, and must not build the path of a deep one.
func TestDeepCgroups(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "opens paths")
	peerFails(t, "crun", "opens paths")
	for _, tt := range []struct {
		name, limit string
		depth       int
	}{
		{"as deep as it gets", "", amount(300, 1500, 4000)},
		{"1500 with 1024 descriptors", "ulimit -n 1024;", 1500},
		{"300 with 32 descriptors", "ulimit -n 32;", 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t)
			c.up()
			lowest := nest(t, c.cgroupDir("freezer"), tt.depth)
			defer lowest.Close()
			// The verbs must find a process in the lowest cgroup.
			sleeper := exec.Command("sleep", "1000")
			if err := sleeper.Start(); err != nil {
				t.Fatal(err)
			}
			ended := awaitExit(sleeper.Process.Pid)
			for _, dir := range append(c.cgroupDirs(), fmt.Sprintf("/proc/self/fd/%d", lowest.Fd())) {
				if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(fmt.Sprint(sleeper.Process.Pid)), 0); err != nil {
					t.Fatal(err)
				}
			}
			c.wrapper = []string{"/bin/sh", "-c", tt.limit + `exec "$@"`, "sh"}
			for _, line := range [][]string{{"ps", c.id}, {"kill", "--all", c.id, "CONT"}, {"delete", "--force", c.id}} {
				o, out, errs := c.traceVerb(line, fault.Nowhere, fault.Action{})
				t.Logf("%s: %v, %d KiB", line[0], o.Took.Round(time.Millisecond), o.Peak)
				if o.Status.ExitStatus() != 0 {
					t.Errorf("%s: exit status %d: %s", line[0], o.Status.ExitStatus(), errs)
				}
				if line[0] == "ps" && !strings.Contains(out, fmt.Sprint(sleeper.Process.Pid)) {
					t.Errorf("the lowest process is not listed: %s", out)
				}
				if limit := slowly(10 * time.Second); o.Took > limit {
					t.Errorf("%s took %v; want at most %v", line[0], o.Took, limit)
				}
				if o.Peak > 32<<10 {
					t.Errorf("%s took %d KiB; want at most 32 MiB", line[0], o.Peak)
				}
			}
			c.wrapper = nil
			if status := <-ended; status != 128+int(unix.SIGKILL) {
				t.Errorf("the lowest process ended with %d; want 137", status)
			}
			if left := c.leftovers(); left != "" {
				t.Errorf("left %.300s", left)
			}
		})
	}
}

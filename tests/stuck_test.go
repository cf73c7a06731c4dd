package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// stuck is a container with a process that waits for a file system. The file system has received a request and does not
// answer, so no signal reaches the process. The function release ends the wait.
func stuck(t *testing.T, edits ...edit) (c *container, pid int, release func()) {
	t.Helper()
	c = newContainer(t, edits...)
	v := newVolume(t, filepath.Join(c.bundle, "volume"))
	c.edit(mount(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}}))
	c.up()
	v.mute.Store(true)
	pid = c.execDetached(nil, "cat", "/vol/file")
	// The first signal interrupts the request. From then on the process waits for the answer, and no signal wakes it
	// (request_wait_answer in fs/fuse/dev.c).
	eventually(t, "the process waits", func() bool {
		return v.taken.Load() > 0 && (strings.Contains(wchan(pid), "fuse") || strings.Contains(wchan(pid), "request"))
	})
	return c, pid, func() { unix.Unmount(v.dir, unix.MNT_FORCE|unix.MNT_DETACH) }
}

func wchan(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
	if err != nil {
		return ""
	}
	return string(data)
}

// named checks that an error describes a process: its pid, command, state and the kernel function in which it waits.
func named(t *testing.T, r result, pid int, command string) {
	t.Helper()
	pattern := regexp.MustCompile(fmt.Sprintf(`%d \(%s, D, [a-z_0-9]+\)`, pid, command))
	if r.code == 0 || !pattern.MatchString(r.err) || strings.Contains(r.err, "sleep") {
		t.Errorf("want an error that names process %d and nothing else\n%v", pid, r)
	}
	t.Logf("after %v: %s", r.took.Round(time.Millisecond), r.err)
}

// asked runs a verb that blocks, and sends it SIGTERM after a moment. With LONG=1 the verb reaches its own deadline.
func (c *container) asked(args ...string) result {
	c.t.Helper()
	i := c.begin(args...)
	if amount(0, 0, 1) == 0 {
		defer time.AfterFunc(time.Second, func() { i.Process.Signal(unix.SIGTERM) }).Stop()
	}
	return i.end()
}

// delete names a process that does not end. A later delete can succeed.
func TestWhatDoesNotDieIsNamed(t *testing.T) {
	peerFails(t, "runc", "says that the container is still running")
	for name, edits := range map[string][]edit{
		"in a pid namespace": nil,
		"in the host's":      {without(specs.PIDNamespace)},
	} {
		t.Run(name, func(t *testing.T) {
			c, pid, release := stuck(t, edits...)
			defer release()
			named(t, c.asked("delete", "--force", c.id), pid, "cat")
			want(t, "still there", fmt.Sprint(state(pid) != 0, len(c.cgroupDirs()) > 0), "true true")
			release()
			c.must("delete", "--force", c.id)
		})
	}
}

// A container that cannot be paused continues, and the error names the blocking process.
func TestWhatDoesNotStopIsNamed(t *testing.T) {
	peerFails(t, "runc", "waits, or says nothing")
	needController(t, "freezer")
	c, pid, release := stuck(t)
	defer release()
	// After SIGKILL the process does not answer the freezer either.
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it cannot be woken any more", func() bool { return state(pid) == 'D' })
	named(t, c.asked("pause", c.id), pid, "cat")
	want(t, "status", c.status(), "running")
	release()
	c.must("pause", c.id)
	want(t, "status", c.status(), "paused")
}

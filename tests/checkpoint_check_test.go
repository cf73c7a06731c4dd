package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// obstructed starts a container with objects that CRIU dumps only with a flag.
func obstructed(t *testing.T, args ...string) *container {
	t.Helper()
	peersLack(t, "has no list of what cannot be dumped")
	c := newContainer(t, sh("exec probe obstacles "+strings.Join(args, " ")))
	c.up()
	ready := filepath.Join(c.rootfs, "tmp/ready")
	eventually(t, "the program is ready", func() bool { _, err := os.Stat(ready); return err == nil })
	if why := textOf(t, ready); why != "" {
		t.Skipf("there is no io_uring: %s", why)
	}
	return c
}

// needed lists the flags for obstructed.
var needed = []string{"--file-locks", "--tcp-established", "--ghost-limit", "2097152"}

// The check names each obstacle with its process, descriptor and flag, and changes nothing. With the flags a dump succeeds.
func TestCheckpointCheck(t *testing.T) {
	c := obstructed(t)
	r := c.verb("checkpoint", "--check", "--format", "json", c.id)
	var found []struct {
		Pid        int
		Command    string
		Descriptor *int
		Path       string
		Cause      string
		Flag       string
		Warning    bool
	}
	if err := json.Unmarshal([]byte(r.out), &found); err != nil || r.code != 1 {
		t.Fatalf("%s: %v", r, err)
	}
	var got []string
	for _, f := range found {
		if f.Warning { // CRIU may be missing
			continue
		}
		if f.Pid != c.state().Pid || f.Command != "probe" || f.Descriptor == nil {
			t.Errorf("obstacle %+v; want a descriptor of process %d", f, c.state().Pid)
		}
		got = append(got, fmt.Sprintf("%s: %s: %s", f.Path, f.Cause, f.Flag))
	}
	slices.Sort(got)
	want(t, "obstacles", strings.Join(got, "\n"), strings.Join([]string{
		"/tmp/ghost: a removed file of 2097152 bytes: --ghost-limit 2097152",
		"/tmp/lock: a file lock or lease: --file-locks",
		": an established TCP connection: --tcp-established",
		": an established TCP connection: --tcp-established",
	}, "\n"))
	r = c.verb("checkpoint", "--check", c.id)
	if lines := strings.Split(r.out, "\n"); r.code != 1 || strings.Join(strings.Fields(lines[0]), " ") != "PID COMMAND FD FLAG CAUSE" || !strings.Contains(strings.Join(strings.Fields(r.out), " "), "--tcp-established an established TCP connection") {
		t.Errorf("%s; want a table", r)
	}
	c.must(append(append([]string{"checkpoint", "--check"}, needed...), c.id)...)
	want(t, "status", c.status(), "running")
	if whyNoCRIU() == "" && env.driver != "systemd" {
		needsCRIU(t, c)
		c.must(append(append([]string{"checkpoint", "--image-path", c.images()}, needed...), c.id)...)
	}
}

// No flag helps against io_uring.
func TestCheckpointCheckUring(t *testing.T) {
	c := obstructed(t, "io_uring")
	r := c.verb(append(append([]string{"checkpoint", "--check"}, needed...), c.id)...)
	if f := strings.Fields(r.out); r.code != 1 || !strings.Contains(r.out, "io_uring cannot be dumped") || !slices.Contains(f, strconv.Itoa(c.state().Pid)) {
		t.Errorf("%s; want io_uring", r)
	}
	want(t, "status", c.status(), "running")
}

// A container without obstacles has an empty list, and processes of exec are a warning.
func TestCheckpointCheckClean(t *testing.T) {
	peersLack(t, "has no list of what cannot be dumped")
	c := newContainer(t, args("sleep", "1000"))
	c.up()
	if r := c.verb("checkpoint", "--check", c.id); r.code != 0 || strings.Contains(r.out, "--") {
		t.Errorf("%s; want no obstacle", r)
	}
	c.execDetached(nil, "sleep", "999")
	if r := c.verb("checkpoint", "--check", c.id); r.code != 0 || !strings.Contains(r.out, "warning: it was started by exec") {
		t.Errorf("%s; want a warning", r)
	}
	if r := c.verb("checkpoint", "--check", "--skip-exec", c.id); r.code != 0 || strings.Contains(r.out, "exec") {
		t.Errorf("%s; want no warning", r)
	}
}

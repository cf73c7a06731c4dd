package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoThreadForTheRuntime limits the number of the runtime's threads by pids.max of its own cgroup. If the kernel
// refuses a thread, the Go runtime ends the program with its own message. Then nothing may be left. With a few more
// threads, the verb succeeds.
func TestNoThreadForTheRuntime(t *testing.T) {
	peerFails(t, "runc", "leaves cgroups")
	peerFails(t, "crun", "has no threads")
	needCgroupfs(t)
	c := newContainer(t, args("sleep", "1000"))
	host := filepath.Join(filepath.Dir(c.cgroupDir("pids")), "onggi-tests-caller"+c.id)
	if err := os.Mkdir(host, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroup(host) })
	c.wrapper = []string{"/bin/sh", "-c", `echo $$ >` + host + `/cgroup.procs && exec "$@"`, "sh"}
	aborts, successes := 0, 0
	for most := 1; most <= 16 && successes == 0; most++ {
		if err := os.WriteFile(filepath.Join(host, "pids.max"), fmt.Append(nil, most), 0); err != nil {
			t.Fatal(err)
		}
		r := c.verb(c.withFlags("run", "--detach")...)
		switch {
		case r.code == 0:
			successes++
		case strings.Contains(r.err, "failed to create new OS thread"), strings.Contains(r.err, "pthread_create failed"): // the second with cgo
			aborts++
			if strings.Contains(r.err, "BUG") || r.code != 2 {
				t.Errorf("with %d tasks: %v", most, r)
			}
		case strings.Count(r.err, "\n") != 1:
			t.Errorf("with %d tasks: %d lines: %v; want one", most, strings.Count(r.err, "\n"), r)
		}
		t.Logf("%d tasks: exit status %d, %d lines", most, r.code, strings.Count(r.err, "\n"))
		wrapper := c.wrapper
		c.wrapper = nil
		c.must("delete", "--force", c.id)
		c.wrapper = wrapper
		if left := c.leftovers(); left != "" {
			t.Errorf("with %d tasks: left %s", most, left)
		}
	}
	c.wrapper = nil
	if aborts == 0 || successes == 0 {
		t.Errorf("control: %d aborts and %d successes; want both", aborts, successes)
	}
}

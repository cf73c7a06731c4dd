package vm

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// guest is a machine to run the tests in.
type guest struct {
	name     string
	suite    string   // of Debian: kernel and packages
	layout   string   // of the cgroups: v1, v2
	cmdline  []string // of the kernel
	runs     []run
	deadline time.Duration // for all of it
}

// run is one execution of the integration tests in a guest.
type run struct {
	driver string // and name
	tests  []string
	skip   string // pattern of tests that are not for this run
	env    []string
	only   string // what the -run flag asks for, instead of tests
}

func (r run) pattern() string {
	if r.only != "" {
		return r.only
	}
	return "^(" + strings.Join(r.tests, "|") + ")"
}

// guests are all the machines. Names of tests are prefixes.
func guests() []guest {
	plain, systemd := []string{"init=/usr/local/sbin/guest-init"}, []string{"systemd.show_status=0"}
	v1 := append([]string{"cgroup=v1"}, plain...)
	return []guest{
		{name: "v2-6.1", suite: "bookworm", layout: "v2", cmdline: plain, runs: []run{{driver: "cgroupfs", tests: limits}}, deadline: 15 * time.Minute},
		{name: "v1-6.1", suite: "bookworm", layout: "v1", cmdline: v1, runs: []run{{driver: "cgroupfs", tests: limits}}, deadline: 15 * time.Minute},
		{name: "systemd-6.1", suite: "bookworm", layout: "v2", cmdline: systemd, runs: []run{{driver: "systemd", tests: limits, env: []string{"DRIVER=systemd"}}}, deadline: 15 * time.Minute},
		{name: "systemd-6.12", suite: "trixie", layout: "v2", cmdline: systemd, runs: []run{{driver: "systemd", tests: limits, env: []string{"DRIVER=systemd"}}}, deadline: 15 * time.Minute},
		{name: "v2-6.12", suite: "trixie", layout: "v2", cmdline: plain, runs: []run{{driver: "cgroupfs", tests: limits}}, deadline: 15 * time.Minute},
	}
}

// limits are the tests of cgroups: what they are made of, changed to, read from, and removed.
var limits = []string{"TestCgroup", "TestResource", "TestUpdate", "TestPids", "TestUnified", "TestEvents", "TestStats", "TestOOM", "TestPause"}

// wanted is the runs that the -run flag asks for, and in them the tests, if it does: TestGuests/guest/driver/test/subtest.
func (g guest) wanted() []run {
	elements := strings.Split(flag.Lookup("test.run").Value.String(), "/")
	if len(elements) < 3 {
		return g.runs
	}
	var runs []run
	for _, r := range g.runs {
		if ok, err := regexp.MatchString(elements[2], r.driver); err != nil || !ok {
			continue
		}
		if r.only = strings.Join(elements[3:], "/"); r.only != "" {
			r.skip = ""
		}
		runs = append(runs, r)
	}
	return runs
}

func TestGuests(t *testing.T) {
	for _, g := range guests() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			g.test(t)
		})
	}
}

func (g guest) test(t *testing.T) {
	runs := g.wanted()
	i, err := env.image(g.suite)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(env.logs, g.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := g.boot(context.Background(), i, env.payload, runs, dir)
	if err != nil {
		t.Errorf("%v\nthe kernel's last words:\n%s", err, h.lastWords())
	}
	for _, r := range runs {
		t.Run(r.driver, func(t *testing.T) { g.check(t, r, h) })
	}
}

// check reports the tests of one run.
func (g guest) check(t *testing.T, r run, h heard) {
	output, ok := h.runs[r.driver]
	if !ok {
		t.Fatalf("the guest did not get here; the kernel's last words:\n%s", h.lastWords())
	}
	root, err := parse(output)
	if err != nil {
		t.Fatal(err)
	}
	var count tally
	for _, test := range root.subs {
		test.report(t, &count)
	}
	if len(root.subs) == 0 {
		t.Errorf("no tests ran; the output was:\n%s", output)
	}
	if status := h.status[r.driver]; status != "0" && count.failed == 0 {
		t.Errorf("exit status %q with no failed test:\n%s", status, root.words())
	}
	env.summary.add(g, r, h, count)
}

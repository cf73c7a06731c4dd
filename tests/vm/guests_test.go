package vm

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// run is one execution of a test program in a guest.
type run struct {
	driver  string // of cgroups; or another name
	program string // directory of its sources; the integration tests where it is empty
	tests   []string
	skip    []string
	env     []string
	must    []string // tests that may not be skipped: what the guest is there for
	only    string   // what the -run flag asks for, instead of tests
}

// guests are all the machines, the long ones first.
func guests() []guest {
	const long, short = 20 * time.Minute, 10 * time.Minute
	v1, v2 := []string{"init=/usr/local/sbin/guest-init", "cgroup=v1"}, []string{"init=/usr/local/sbin/guest-init", "cgroup=v2"}
	systemd := []string{"systemd.show_status=0"}
	selinux := []string{"systemd.show_status=0", "security=selinux", "selinux=1", "enforcing=0"}
	return []guest{
		// The oldest kernel that Debian supports has the fewest features, and so is asked for everything.
		{"v2-6.1", "bookworm", "v2", v2, append(units(), run{
			driver: "cgroupfs", tests: []string{"Test"}, skip: unasked,
			must: []string{"TestResources", "TestAppArmorProfile", "TestRootlessDelegatedCgroup"},
		}), long},
		// systemd 252, with both drivers: cgroupfs is what containerd uses unless it is told otherwise.
		{"systemd-6.1", "bookworm", "v2", systemd, []run{scopes(limits, lives, systemds), rootless(), {driver: "cgroupfs", tests: besideSystemd}}, long},
		// systemd 257.
		{"systemd-6.12", "trixie", "v2", systemd, []run{scopes(limits, systemds), rootless()}, long},
		{"v2-6.12", "trixie", "v2", v2, append(units(), run{driver: "cgroupfs", tests: slices.Concat(limits, lives, confinement)}), long},
		{"v1-6.1", "bookworm", "v1", v1, []run{{driver: "cgroupfs", tests: slices.Concat(limits, lives)}}, short},
		// Labels are given and checked; nothing is enforced, as Debian's policy has no rules for a runtime in /guest.
		{"selinux-6.12", "trixie", "v2", selinux, []run{{
			driver: "cgroupfs", tests: []string{"TestSELinux"},
			must: []string{"TestSELinuxLabels", "TestSELinuxLabelThatIsNotThere"},
		}}, short},
	}
}

// scopes is a run with each container in a scope.
func scopes(tests ...[]string) run {
	return run{
		driver: "systemd", tests: slices.Concat(tests...), env: []string{"DRIVER=systemd"},
		must: []string{"TestResourcesInAScope", "TestAppArmorProfile"},
	}
}

// rootless is a run with an ordinary user's containers, in scopes of that user's systemd.
func rootless() run {
	tests := []string{"TestRootlessScope", "TestRootlessDelegatedCgroup"}
	return run{driver: "rootless", tests: tests, must: tests}
}

// units are the unit tests of packages that talk to the kernel: what it lacks is made up for there.
func units() []run {
	var all []run
	for _, name := range []string{"engine", "remote", "cgroup"} {
		all = append(all, run{driver: name, program: "libcontainer/internal/" + name, tests: []string{"Test"}})
	}
	return all
}

// readSources are tests of sources and pages, which are not in any guest.
var readSources = []string{"TestEveryCallPrints", "TestPlanOfThePage", "TestConformanceTable", "TestResourcesPage", "TestTopPicture"}

// Areas, by prefixes of tests' names.
var (
	// What cgroups are made of, changed to, read from, and told by.
	limits = []string{
		"TestCgroup", "TestResource", "TestUpdate", "TestPids", "TestUnified", "TestEvents", "TestStats", "TestOOM", "TestPressure",
		"TestDevice", "TestARefusedUpdate", "TestMemoryLimit",
	}
	// What depends on a cgroup, or leaves one.
	lives = []string{
		"TestLifeOf", "TestPause", "TestKill", "TestDelete", "TestAForkingFamily", "TestAFrozen", "TestExecPuts", "TestEmptySub",
		"TestNestedCgroups",
	}
	// What the kernel has to enforce.
	confinement = []string{
		"TestAppArmor", "TestSeccompNotify", "TestSeccompApplies", "TestCapabilities", "TestMasked", "TestNoNew", "TestIdmap", "TestMount",
		"TestUser", "TestNamespaces", "TestRootless", "TestExecIs", "TestWithoutExecutable", "TestNotify",
	}
	// What needs systemd, and how it can be set up otherwise.
	systemds = []string{"TestSystemd", "TestResourcesInAScope", "TestAppArmor"}
	// What systemd could take from cgroups that are not its own.
	besideSystemd = []string{"TestCgroup", "TestDevice", "TestUnified", "TestOOM", "TestPause"}
)

// unasked are tests that a kernel is not asked for: they are about the runtime alone, or take minutes where instructions
// are translated and see no more of a kernel than others do.
var unasked = []string{
	// Words: what is printed, and what is refused before anything is made.
	"TestHelp", "TestSpec$", "TestWrongUsage", "TestConfigThatIsNone", "TestConfigValues", "TestIDs", "TestBundlesOfRealEngines", "TestFeatures",
	"TestList", "TestVersion", "TestACorruptState", "TestCorruptState", "TestAllProblems", "TestCommandLookup",
	"TestEverythingInFeatures", "TestWhyAProgram", "TestVerbsRefuse", "TestCheckDevices", "TestHookPaths",
	// Terminals and descriptors, which are the same everywhere.
	"TestTopOnATerminal", "TestShellInATerminal", "TestNoDescriptorLeads", "TestSignalsAreForwarded",
	// Numbers: what is done often to see something that is rare, or that a thousand cost no more than one.
	"TestManyContainers", "TestAmongMany", "TestManyPaths", "TestManyMissing", "TestContainersInOneCgroup", "TestMoreBindMounts", "TestThousandsOf", "TestExecNeverShows", "TestKillOfCreateAt", "TestKillOfDelete", "TestCreateIsKilled", "TestParallel",
	"TestEachMountTarget", "TestTheRuntimesExecutable", "TestFilesOfTheImage", "TestExecWhileTheContainerSignals", "TestADeadVolume",
}

// anyOf is a pattern for names that begin with one of the list.
func anyOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "^(" + strings.Join(list, "|") + ")"
}

func (r run) flags() []string {
	if r.only != "" {
		return []string{"-test.run=" + r.only}
	}
	return []string{"-test.run=" + anyOf(r.tests), "-test.skip=" + anyOf(slices.Concat(r.skip, readSources))}
}

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
		r.only = strings.Join(elements[3:], "/")
		runs = append(runs, r)
	}
	return runs
}

func TestGuests(t *testing.T) {
	for _, g := range guests() {
		t.Run(g.name, func(t *testing.T) {
			go env.image(g.suite) // so that no image waits until another guest has ended
			t.Parallel()
			g.test(t)
		})
	}
}

func (g guest) test(t *testing.T) {
	runs := g.wanted()
	p, err := env.payload()
	if err != nil {
		t.Fatal(err)
	}
	i, err := env.image(g.suite)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(env.logs, g.name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	h, err := g.boot(context.Background(), i, p, runs, dir)
	if len(h.runs) == 0 && strings.Contains(h.lastWords(), "Kernel panic") {
		// Translated code that changes itself, as kernels do when they start, goes wrong now and then.
		t.Logf("the kernel ended before there was anything of ours: once more\n%s", h.lastWords())
		h, err = g.boot(context.Background(), i, p, runs, dir)
	}
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
		if r.only == "" && test.verdict == "skip" && slices.Contains(r.must, test.name) {
			t.Errorf("%s is what this guest is for, and was skipped: %s", test.name, test.reason())
		}
	}
	for _, name := range r.must {
		if r.only == "" && !slices.ContainsFunc(root.subs, func(n *node) bool { return n.name == name }) {
			t.Errorf("%s is what this guest is for, and did not run", name)
		}
	}
	if len(root.subs) == 0 {
		t.Errorf("no tests ran; the output was:\n%s", output)
	}
	if status := h.status[r.driver]; status != "0" && count.failed == 0 {
		t.Errorf("exit status %q with no failed test:\n%s", status, root.words())
	}
	env.summary.add(g, r, h, count)
}

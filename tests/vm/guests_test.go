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
	on       machine
}

// run is one execution of a test program in a guest.
type run struct {
	driver  string // creator of the cgroups (cgroupfs, systemd), or another name for the run
	program string // directory of its sources; "": the integration tests
	tests   []string
	skip    []string
	env     []string
	must    []string      // tests that may not be skipped: the guest exists for them
	only    string        // the selection of the -run flag, instead of tests
	before  string        // a shell command to execute before the tests
	limit   time.Duration // of each test, in a process of its own; 0: one process executes all
}

// guests returns all machines, the slow ones first.
func guests() []guest {
	const long, short = 28 * time.Minute, 10 * time.Minute
	v1, v2 := []string{"init=/usr/local/sbin/guest-init", "cgroup=v1"}, []string{"init=/usr/local/sbin/guest-init", "cgroup=v2"}
	systemd := []string{"systemd.show_status=0"}
	selinux := []string{"systemd.show_status=0", "security=selinux", "selinux=1", "enforcing=1"}
	return []guest{
		// The oldest kernel that Debian supports has the fewest features, so it runs every test.
		{"v2-6.1", "bookworm", "v2", v2, append(units(), run{
			driver: "cgroupfs", tests: []string{"Test"}, skip: unasked,
			must: []string{"TestResources", "TestAppArmorProfile", "TestRootlessDelegatedCgroup", "TestPrograms32"},
		}), long, amd64},
		// systemd 252, with both drivers: containerd uses cgroupfs by default.
		{"systemd-6.1", "bookworm", "v2", systemd, []run{scopes(limits, lives, systemds), rootless(), {driver: "cgroupfs", tests: besideSystemd}}, long, amd64},
		// systemd 257. A test that passes on 6.1 and on the host's kernel, which is newer, shows little here.
		{"systemd-6.12", "trixie", "v2", systemd, []run{scopes([]string{"TestResource", "TestUpdate", "TestDevice"}, systemds).with(checkpoints...), rootless()}, long, amd64},
		{"v2-6.12", "trixie", "v2", v2, append(units(), run{driver: "cgroupfs", tests: slices.Concat(limits, newer)}), long, amd64},
		{"v1-6.1", "bookworm", "v1", v1, []run{{driver: "cgroupfs", tests: slices.Concat(limits, lives)}}, short, amd64},
		// The policy is Debian's, with rules that let a runtime started by a service (initrc_t) start containers: guest/runtime.cil.
		{"selinux-6.12", "trixie", "v2", selinux, []run{
			{
				driver: "enforcing", tests: []string{"TestSELinux"},
				must: []string{"TestSELinuxEnforced", "TestSELinuxTransitionRefused", "TestSELinuxLabelThatIsNotThere"},
			},
			{
				driver: "permissive", tests: []string{"TestSELinux"}, before: "echo 0 > /sys/fs/selinux/enforce",
				must: []string{"TestSELinuxLabels", "TestSELinuxLabelThatIsNotThere"},
			},
		}, short, amd64},
	}
}

// scopes is a run with each container in a systemd scope.
func scopes(tests ...[]string) run {
	return run{
		driver: "systemd", tests: slices.Concat(tests...), env: []string{"DRIVER=systemd"},
		must: []string{"TestResourcesInAScope", "TestAppArmorProfile"},
	}
}

// checkpoints are tests of CRIU that the usual machine cannot run.
var checkpoints = []string{"TestCRIUPreDumps", "TestCRIUOfAUser", "TestCRIUAppArmor", "TestCRIUScope"}

// with is the run with more tests, which may not be skipped.
func (r run) with(tests ...string) run {
	r.tests, r.must = slices.Concat(r.tests, tests), slices.Concat(r.must, tests)
	return r
}

// rootless is a run with containers of an ordinary user, in scopes of the user's systemd.
func rootless() run {
	tests := []string{"TestRootlessScope", "TestRootlessDelegatedCgroup"}
	return run{driver: "rootless", tests: tests, must: tests}
}

// units are the unit tests of packages that talk to the kernel and have fallbacks for older ones.
func units() []run {
	var all []run
	for _, name := range []string{"engine", "remote", "cgroup"} {
		r := run{driver: name, program: "libcontainer/internal/" + name, tests: []string{"Test"}}
		if name == "cgroup" {
			r.must = []string{"TestKernelPrograms", "TestKernelBandwidthPrograms"} // their verifier is the kernel's
		}
		all = append(all, r)
	}
	return all
}

// readSources are tests that read sources and pages, which no guest has.
var readSources = []string{"TestEveryCallPrints", "TestPlanOfThePage", "TestConformanceTable", "TestResourcesPage", "TestTopPicture"}

// Areas, by prefixes of tests' names.
var (
	// Tests that create, change, read or watch cgroups.
	limits = []string{
		"TestCgroup", "TestResource", "TestUpdate", "TestPids", "TestUnified", "TestEvents", "TestStats", "TestOOM", "TestPressure",
		"TestDevice", "TestARefusedUpdate", "TestMemoryLimit", "TestBandwidthRefused", "TestBandwidthWithout", "TestNoBandwidth", "TestSocketMark",
	}
	// Tests of a container's life that depend on its cgroup, or could leave one.
	lives = []string{
		"TestLifeOf", "TestPause", "TestKillAll", "TestKillEnds", "TestKillOf", "TestDelete", "TestAForkingFamily", "TestAFrozen", "TestExecPuts", "TestEmptySub",
		"TestNestedCgroups",
	}
	// Tests of restrictions that the kernel enforces.
	confinement = []string{
		"TestAppArmor", "TestSeccompNotify", "TestSeccompApplies", "TestCapabilities", "TestMasked", "TestNoNew", "TestIdmap", "TestMount",
		"TestUser", "TestNamespaces", "TestRootless", "TestExecIs", "TestWithoutExecutable", "TestNotify",
	}
	// Tests of restrictions with calls that kernels between 5.14 and 6.12 have changed.
	newer = []string{"TestAppArmor", "TestSeccompNotify", "TestIdmap", "TestMountOptions"}
	// Tests that need systemd, or a host that has it.
	systemds = []string{"TestSystemd", "TestResourcesInAScope", "TestAppArmor"}
	// Tests of cgroups beside systemd, which must not take them over.
	besideSystemd = []string{"TestCgroup", "TestDevice", "TestUnified", "TestOOM", "TestPause"}
)

// unasked are tests that no guest runs. They test the runtime alone, or they take minutes with translated instructions
// and show no more about a kernel than other tests do.
var unasked = []string{
	// Output and refused input: no kernel is involved.
	"TestHelp", "TestSpec$", "TestWrongUsage", "TestConfigThatIsNone", "TestConfigValues", "TestIDs", "TestBundlesOfRealEngines", "TestFeatures",
	"TestList", "TestVersion", "TestACorruptState", "TestCorruptState", "TestAllProblems", "TestCommandLookup",
	"TestEverythingInFeatures", "TestWhyAProgram", "TestVerbsRefuse", "TestCheckDevices", "TestHookPaths",
	"TestEndlessFiles", "TestHomeInALong", "TestLog", "TestManPage", "TestNamesInConfig", "TestMistakes", "TestRegex", "TestStateFormat",
	"TestCheckSays", "TestCheckOf", "TestCheckAgrees", "TestUnknown", "TestTrace", "TestTopOnce",
	// Hooks, exit statuses, streams and flags: their system calls are older than every guest's kernel.
	"TestHooks", "TestHookTimeout", "TestHookOutput", "TestAFailingHook", "TestAFailingPoststop", "TestPoststop", "TestEnvironmentOfHooks",
	"TestRunPrints", "TestRunReturns", "TestRunReads", "TestKillByEvery", "TestKillRefuses", "TestPidFile", "TestExecFlags", "TestExecOutput",
	"TestExecReads", "TestExecWithAProcess", "TestStandardStreams", "TestRedirected", "TestTheCallersUmask",
	// Rates, of machines that run at their own speed.
	"TestBandwidth$", "TestBandwidthOf", "TestBandwidthUpdate", "TestBandwidthIn",
	// Terminals and descriptors, which are the same in every kernel.
	"TestTopOnATerminal", "TestShellInATerminal", "TestNoDescriptorLeads", "TestSignalsAreForwarded",
	// Many repetitions, to find rare failures or to count costs.
	"TestManyContainers", "TestAmongMany", "TestManyPaths", "TestManyMissing", "TestContainersInOneCgroup", "TestMoreBindMounts", "TestThousandsOf", "TestExecNeverShows", "TestKillOfCreateAt", "TestKillOfDelete", "TestCreateIsKilled", "TestParallel",
	"TestFaults", "TestEitherSideMayBeSlow", "TestACreateBelow", "TestExecWhoseStub", "TestCreateWhoseStub", "TestWords", "TestDeepCgroups", "TestListsAsLong", "TestFlagsOfABindMount", "TestALookupWithout",
	"TestSIGTERMEndsEvery", "TestNoThread", "TestMagicLinks", "TestDeleteForceUnder", "TestACreateWhose", "TestCheckpoint", "TestRestore", "TestManyMounts", "TestTheLimitOfDescriptors", "TestManyDeletes", "TestCreatesAtOneCgroup", "TestCopyUpLongNames",
	"TestEachMountTarget", "TestTheRuntimesExecutable", "TestFilesOfTheImage", "TestExecWhileTheContainerSignals", "TestADeadVolume",
}

// anyOf returns a pattern for names that begin with one of the list.
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
	return []string{"-test.run=" + anyOf(r.tests), "-test.skip=" + anyOf(r.skipped())}
}

// skipped returns the tests that the run leaves out.
func (r run) skipped() []string { return slices.Concat(r.skip, readSources) }

// wanted returns the runs, and the tests in them, that the -run flag selects: TestGuests/guest/driver/test/subtest.
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
	if *others {
		t.Skip("-ports selects the guests of other machines")
	}
	for _, g := range guests() {
		t.Run(g.name, func(t *testing.T) {
			go env.image(g) // so that no image waits until another guest has ended
			t.Parallel()
			g.test(t)
		})
	}
}

func (g guest) test(t *testing.T) {
	runs := g.wanted()
	p, err := env.payload(g.on)
	if err != nil {
		t.Fatal(err)
	}
	i, err := env.image(g)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(env.logs, g.name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	h, err := g.boot(context.Background(), i, p, runs, dir)
	if len(h.runs) == 0 && strings.Contains(h.lastWords(), "Kernel panic") {
		// QEMU sometimes fails to translate code that modifies itself, as a starting kernel does.
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

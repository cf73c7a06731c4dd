package cgroup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// testParent returns the cgroup below which every kernel test works.
func testParent() string { return fmt.Sprintf("/onggi-test-%d", os.Getpid()) }

// testTimeout bounds every wait for the kernel. No wait takes a tenth of it.
const testTimeout = 20 * time.Second

// newPaths returns a cgroup for one test, not created yet. The test fails if something of it is left at the end.
func newPaths(t testing.TB, name string) Paths {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	h, err := Detect()
	if err != nil {
		t.Skipf("no cgroups: %v", err)
	}
	p, err := Resolve(h, path.Join(testParent(), name), "id", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for d := range p.dirs() {
			for dir := d.Path; dir != "/"; dir = path.Dir(dir) {
				if abs := path.Join(d.Mountpoint, dir); unix.Access(abs, unix.F_OK) == nil {
					t.Errorf("%s is left behind", abs)
				}
			}
		}
	})
	return p
}

// create creates p for one test and removes it afterwards.
func create(t testing.TB, p Paths, o CreateOptions) (Paths, []string) {
	t.Helper()
	used, made, err := p.Create(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := testContext(t)
		if err := used.Kill(ctx); err != nil {
			t.Error(err)
		}
		if err := used.WaitEmpty(ctx); err != nil {
			t.Error(err)
		}
		if err := used.Remove(ctx, made); err != nil {
			t.Error(err)
		}
	})
	return used, made
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// start runs a command in p. It reaps the command at the end of the test.
func start(t testing.TB, p Paths, argv ...string) *exec.Cmd {
	t.Helper()
	// The shell waits for the end of its input, so that everything it forks is in the v1 cgroups too.
	cmd := exec.Command("sh", append([]string{"-c", `read x; exec "$@"`, "sh"}, argv...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if f, err := p.OpenUnified(); err != nil {
		t.Fatal(err)
	} else if f != nil {
		defer f.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if err := p.Join(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	in.Close()
	return cmd
}

func TestKernelCreateRemove(t *testing.T) {
	p := newPaths(t, "a/b")
	missing := p.Missing()
	used, made, err := p.Create(CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(made, " "), strings.Join(missing, " "); got != want {
		t.Errorf("made = %v; want what was missing: %v", got, want)
	}
	if err := used.Remove(testContext(t), made); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	p := newPaths(b, "bench")
	// The parent stays, as the parent cgroup of an engine does.
	_, parents, err := newPathsParent(p).Create(CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer newPathsParent(p).Remove(context.Background(), parents)
	var c, r time.Duration
	for b.Loop() {
		t0 := time.Now()
		used, made, err := p.Create(CreateOptions{})
		if err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		if err := used.Remove(context.Background(), made); err != nil {
			b.Fatal(err)
		}
		c += t1.Sub(t0)
		r += time.Since(t1)
	}
	b.ReportMetric(float64(c.Microseconds())/float64(b.N), "create-µs/op")
	b.ReportMetric(float64(r.Microseconds())/float64(b.N), "remove-µs/op")
}

func newPathsParent(p Paths) Paths {
	p = p.clone()
	ds, _ := p.named("")
	for _, d := range ds {
		d.Path = path.Dir(d.Path)
	}
	return p
}

// TestPureV2 runs the kernel tests once more with cgroup2 only, in a mount namespace of its own.
func TestPureV2(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if h, err := Detect(); err != nil || h.Mode == V2 {
		t.Skipf("this is the pure v2 run, or the host has no other (%v)", err)
	}
	script := `umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$0" -test.v -test.run '^TestKernel'`
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script, exe)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	t.Logf("in pure v2:\n%s", out)
	if err != nil {
		t.Error(err)
	}
}

// readBack returns the text of a file of p's cgroup for a controller, or "-" if the file does not exist.
func readBack(t testing.TB, p Paths, controller, file string) string {
	t.Helper()
	d, ok := p.find(controller)
	if !ok {
		return "-"
	}
	text, err := named(d.Abs()).read(file)
	if err != nil {
		return "-"
	}
	return text
}

// controllersOf lists the host's controllers for the container: the v1 ones by name, the cgroup2 ones as "v2:name".
func controllersOf(t testing.TB, p Paths) map[string]bool {
	t.Helper()
	have := make(map[string]bool)
	for _, d := range p.V1 {
		for _, c := range d.Controllers {
			have[c] = true
		}
	}
	if p.Unified != nil {
		text, err := named(p.Unified.Abs()).read("cgroup.controllers")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range strings.Fields(text) {
			have["v2:"+c] = true
		}
	}
	return have
}

func TestKernelSet(t *testing.T) {
	p, _ := create(t, newPaths(t, "set"), CreateOptions{})
	have := controllersOf(t, p)
	for _, test := range []struct {
		needs      string // entry of controllersOf without which the case is skipped
		resources  string
		controller string
		file, want string
	}{
		{"memory", `{"memory":{"limit":33554432,"swap":67108864}}`, "memory", "memory.limit_in_bytes", "33554432"},
		{"memory", `{"memory":{"limit":134217728,"swap":134217728}}`, "memory", "memory.memsw.limit_in_bytes", "134217728"},
		{"memory", `{"memory":{"limit":16777216,"swap":16777216}}`, "memory", "memory.memsw.limit_in_bytes", "16777216"},
		{"memory", `{"memory":{"limit":-1}}`, "memory", "memory.limit_in_bytes", "9223372036854771712"},
		{"memory", `{"memory":{"reservation":8388608,"swappiness":10}}`, "memory", "memory.soft_limit_in_bytes", "8388608"},
		{"memory", `{"memory":{"disableOOMKiller":true}}`, "memory", "memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0"},
		{"memory", `{"memory":{"disableOOMKiller":false}}`, "memory", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0"},
		{"cpu", `{"cpu":{"shares":512}}`, "cpu", "cpu.shares", "512"},
		{"cpu", `{"cpu":{"quota":50000,"period":100000,"burst":20000}}`, "cpu", "cpu.cfs_quota_us", "50000"},
		{"cpu", `{"cpu":{"quota":10000,"period":20000,"burst":0}}`, "cpu", "cpu.cfs_period_us", "20000"},
		{"cpu", `{"cpu":{"quota":-1}}`, "cpu", "cpu.cfs_quota_us", "-1"},
		{"cpu", `{"cpu":{"idle":1}}`, "cpu", "cpu.idle", "1"},
		{"cpu", `{"cpu":{"idle":0,"shares":2048}}`, "cpu", "cpu.shares", "2048"},
		{"cpuset", `{"cpu":{"cpus":"0","mems":"0"}}`, "cpuset", "cpuset.cpus", "0"},
		{"pids", `{"pids":{"limit":77}}`, "pids", "pids.max", "77"},
		{"pids", `{"pids":{"limit":0}}`, "pids", "pids.max", "0"},
		{"pids", `{"pids":{"limit":-1}}`, "pids", "pids.max", "max"},
		{"blkio", `{"blockIO":{"weight":500}}`, "blkio", "blkio.bfq.weight", "500"},
		{"v2:hugetlb", `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}`, "hugetlb", "hugetlb.2MB.max", "4194304"},
		{"v2:hugetlb", `{"unified":{"hugetlb.2MB.max":"2097152"}}`, "hugetlb", "hugetlb.2MB.max", "2097152"},
		{"v2:memory", `{"memory":{"limit":33554432,"swap":67108864,"reservation":4096}}`, "memory", "memory.max", "33554432"},
		{"v2:memory", `{"memory":{"limit":33554432,"swap":50331648}}`, "memory", "memory.swap.max", "16777216"},
		{"v2:memory", `{"unified":{"memory.high":"8388608"}}`, "memory", "memory.high", "8388608"},
		{"v2:cpu", `{"cpu":{"shares":1024,"quota":50000,"period":100000}}`, "cpu", "cpu.max", "50000 100000"},
		{"v2:cpu", `{"cpu":{"period":50000}}`, "cpu", "cpu.max", "50000 50000"},
		{"v2:cpu", `{"cpu":{"shares":2048}}`, "cpu", "cpu.weight", "174"},
		{"v2:cpu", `{"cpu":{"idle":1}}`, "cpu", "cpu.idle", "1"},
		{"v2:cpuset", `{"cpu":{"cpus":"0","mems":"0"}}`, "cpuset", "cpuset.cpus", "0"},
		{"v2:pids", `{"pids":{"limit":77}}`, "pids", "pids.max", "77"},
		{"v2:io", `{"blockIO":{"weight":500}}`, "blkio", "io.bfq.weight", "default 500"},
	} {
		if !have[test.needs] {
			continue
		}
		if readBack(t, p, test.controller, test.file) == "-" && test.controller == "blkio" {
			continue // the kernel has no BFQ or no io.cost
		}
		if err := p.Set(parseResources(t, test.resources), SetOptions{}); err != nil {
			t.Errorf("Set(%s): %v", test.resources, err)
			continue
		}
		if got := readBack(t, p, test.controller, test.file); got != test.want {
			t.Errorf("after Set(%s) %s = %q; want %q", test.resources, test.file, got, test.want)
		}
		t.Logf("%s: %s", test.needs, test.resources)
	}
}

// TestKernelPrograms loads the programs of all kinds of rules. The kernel verifies each program that it loads.
func TestKernelPrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, rules := range []string{
		"-a", "+a", "-a; +c *:* rwm", "-a; +b *:* rwm", "+a; -b 8:* w", "-a; +b *:* rwm; +c *:* rwm",
		"-a; +c *:* m; +b *:* m; +c 1:3 rwm", "-a; +c *:3 rw; -c 1:3 w; +c 1:3 r", "+a; -c *:* rwm; +c 1:3 rwm; -b 8:0 rwm",
	} {
		p, err := newPolicy(deviceRules(rules))
		if err != nil {
			t.Fatal(err)
		}
		fd, err := devicesHook().load(p.program())
		if err != nil {
			t.Errorf("program of %s: %v: %v", rules, p.program(), err)
			continue
		}
		unix.Close(fd)
	}
}

// TestKernelSetRefuses sets limits that no test host supports.
func TestKernelSetRefuses(t *testing.T) {
	p, _ := create(t, newPaths(t, "refuse"), CreateOptions{})
	have := controllersOf(t, p)
	unified := "/linux/resources/unified/nosuch.max: the nosuch controller is not available in"
	if p.Unified == nil {
		unified = "/linux/resources/unified: this host has cgroup v1 only"
	}
	for _, test := range []struct{ unless, resources, want string }{
		{"rdma", `{"rdma":{"mlx":{"hcaHandles":1}}}`, "/linux/resources/rdma: the rdma controller is not "},
		{"net_prio", `{"network":{"priorities":[{"name":"a","priority":1},{"name":"b","priority":2}]}}`, "/linux/resources/network/priorities"},
		{"", `{"unified":{"nosuch.max":"1"}}`, unified},
		{"", `{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}`, "/linux/resources/hugepageLimits/0"},
	} {
		if have[test.unless] || have["v2:"+test.unless] {
			continue
		}
		err := p.Set(parseResources(t, test.resources), SetOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("Set(%s): %v; want %s...", test.resources, err, test.want)
		}
	}
}

// TestKernelCreateRefuses asks for a controller that the cgroup2 hierarchy lacks.
func TestKernelCreateRefuses(t *testing.T) {
	p := newPaths(t, "x/lacks")
	if p.Unified == nil {
		t.Skip("no cgroup2 hierarchy")
	}
	r := parseResources(t, `{"unified":{"nosuch.max":"1"}}`)
	_, made, err := p.Create(CreateOptions{Resources: r})
	if err == nil || !strings.Contains(err.Error(), "the nosuch controller is not available") || made != nil {
		t.Errorf("Create() = %v, %v; want an error about the controller, and nothing made", made, err)
	}
}

// TestKernelOccupy: a cgroup with a process cannot enable controllers for its children. Occupy first moves the
// process to the child.
func TestKernelOccupy(t *testing.T) {
	p := newPaths(t, "scope")
	if p.Unified == nil {
		t.Skip("no cgroup2 hierarchy")
	}
	p.V1 = nil
	above, _ := create(t, p, CreateOptions{})
	start(t, above, "sleep", "1000")
	pids, err := above.Procs()
	if err != nil || len(pids) != 1 {
		t.Fatalf("Procs = %v, %v", pids, err)
	}
	below := above.Below("container")
	if err := below.Occupy(pids[0]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := below.Create(CreateOptions{Ours: true}); err != nil {
		t.Errorf("Create = %v", err)
	}
	for p, want := range map[*Paths]int{&above: 0, &below: 1} {
		if pids, err := p.Procs(); err != nil || len(pids) != want {
			t.Errorf("processes in %s: %v, %v; want %d", p.Unified.Path, pids, err, want)
		}
	}
	if have, want := readBack(t, below, "hugetlb", "cgroup.controllers"), readBack(t, above, "hugetlb", "cgroup.controllers"); have != want {
		t.Errorf("controllers = %q; want %q", have, want)
	}
}

func TestKernelUpdateRestores(t *testing.T) {
	p, _ := create(t, newPaths(t, "update"), CreateOptions{})
	have := controllersOf(t, p)
	var first, second, controller, file, want string
	switch {
	case have["pids"] || have["v2:pids"]:
		first, second = `{"pids":{"limit":50}}`, `{"pids":{"limit":60},"hugepageLimits":[{"pageSize":"2MB","limit":18446744073709551615}],"cpu":{"cpus":"4096"}}`
		controller, file, want = "pids", "pids.max", "50"
	case have["v2:hugetlb"]:
		first, second = `{"unified":{"hugetlb.2MB.max":"4194304"}}`, `{"unified":{"hugetlb.2MB.max":"8388608","hugetlb.2MB.rsvd.max":"nonsense"}}`
		controller, file, want = "hugetlb", "hugetlb.2MB.max", "4194304"
	default:
		t.Skip("no controller to try")
	}
	if err := p.Set(parseResources(t, first), SetOptions{}); err != nil {
		t.Fatal(err)
	}
	err := p.Update(parseResources(t, second), SetOptions{})
	if err == nil {
		t.Fatalf("Update(%s) is accepted", second)
	}
	t.Log(err)
	if got := readBack(t, p, controller, file); got != want {
		t.Errorf("after the failed update %s = %q; want %q", file, got, want)
	}
}

func TestKernelMemoryUpdateOrder(t *testing.T) {
	p, _ := create(t, newPaths(t, "order"), CreateOptions{})
	have := controllersOf(t, p)
	if !have["memory"] && !have["v2:memory"] {
		t.Skip("no memory controller")
	}
	for _, mb := range []int64{64, 128, 32, 256, 16} {
		r := parseResources(t, fmt.Sprintf(`{"memory":{"limit":%d,"swap":%d}}`, mb<<20, mb<<20))
		if err := p.Update(r, SetOptions{}); err != nil {
			t.Errorf("Update to %d MB: %v", mb, err)
		}
	}
}

// canOpen reports whether a process in p may open a device.
func canOpen(t testing.TB, p Paths, device string) bool {
	t.Helper()
	return start(t, p, "sh", "-c", ": <"+device).Wait() == nil
}

func TestKernelDevices(t *testing.T) {
	p, _ := create(t, newPaths(t, "devices"), CreateOptions{})
	opens := func(when string, null, zero, kmsg bool) {
		t.Helper()
		for device, want := range map[string]bool{"/dev/null": null, "/dev/zero": zero, "/dev/kmsg": kmsg} {
			if got := canOpen(t, p, device); got != want {
				t.Errorf("%s: open %s: %v; want %v", when, device, got, want)
			}
		}
	}
	opens("before", true, true, true)
	defaults := SetOptions{Devices: DefaultDevices()}
	deny := &specs.LinuxResources{Devices: deviceRules("-a")}
	if err := p.Set(deny, defaults); err != nil {
		t.Fatal(err)
	}
	opens("defaults", true, true, false)

	// /dev/kmsg is 1:11.
	if err := p.Update(&specs.LinuxResources{Devices: deviceRules("-a; +c 1:11 r")}, defaults); err != nil {
		t.Fatal(err)
	}
	opens("with kmsg", true, true, true)

	if err := p.Update(&specs.LinuxResources{Devices: deviceRules("-a; +c 1:3 rwm")}, SetOptions{}); err != nil {
		t.Fatal(err)
	}
	opens("null alone", true, false, false)

	if err := p.Update(&specs.LinuxResources{Devices: deviceRules("+a; -c 1:5 r")}, SetOptions{}); err != nil {
		t.Fatal(err)
	}
	opens("all but zero", true, false, true)

	if err := p.Update(&specs.LinuxResources{}, SetOptions{}); err != nil {
		t.Fatal(err)
	}
	opens("an update without devices", true, false, true)
	if d, _ := p.find("devices"); d.Controllers == nil {
		g, err := openGroup(d.Abs())
		if err != nil {
			t.Fatal(err)
		}
		defer g.close()
		if ids, err := devicesHook().query(g.fd); err != nil || len(ids) != 1 {
			t.Errorf("programs on the cgroup: %v, %v; want one", ids, err)
		}
	}
}

func TestKernelFreeze(t *testing.T) {
	p, _ := create(t, newPaths(t, "freeze"), CreateOptions{})
	cmd := start(t, p, "sh", "-c", "while :; do sleep 0.01; done")
	frozen := func(want bool) {
		t.Helper()
		if got, err := p.Frozen(); err != nil || got != want {
			t.Errorf("Frozen() = %v, %v; want %v", got, err, want)
		}
	}
	ctx := testContext(t)
	frozen(false)
	if err := p.Freeze(ctx); err != nil {
		t.Fatal(err)
	}
	frozen(true)
	if _, _, err := p.Create(CreateOptions{}); err == nil || !strings.Contains(err.Error(), ErrFrozen.Error()) {
		t.Errorf("Create of a frozen cgroup: %v; want %v", err, ErrFrozen)
	}
	if err := p.Thaw(ctx); err != nil {
		t.Fatal(err)
	}
	frozen(false)
	if err := p.Freeze(ctx); err != nil {
		t.Fatal(err)
	}
	// Kill reaches frozen processes.
	if err := p.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process ended with %v; want killed", err)
	}
}

func TestKernelPopulated(t *testing.T) {
	p, _ := create(t, newPaths(t, "populated"), CreateOptions{})
	cmd := start(t, p, "sleep", "100")
	_, made, err := p.Create(CreateOptions{})
	if len(made) > 0 {
		t.Errorf("Create of an existing cgroup made %v", made)
	}
	if !errors.Is(err, ErrPopulated) {
		t.Errorf("Create of a populated cgroup = %v; want %v", err, ErrPopulated)
	}
	if pids, err := p.Procs(); err != nil || len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("Procs() = %v, %v; want %d", pids, err, cmd.Process.Pid)
	}
	if of, err := p.Of(cmd.Process.Pid); err != nil || count(of) != count(p) {
		t.Errorf("Of(process) = %+v, %v; want %+v", of, err, p)
	}
	if _, err := p.Of(os.Getpid()); err == nil {
		t.Error("Of(the test) has no error")
	}
}

// mkdirBelow makes a cgroup below p in all hierarchies.
func mkdirBelow(t testing.TB, p Paths, names ...string) {
	t.Helper()
	for d := range p.dirs() {
		for _, name := range names {
			if err := os.Mkdir(path.Join(d.Abs(), name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestKernelRemoveSubgroups(t *testing.T) {
	p := newPaths(t, "remove/x")
	used, made, err := p.Create(CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mkdirBelow(t, used, "a", "b", "b/c", "b/c/d", "b/e")
	sub, err := used.Sub([]string{"b/c/d"})
	if err != nil {
		t.Fatal(err)
	}
	// On v1 cpuset needs its values at each level.
	for _, d := range sub.V1 {
		if contains(d.Controllers, "cpuset") {
			if _, err := seedCpuset(d, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := start(t, sub, "sh", "-c", "sleep 100 & wait")
	short, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	err = used.Remove(short, made)
	// On a busy machine the shell may not sleep yet.
	if err == nil || !regexp.MustCompile(`\((sh|sleep), [RSD]`).MatchString(err.Error()) {
		t.Errorf("Remove of a busy cgroup: %v; want the process named", err)
	}
	t.Log(err)
	ctx := testContext(t)
	if err := used.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	removed := make(chan error)
	go func() { removed <- used.Remove(ctx, made) }()
	cmd.Wait()
	if err := <-removed; err != nil {
		t.Error(err)
	}
	if err := used.Remove(ctx, made); err != nil {
		t.Errorf("a second Remove: %v", err)
	}
	if err := used.Kill(ctx); err != nil {
		t.Errorf("Kill after Remove: %v", err)
	}
	if frozen, err := used.Frozen(); frozen || err != nil {
		t.Errorf("Frozen() after Remove = %v, %v", frozen, err)
	}
}

func TestKernelRemoveEmpty(t *testing.T) {
	used, made := create(t, newPaths(t, "above/empty"), CreateOptions{})
	if used.RemoveEmpty(nil) {
		t.Error("RemoveEmpty() removed what others have made")
	}
	mkdirBelow(t, used, "below")
	if used.RemoveEmpty(made) {
		t.Error("RemoveEmpty() of a cgroup with one below it; want false")
	}
	for d := range used.dirs() {
		if err := os.Remove(d.Abs() + "/below"); err != nil {
			t.Fatal(err)
		}
	}
	cmd := start(t, used, "sleep", "100")
	if used.RemoveEmpty(made) {
		t.Error("RemoveEmpty() of a cgroup with a process; want false")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := used.WaitEmpty(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if !used.RemoveEmpty(made) {
		t.Error("RemoveEmpty() of an empty cgroup = false")
	}
	used.RemoveParents(made)
	for d := range newPathsParent(used).dirs() {
		if unix.Access(d.Abs(), unix.F_OK) == nil {
			t.Errorf("RemoveParents() left %s", d.Abs())
		}
	}
}

// TestKernelRemoveDeep removes more levels than a process may have open descriptors.
func TestKernelRemoveDeep(t *testing.T) {
	p := newPaths(t, "deep")
	p.V1 = p.V1[:min(1, len(p.V1))]
	used, made, err := p.Create(CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const levels = 300
	for d := range used.dirs() {
		dir := d.Abs()
		for range levels {
			dir += "/x"
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = levels / 2
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	err = used.Remove(testContext(t), made)
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); e != nil {
		t.Fatal(e)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestKernelRemoveKeeps checks that Remove keeps the cgroups that existed before.
func TestKernelRemoveKeeps(t *testing.T) {
	p := newPaths(t, "keeps/x")
	parent := newPathsParent(p)
	create(t, parent, CreateOptions{})
	used, made, err := p.Create(CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// A second container in the same cgroup has made nothing, so it removes nothing.
	_, none, err := p.Create(CreateOptions{})
	if err != nil || len(none) > 0 {
		t.Fatalf("a second Create made %v, %v", none, err)
	}
	if err := used.Remove(testContext(t), none); err != nil {
		t.Fatal(err)
	}
	for d := range used.dirs() {
		if unix.Access(d.Abs(), unix.F_OK) != nil {
			t.Errorf("%s has been removed by one who did not make it", d.Abs())
		}
	}
	if err := used.Remove(testContext(t), made); err != nil {
		t.Fatal(err)
	}
	for d := range parent.dirs() {
		if unix.Access(d.Abs(), unix.F_OK) != nil {
			t.Errorf("%s has been removed by one who did not make it", d.Abs())
		}
	}
}

// TestKernelKillForkBomb kills processes that fork as fast as they can. Each way of killing has its own cgroup: see
// OpenUnified about cgroups whose cgroup.kill was written.
func TestKernelKillForkBomb(t *testing.T) {
	for _, test := range []struct {
		name string
		kill func(context.Context, Paths) error
	}{
		{"kill", func(ctx context.Context, p Paths) error { return p.Kill(ctx) }},
		{"kill-v1", func(ctx context.Context, p Paths) error { return Paths{V1: p.V1}.Kill(ctx) }},
		{"signal", func(ctx context.Context, p Paths) error { return p.Signal(ctx, unix.SIGTERM) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _ := create(t, newPaths(t, test.name), CreateOptions{})
			if test.name == "kill-v1" && p.V1 == nil {
				t.Skip("no v1 hierarchy")
			}
			if have := controllersOf(t, p); have["pids"] || have["v2:pids"] {
				if err := p.Set(parseResources(t, `{"pids":{"limit":40}}`), SetOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			ctx := testContext(t)
			cmd := start(t, p, "sh", "-c", "for i in 1 2 3; do (while :; do /bin/true; done) & done; wait")
			for pids, err := p.AllProcs(); len(pids) < 3; pids, err = p.AllProcs() {
				if err != nil || ctx.Err() != nil {
					t.Fatal("the processes have not started", err)
				}
			}
			if err := test.kill(ctx, p); err != nil {
				t.Error(err)
			}
			cmd.Wait()
			if err := p.WaitEmpty(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKernelWaitEmptyDeadline(t *testing.T) {
	p, _ := create(t, newPaths(t, "wait"), CreateOptions{})
	asleep(t, start(t, p, "sleep", "100").Process.Pid)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := p.WaitEmpty(ctx)
	if err == nil || !strings.Contains(err.Error(), "(sleep, S") || time.Since(begin) > 5*time.Second {
		t.Errorf("WaitEmpty() = %v after %v; want an error that names sleep at the deadline", err, time.Since(begin))
	}
}

// TestKernelWaitEmptyRemovedByAnother: another process removes the cgroup before the kernel has announced that it is
// empty. The kernel announces at most once in 10 ms, and here the process starts and ends within that time.
func TestKernelWaitEmptyRemovedByAnother(t *testing.T) {
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p, _ := create(t, newPaths(t, "another"), CreateOptions{})
			if p.Unified == nil {
				t.Skip("no cgroup2 here")
			}
			cmd := start(t, p, "sleep", "100")
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			dir := p.Unified.Abs()
			waited := make(chan error)
			begin := time.Now()
			go func() { waited <- waitEmpty(ctx, dir, true) }()
			time.Sleep(time.Duration(i%4) * time.Millisecond)
			cmd.Process.Kill()
			for unix.Rmdir(dir) == unix.EBUSY && ctx.Err() == nil { // retry until the cgroup is empty
			}
			if err := <-waited; err != nil || time.Since(begin) > testTimeout/4 {
				t.Errorf("waitEmpty() = %v after %v", err, time.Since(begin))
			}
			cmd.Wait()
		})
	}
}

// asleep waits until the process has executed sleep and sleeps.
func asleep(t testing.TB, pid int) {
	t.Helper()
	var stat []byte
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if stat, _ = os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Contains(string(stat), "(sleep) S") {
			return
		}
	}
	t.Fatalf("it does not sleep: %s", stat)
}

func TestKernelWatchOOM(t *testing.T) {
	p, _ := create(t, newPaths(t, "oom"), CreateOptions{})
	have := controllersOf(t, p)
	if !have["memory"] && !have["v2:memory"] {
		t.Skip("no memory controller")
	}
	if err := p.Set(parseResources(t, `{"memory":{"limit":8388608,"swap":8388608}}`), SetOptions{}); err != nil {
		t.Fatal(err)
	}
	w, err := p.WatchOOM()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	victims, err := p.OpenVictims()
	if err != nil {
		t.Skipf("the kernel's log cannot be read: %v", err)
	}
	defer victims.Close()
	if oom, err := w.Read(); oom != (OOM{}) || err != nil {
		t.Errorf("Read before there was an OOM = %+v, %v", oom, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	// A shell that doubles a string exceeds any limit.
	cmd := start(t, p, "sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done")
	begin := time.Now()
	var oom OOM
	for oom.Count == 0 && err == nil { // on v2 the kernel announces the limit before the kill
		if err := poll(ctx, w.PollFd()); err != nil {
			t.Fatal(err)
		}
		oom, err = w.Read()
	}
	if oom.Count != 1 || err != nil {
		t.Errorf("Read = %+v, %v; want one", oom, err)
	}
	victim, ok := victims.Next(ctx)
	if want := (Victim{cmd.Process.Pid, "sh"}); victim != want || !ok {
		t.Errorf("Next = %+v, %v; want %+v", victim, ok, want)
	}
	t.Logf("after %v", time.Since(begin))
	short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	if v, ok := victims.Next(short); ok {
		t.Errorf("a second victim: %+v", v)
	}
}

func TestKernelWatchPressure(t *testing.T) {
	p, _ := create(t, newPaths(t, "pressure"), CreateOptions{})
	if p.Unified == nil {
		t.Skip("no cgroup2 hierarchy")
	}
	w, err := p.WatchPressure(Threshold{Resource: "cpu", Stall: 50 * time.Millisecond, Window: 2 * time.Second})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	// Ten loops on fewer processors compete for CPU time.
	for range 10 {
		start(t, p, "sh", "-c", "while :; do :; done")
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := poll(ctx, w.PollFd()); err != nil {
		t.Fatal(err)
	}
	if ps, err := w.Read(); err != nil || ps.Some == nil || ps.Some.Total == 0 {
		t.Errorf("Read = %+v, %v; want a total", ps, err)
	}
	if _, err := p.WatchPressure(Threshold{Resource: "cpu", Stall: 3 * time.Second, Window: 2 * time.Second}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("WatchPressure with more stall than window = %v; want EINVAL", err)
	}
}

func TestKernelStats(t *testing.T) {
	p, _ := create(t, newPaths(t, "stats"), CreateOptions{})
	have := controllersOf(t, p)
	start(t, p, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 100")
	s, err := p.Stats()
	for err == nil && s.CPU.Usage.Total == 0 {
		s, err = p.Stats()
	}
	if err != nil {
		t.Fatal(err)
	}
	if (have["pids"] || have["v2:pids"]) && s.Pids.Current == 0 {
		t.Error("no pids.current")
	}
	if (have["memory"] || have["v2:memory"]) && (s.Memory.Usage.Limit == 0 || len(s.Memory.Raw) == 0) {
		t.Errorf("memory: %+v; want a limit and raw figures", s.Memory)
	}
	if have["cpuset"] && len(s.CPUSet.CPUs) == 0 {
		t.Error("no cpus")
	}
	if have["v2:hugetlb"] {
		if _, ok := s.Hugetlb["2MB"]; !ok {
			t.Errorf("hugetlb: %+v; want 2MB", s.Hugetlb)
		}
	}
	text, err := json.Marshal(s)
	t.Logf("%s, %v", text, err)
}

func TestKernelSub(t *testing.T) {
	p, _ := create(t, newPaths(t, "sub"), CreateOptions{})
	mkdirBelow(t, p, "child")
	s, err := p.Sub([]string{"child"})
	if err != nil {
		t.Fatal(err)
	}
	for d := range s.dirs() {
		if path.Base(d.Path) != "child" {
			t.Errorf("Sub(child) has %s", d.Abs())
		}
	}
	for _, bad := range []string{"nosuch", "../x", "nosuch:child"} {
		if s, err := p.Sub([]string{bad}); err == nil {
			t.Errorf("Sub(%q) = %+v; want an error", bad, s)
		}
	}
}

func TestKernelDelegate(t *testing.T) {
	p, _ := create(t, newPaths(t, "delegate"), CreateOptions{})
	if p.Unified == nil {
		t.Skip("no cgroup2 hierarchy")
	}
	const uid = 12345
	if err := p.Delegate(uid); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]uint32{"": uid, "cgroup.procs": uid, "cgroup.subtree_control": uid, "cgroup.events": 0, "cgroup.kill": 0} {
		var st unix.Stat_t
		if err := unix.Stat(path.Join(p.Unified.Abs(), file), &st); err != nil {
			t.Fatal(err)
		}
		if st.Uid != want {
			t.Errorf("owner of %q = %d; want %d", file, st.Uid, want)
		}
	}
}

// TestKernelSelfJoin joins the v1 cgroups as a container's first process does.
func TestKernelSelfJoin(t *testing.T) {
	p, _ := create(t, newPaths(t, "selfjoin"), CreateOptions{})
	script := "read x; "
	for _, f := range p.SelfJoinFiles() {
		script += "echo 0 >" + f + "; "
	}
	cmd := exec.Command("sh", "-c", script+"cat /proc/self/cgroup")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if f, err := p.OpenUnified(); err != nil {
		t.Fatal(err)
	} else if f != nil {
		defer f.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	cmd.Stdin = strings.NewReader("go\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if of, err := p.of(memberships(string(out)), "the process", func(Dir) bool { return false }); err != nil || fmt.Sprint(of.V1) != fmt.Sprint(p.V1) {
		t.Errorf("the process is in %s; want %+v", out, p)
	}
}

// TestKernelNothingLeft runs last. It checks that the tests' parent is gone in all hierarchies.
func TestKernelNothingLeft(t *testing.T) {
	p := newPaths(t, "x")
	for d := range p.dirs() {
		if abs := path.Join(d.Mountpoint, testParent()); unix.Access(abs, unix.F_OK) == nil {
			t.Errorf("%s is left behind", abs)
		}
	}
}

// count returns the number of hierarchies in which p has a cgroup.
func count(p Paths) int { return len(slices.Collect(p.dirs())) }

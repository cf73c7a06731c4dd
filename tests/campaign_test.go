package tests

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/tests/fault"
)

// target is a verb in which the campaign makes system calls fail.
type target struct {
	name   string
	before func(*container)
	line   func(*container) []string
	holds  func(*container) bool // condition after success
}

var targets = []target{
	{"create", func(*container) {}, func(c *container) []string { return c.withFlags("create", "--pid-file", c.pidFile()) }, statusIs("created")},
	{"start", func(c *container) { c.create() }, onID("start"), hasRun},
	{"run", func(*container) {}, func(c *container) []string { return c.withFlags("run", "--detach", "--pid-file", c.pidFile()) }, hasRun},
	{"exec", began, func(c *container) []string {
		return []string{"exec", "--pid-file", c.pidFile(), c.id, "touch", "/ran"}
	}, hasRun},
	{"update", began, func(c *container) []string {
		return slices.Concat([]string{"update"}, c.somethingElse(), []string{c.id})
	}, isUpdated},
	{"pause", began, onID("pause"), statusIs("paused")},
	{"resume", func(c *container) { began(c); c.must("pause", c.id) }, onID("resume"), statusIs("running")},
	{"kill", began, func(c *container) []string { return []string{"kill", c.id, "KILL"} }, statusIs("stopped")},
	{"delete", func(c *container) { c.create() }, onID("delete"), func(c *container) bool {
		_, err := os.Stat(filepath.Join(c.root, c.id))
		return err != nil
	}},
	{"mounts add", began, func(c *container) []string {
		return []string{"mounts", "add", c.id, filepath.Join(c.bundle, "mounts.json")}
	}, func(c *container) bool {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", c.state().Pid))
		return strings.Contains(string(data), " /mnt ")
	}},
}

// isUpdated reports whether the cgroup has the new limit.
func isUpdated(c *container) bool {
	if env.layout == "v2" {
		data, _ := os.ReadFile(filepath.Join(c.cgroupDirs()[0], "cgroup.max.depth"))
		return string(data) == "5\n"
	}
	data, _ := os.ReadFile(filepath.Join(c.cgroupDir("pids"), "pids.max"))
	return string(data) == "50\n"
}

func onID(verb string) func(*container) []string {
	return func(c *container) []string { return []string{verb, c.id} }
}

func statusIs(status string) func(*container) bool {
	return func(c *container) bool { return c.status() == status }
}

// began returns a started container. Its program has not written its file yet.
func began(c *container) {
	c.must(c.withFlags("run", "--detach", "--pid-file", c.pidFile())...)
	eventually(c.t, "the program has run", func() bool { return hasRun(c) })
	c.forget()
}

func hasRun(c *container) bool {
	_, err := os.Stat(filepath.Join(c.rootfs, "ran"))
	return err == nil
}

func (c *container) pidFile() string { return filepath.Join(c.bundle, "pid") }

// forget removes the files that a program and a verb may leave.
func (c *container) forget() {
	os.Remove(filepath.Join(c.rootfs, "ran"))
	os.Remove(c.pidFile())
}

// errnos lists the errors that the campaign injects.
var errnos = []syscall.Errno{unix.ENOMEM, unix.EINTR, unix.EIO, unix.ENOSPC, unix.EMFILE, unix.EPERM}

// actions returns all faults for a point.
func actions(p fault.Point) []fault.Action {
	if p.Side == fault.Go {
		return []fault.Action{{Errno: unix.ENOMEM}}
	}
	var all []fault.Action
	for _, e := range errnos {
		all = append(all, fault.Action{Errno: e})
	}
	all = append(all, fault.Action{Kill: fault.TheCommand}, fault.Action{Kill: fault.TheCommand, After: true})
	if p.Side == fault.Stub {
		all = append(all, fault.Action{Kill: fault.TheCaller}, fault.Action{Kill: fault.TheCaller, After: true})
	}
	return all
}

// ofGo lists calls of the Go runtime that get a fault. A Go program cannot continue without most of them.
var ofGo = []string{"clone", "mmap", "madvise", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2"}

// always lists the calls that never fail or do not return.
var always = []string{"exit", "exit_group", "gettid", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "umask"}

// canFail reports whether a call returns and may return an error.
func canFail(p fault.Point) bool {
	if p.Side == fault.Go {
		return slices.Contains(ofGo, fault.Name(p.Nr))
	}
	return !slices.Contains(always, fault.Name(p.Nr))
}

// faultRow is a line of the campaign's table.
type faultRow struct {
	Verb, Layout, Build                          string
	All, Tried                                   int // number of possible faults, and of injected ones
	Points, Faults, Errors, Lies, Leaks, Foreign int
	Hangs, Panics, Aborts                        int
}

// key begins the row of a verb on a layout.
func (r faultRow) key() string { return fmt.Sprintf("| `%s` | %s |", r.Verb, r.Layout) }

func (r faultRow) String() string {
	extent := "whole"
	if r.Tried < r.All {
		extent = fmt.Sprintf("%d of %d", r.Tried, r.All)
	}
	commit, _, _ := strings.Cut(r.Build, " ")
	return fmt.Sprintf("%s %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %d |", r.key(), commit, extent,
		r.Points, r.Faults, r.Errors, r.Lies, r.Leaks, r.Foreign, r.Hangs, r.Panics, r.Aborts)
}

// campaign injects faults into one verb.
type campaign struct {
	*container
	target
	journal *journal
	stock   stock
	files   map[string]bool // files that may exist
	others  []int           // processes that must survive
}

// TestFaults lets each system call of each verb fail in turn, with each errno. It also kills the runtime, or the stub,
// before and after each call. Then it runs `delete --force` and looks for leftovers.
//
// Without CAMPAIGN=whole it takes a sample: SEED selects it, and TRIALS is its size. CAMPAIGN=whole and CAMPAIGN=sample
// write a row for each verb into the table. -run chooses verbs. BUDGET is the longest time for the faults of one verb.
// JOURNAL is a file that keeps the outcomes: faults that the same binary has had already are skipped, and counted in the
// row. SHARD=1/4 takes a quarter of the faults; four such processes may run at once, with one journal.
// FAULT='runtime:openat#3, EMFILE' runs one fault alone.
func TestFaults(t *testing.T) {
	if !fault.Supported {
		t.Skip("system calls can be changed on amd64 alone")
	}
	peerFails(t, "runc", "leaves cgroups")
	peerFails(t, "crun", "leaves cgroups")
	needCgroupfs(t)
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("SEED=%d", seed)
	j := openJournal(t)
	for i, v := range targets {
		t.Run(v.name, func(t *testing.T) {
			c := newCampaign(t, v, j)
			row := c.run(rand.New(rand.NewPCG(seed, uint64(i))))
			t.Log(row)
			if os.Getenv("CAMPAIGN") != "" && os.Getenv("FAULT") == "" && (os.Getenv("SHARD") == "" || j.path != "") {
				writeRow(t, row)
			}
		})
	}
}

func wholeCampaign() bool { return os.Getenv("CAMPAIGN") == "whole" }

func newCampaign(t *testing.T, v target, j *journal) *campaign {
	c := newContainer(t, sh("touch /ran; exec sleep 1000"), tmpfsAt("/tmpfs"),
		seccomp(specs.LinuxSyscall{Names: []string{"acct"}, Action: specs.ActErrno}),
		hooks("createRuntime", specs.Hook{Path: "/bin/true"}), hooks("poststop", specs.Hook{Path: "/bin/true"}))
	if env.layout != "v2" { // on v2 only hugetlb may be available
		c.edit(resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(100))} }))
	}
	data, err := json.Marshal([]specs.Mount{{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs"}})
	if err != nil {
		t.Fatal(err)
	}
	c.write("mounts.json", string(data))

	other := newContainer(t, args("sleep", "1000000"))
	other.root = c.root
	k := &campaign{container: c, target: v, journal: j, others: []int{other.up()}}
	k.clean() // objects that a host creates once exist from now on
	v.before(c)
	c.verb(v.line(c)...)
	k.clean()
	k.stock = takeStock()
	k.files = k.listFiles()
	return k
}

func (c *campaign) clean() {
	c.must("delete", "--force", c.id)
	c.forget()
}

// listFiles returns the files in the state root and in the bundle.
func (c *campaign) listFiles() map[string]bool {
	files := map[string]bool{}
	for _, dir := range []string{c.root, c.bundle} {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if path == c.rootfs {
				return filepath.SkipDir
			}
			files[path] = true
			return nil
		})
	}
	return files
}

// faultAt is a trial in a form that can be executed.
type faultAt struct {
	trial
	at fault.Point
	do fault.Action
}

// faults returns all faults of the verb.
func (c *campaign) faults() []faultAt {
	var all []faultAt
	for _, p := range c.points() {
		for _, a := range actions(p) {
			all = append(all, faultAt{trial{c.name, env.layout, p.String(), a.String()}, p, a})
		}
	}
	return all
}

// run tries the faults of the campaign, or a sample, and returns the row of the table.
func (c *campaign) run(random *rand.Rand) faultRow {
	all := c.faults()
	todo := c.selected(all, random)
	budget, err := time.ParseDuration(os.Getenv("BUDGET"))
	began := time.Now()
	for i, x := range todo {
		if err == nil && time.Since(began) > budget {
			break
		}
		if i%100 == 0 {
			c.t.Logf("%d of %d faults", i, len(todo))
		}
		c.try(x)
	}
	c.journal.read(c.t)
	var trials []trial
	for _, x := range all {
		trials = append(trials, x.trial)
	}
	return c.journal.row(c.name, env.layout, trials)
}

// selected returns the faults that this process has to try, in random order.
func (c *campaign) selected(all []faultAt, random *rand.Rand) []faultAt {
	if only := os.Getenv("FAULT"); only != "" {
		return slices.DeleteFunc(slices.Clone(all), func(x faultAt) bool { return x.String() != only })
	}
	todo := slices.DeleteFunc(slices.Clone(all), func(x faultAt) bool {
		_, done := c.journal.done[x.trial]
		return done || !inShard(x.String(), os.Getenv("SHARD"))
	})
	random.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	if !wholeCampaign() {
		todo = todo[:min(len(todo), sampleSize())]
	}
	return todo
}

// inShard reports whether a fault is in the k-th of n parts, for "k/n". It goes by the fault's text: two processes may see
// different calls of the Go runtime, and still try each common fault once.
func inShard(fault, shard string) bool {
	var k, n uint32
	if _, err := fmt.Sscanf(shard, "%d/%d", &k, &n); err != nil || n == 0 {
		return true
	}
	return crc32.ChecksumIEEE([]byte(fault))%n == k%n
}

// sampleSize returns the number of faults for each verb: TRIALS, if it is set.
func sampleSize() int {
	if n, err := strconv.Atoi(os.Getenv("TRIALS")); err == nil {
		return n
	}
	return amount(5, 15, 40)
}

// points returns the calls of an undisturbed run of the verb.
func (c *campaign) points() []fault.Point {
	c.before(c.container)
	o, out := c.traced(fault.Point{}, fault.Action{})
	if o.Status.ExitStatus() != 0 {
		c.t.Fatalf("control: %s exits with %d: %s", c.name, o.Status.ExitStatus(), out)
	}
	if !c.comesTrue() {
		c.t.Fatalf("control: %s has no effect", c.name)
	}
	c.clean()
	return slices.DeleteFunc(o.Points, func(p fault.Point) bool { return !canFail(p) })
}

// comesTrue waits shortly for the effect: start does not wait for its program.
func (c *campaign) comesTrue() bool {
	for deadline := time.Now().Add(slowly(time.Second)); ; time.Sleep(time.Millisecond) {
		if c.holds(c.container) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// faultLimit is longer than all deadlines of the runtime.
var faultLimit = slowly(40 * time.Second)

// traced runs the verb with a fault and returns its standard error.
func (c *campaign) traced(at fault.Point, do fault.Action) (*fault.Outcome, string) {
	c.t.Helper()
	o, _, errs := c.traceVerb(c.line(c.container), at, do)
	return o, errs
}

// traceVerb runs a verb with a fault and returns its standard output and error.
func (c *container) traceVerb(line []string, at fault.Point, do fault.Action) (o *fault.Outcome, out, errs string) {
	c.t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	defer null.Close()
	var files [2]*os.File
	for i := range files {
		fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
		if err != nil {
			c.t.Fatal(err)
		}
		files[i] = os.NewFile(uintptr(fd), "output")
		defer files[i].Close()
	}
	command := append(slices.Clone(c.wrapper), cmp.Or(c.runtime, env.runtime), "--root", c.root)
	o, err = fault.Run(fault.Command{
		Path: command[0], Args: append(command[1:], line...), Dir: c.bundle,
		Env:   []string{"PATH=" + os.Getenv("PATH"), "HOME=/root"},
		Files: []uintptr{null.Fd(), files[0].Fd(), files[1].Fd()}, Limit: faultLimit,
	}, at, do)
	if err != nil {
		c.t.Fatalf("%s: %v", at, err)
	}
	return o, contents(files[0]), contents(files[1])
}

// try runs the verb with one fault and checks the result.
func (c *campaign) try(x faultAt) {
	c.t.Helper()
	c.before(c.container)
	began := time.Now()
	o, out := c.traced(x.at, x.do)
	result := outcome{trial: x.trial, Hit: o.Hit, Status: o.Status.ExitStatus(), Found: map[string]string{}}
	complain := func(kind, what string) {
		result.Found[kind] = fmt.Sprintf("%s (exit status %d, %v): %.600s", what, o.Status.ExitStatus(), o.Took.Round(time.Millisecond), out)
		c.t.Errorf("%s, %s, reached: %t: %s: %s", c.name, x, o.Hit, kind, result.Found[kind])
	}
	switch {
	case o.Late:
		complain(hang, o.Where)
	case strings.Contains(out, "goroutine ") && x.at.Side == fault.Go && !strings.Contains(out, "BUG"):
		result.Found[abort] = ""
	case strings.Contains(out, "goroutine "):
		complain(panics, "stacks")
	case o.Status.ExitStatus() == 0 && !c.diedAtTheGate(x.at) && !c.comesTrue():
		complain(lie, "no effect")
	}
	if r := c.deleted(); r.code != 0 {
		complain(leak, "delete --force: "+r.String())
	}
	c.forget()
	if left := c.left(); left != "" {
		complain(leak, "left "+left)
	}
	for _, pid := range c.others {
		if s := state(pid); s == 0 || s == 'Z' {
			complain(foreign, "another container's")
		}
	}
	result.Took = int(time.Since(began).Milliseconds())
	c.journal.add(c.t, result)
	if _, killed := result.Found[foreign]; killed {
		c.t.FailNow()
	}
}

// diedAtTheGate reports whether the fault was in the first process's last batch. create does not wait for this batch, which
// closes the control socket and then waits at the gate. If the process dies there, create has succeeded, and start reports
// the dead process. A fault in any other batch makes create fail.
func (c *campaign) diedAtTheGate(at fault.Point) bool {
	return c.name == "create" && at.Side == fault.Stub && slices.Contains([]string{"madvise", "close", "recvfrom", "read"}, fault.Name(at.Nr)) && c.status() == "stopped"
}

// deleted deletes the container by force. Meanwhile it reaps the orphans of the killed processes, as an engine's shim does.
// The first process of a pid namespace ends only after all others.
func (c *campaign) deleted() result {
	c.t.Helper()
	i := c.begin("delete", "--force", c.id)
	stop, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			for _, pid := range children() {
				if pid != i.Process.Pid && state(pid) == 'Z' && !slices.Contains(c.stock.children, pid) {
					syscall.Wait4(pid, nil, 0, nil)
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	r := i.end()
	close(stop)
	<-over
	return r
}

// left waits shortly for processes and cgroups that are about to end. It returns the names of the others and removes them.
func (c *campaign) left() string {
	left := c.stock.leftAfter(slowly(3 * time.Second))
	for _, dir := range c.cgroupDirs() {
		left = append(left, "cgroup "+dir)
		removeCgroup(dir)
	}
	for path := range c.listFiles() {
		if !c.files[path] {
			left = append(left, "file "+path)
			os.RemoveAll(path)
		}
	}
	// Foreign mounts may disappear meanwhile: removing a directory unmounts the mounts on it.
	for line := range strings.Lines(mountinfo()) {
		if !strings.Contains(c.stock.mounts, line) {
			left = append(left, "mount "+line)
			c.stock.mounts += line
		}
	}
	return strings.Join(left, "; ")
}

// The table is between these lines of docs/security.md.
const (
	tableFile  = "../docs/security.md"
	tableBegin = "<!-- make campaign -->\n"
	tableEnd   = "<!-- end -->\n"
)

// writeRow replaces the verb's row of the table. Several processes may write rows of different verbs.
func writeRow(t *testing.T, r faultRow) {
	t.Helper()
	lock, err := os.Open(filepath.Dir(tableFile))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), tableBegin)
	table, tail, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of the campaign", tableFile)
	}
	lines := strings.SplitAfter(table, "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, r.key()) })
	if at < 0 {
		at = len(lines) - 1
		lines = slices.Insert(lines, at, "")
	}
	lines[at] = r.String() + "\n"
	if err := os.WriteFile(tableFile, []byte(head+tableBegin+strings.Join(lines, "")+tableEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

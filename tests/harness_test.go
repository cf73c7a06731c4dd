package tests

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// patience bounds a verb. A slow machine under load needs seconds for work of milliseconds; no correct verb takes this long.
var patience = slowly(30 * time.Second)

// slowly scales a deadline by SLOWER: the number of times that the machine is slower than hardware.
func slowly(d time.Duration) time.Duration {
	if factor, err := strconv.Atoi(os.Getenv("SLOWER")); err == nil {
		return d * time.Duration(factor)
	}
	return d
}

// number counts the containers of the run, which gives each one its own names.
var number atomic.Int64

// container is a bundle, and the container that a verb has made from it.
type container struct {
	t      testing.TB
	id     string
	bundle string
	rootfs string
	root   string // state root
	cgroup string // path below the mountpoints
	scope  bool   // systemd creates the cgroup
	spec   *specs.Spec

	// Global options, which are added to every invocation.
	global []string
	flags  []string // for create and run
	env    []string
	extra  []*os.File
	stdin  *os.File

	ownRoot bool     // the harness passes no --root
	runtime string   // the binary, if it differs from env.runtime
	wrapper []string // a command that executes the runtime
}

// newContainer writes a bundle with a busybox rootfs and the edited default spec. When the test ends, it deletes the
// container by force if it still exists, and looks for leftovers.
func newContainer(t testing.TB, edits ...edit) *container {
	t.Helper()
	n := fmt.Sprintf("t%d-%d", os.Getpid(), number.Add(1))
	dir := filepath.Join(env.dir, n)
	c := &container{
		t: t, id: n,
		bundle: filepath.Join(dir, "bundle"),
		rootfs: filepath.Join(dir, "bundle", "rootfs"),
		root:   filepath.Join(dir, "state"),
		cgroup: "/onggi-tests-" + n,
		spec:   defaultSpec(),
	}
	if env.driver == "systemd" {
		c.inScope()
	}
	c.spec.Linux.CgroupsPath = c.cgroupsPath()
	before := takeStock()
	makeRootfs(t, c.rootfs)
	t.Cleanup(func() {
		c.cleanup()
		before.compare(t, c)
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	c.edit(edits...)
	return c
}

// in returns the container for use in a subtest.
func (c *container) in(t testing.TB) *container {
	sub := *c
	sub.t = t
	return &sub
}

// edit changes the spec and writes it into the bundle again.
func (c *container) edit(edits ...edit) {
	c.t.Helper()
	for _, e := range edits {
		e(c.spec)
	}
	data, err := json.MarshalIndent(c.spec, "", "\t")
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("config.json", string(data))
}

// write writes a file of the bundle; the path is relative to it.
func (c *container) write(path, data string) {
	c.t.Helper()
	path = filepath.Join(c.bundle, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *container) cleanup() {
	if _, err := os.Stat(filepath.Join(c.root, c.id)); err == nil {
		c.verb("delete", "--force", c.id)
	}
}

// applets are the busybox commands that the tests use.
var applets = strings.Fields(`ash cat chmod chown chrt cp cut date dd df echo env expr false find free getty grep
	head hostname id ifconfig ionice ip kill ln ls mkdir mkfifo mknod mount mv nice nohup nproc od ping pivot_root pidof
	ps pwd readlink realpath rm rmdir sed seq sh sleep sort stat stty sync sysctl tail tee test top touch tr true tty
	umount uname uniq unshare uptime usleep wc which whoami xargs yes`)

// makeRootfs makes the smallest root file system for the default container.
func makeRootfs(t testing.TB, rootfs string) {
	t.Helper()
	for _, dir := range []string{"bin", "dev", "etc", "home/user", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "var"} {
		if err := os.MkdirAll(filepath.Join(rootfs, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(rootfs, "tmp"), 0o1777); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{env.busybox: "bin/busybox", env.probe: "bin/probe"} {
		if err := os.Link(from, filepath.Join(rootfs, to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range applets {
		if err := os.Symlink("busybox", filepath.Join(rootfs, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, data := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n",
		"etc/group":  "root:x:0:\nuser:x:1000:\n",
	} {
		if err := os.WriteFile(filepath.Join(rootfs, path), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// result is the outcome of an invocation of the runtime.
type result struct {
	args     []string
	out, err string
	code     int // -1 if a signal ended it
	took     time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("%s: exit status %d\nstdout: %s\nstderr: %s", strings.Join(r.args, " "), r.code, r.out, r.err)
}

// invocation is one running process of the runtime. Its output goes to files, not pipes: a container keeps its streams open,
// so waiting for the end of a pipe would mean waiting for the container.
type invocation struct {
	*exec.Cmd
	t        testing.TB
	out, err *os.File
	began    time.Time
	cancel   context.CancelFunc
	args     []string
}

// begin starts the runtime with the container's global options before the arguments.
func (c *container) begin(args ...string) *invocation {
	c.t.Helper()
	all := append(slices.Clone(c.wrapper), cmp.Or(c.runtime, env.runtime))
	if !c.ownRoot {
		all = append(all, "--root", c.root)
	}
	if c.scope {
		all = append(all, "--systemd-cgroup")
	}
	all = slices.Concat(all, c.global, args)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	i := &invocation{t: c.t, args: args, cancel: cancel, began: time.Now(), Cmd: exec.CommandContext(ctx, all[0], all[1:]...)}
	i.Dir = c.bundle
	i.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/root"}, c.env...)
	i.Stdin, i.ExtraFiles = nil, c.extra
	if c.stdin != nil {
		i.Stdin = c.stdin
	}
	i.out, i.err = scratch(c.t), scratch(c.t)
	i.Stdout, i.Stderr = i.out, i.err
	if err := i.Start(); err != nil {
		c.t.Fatal(err)
	}
	return i
}

// end waits for the runtime's process and reads its output so far.
func (i *invocation) end() result {
	i.t.Helper()
	defer i.cancel()
	err := i.Wait()
	r := result{args: i.args, code: i.ProcessState.ExitCode(), took: time.Since(i.began), out: contents(i.out), err: contents(i.err)}
	if r.code == -1 && r.took >= patience {
		i.t.Fatalf("%s: no end after %v\nstderr: %s", strings.Join(i.args, " "), patience, r.err)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		i.t.Fatalf("%s: %v", strings.Join(i.args, " "), err)
	}
	return r
}

// scratch is a file without a name that vanishes with the test.
func scratch(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	// Two processes of a container must not overwrite each other's output.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_APPEND); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "output")
	t.Cleanup(func() { f.Close() })
	return f
}

func contents(f *os.File) string {
	var b bytes.Buffer
	io.Copy(&b, io.NewSectionReader(f, 0, 16<<20))
	return b.String()
}

// verb runs the runtime to its end.
func (c *container) verb(args ...string) result {
	c.t.Helper()
	return c.begin(args...).end()
}

// must is verb for an invocation that has to succeed.
func (c *container) must(args ...string) result {
	c.t.Helper()
	r := c.verb(args...)
	if r.code != 0 {
		c.t.Fatal(r)
	}
	return r
}

func (c *container) withFlags(verb string, flags ...string) []string {
	all := append([]string{verb, "--bundle", c.bundle}, c.flags...)
	return append(append(all, flags...), c.id)
}

// run runs the container in the foreground, to its end.
func (c *container) run(flags ...string) result {
	c.t.Helper()
	return c.verb(c.withFlags("run", flags...)...)
}

// output runs the container, which has to succeed, and returns its output without the last newline.
func (c *container) output(flags ...string) string {
	c.t.Helper()
	r := c.run(flags...)
	if r.code != 0 {
		c.t.Fatal(r)
	}
	return strings.TrimSuffix(r.out, "\n")
}

// create creates the container. The result has its output, which grows.
func (c *container) create(flags ...string) *invocation {
	c.t.Helper()
	i := c.begin(c.withFlags("create", flags...)...)
	if r := i.end(); r.code != 0 {
		c.t.Fatal(r)
	}
	return i
}

func (c *container) start() {
	c.t.Helper()
	c.must("start", c.id)
}

// up creates and starts the container with a command that stays, and returns its first process.
func (c *container) up(flags ...string) int {
	c.t.Helper()
	if c.spec.Process.Args[0] == "true" {
		c.edit(args("sleep", "1000"))
	}
	c.create(flags...)
	c.start()
	return c.state().Pid
}

// state returns the state that the runtime prints.
func (c *container) state() specs.State {
	c.t.Helper()
	var s specs.State
	r := c.must("state", c.id)
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		c.t.Fatalf("%v\n%s", err, r)
	}
	return s
}

func (c *container) status() string {
	c.t.Helper()
	return string(c.state().Status)
}

// exec runs a command in the running container. Flags come before the id.
func (c *container) exec(flags []string, command ...string) result {
	c.t.Helper()
	return c.verb(append(append(append([]string{"exec"}, flags...), c.id), command...)...)
}

// execOutput is exec for a command that has to succeed.
func (c *container) execOutput(flags []string, command ...string) string {
	c.t.Helper()
	r := c.exec(flags, command...)
	if r.code != 0 {
		c.t.Fatal(r)
	}
	return strings.TrimSuffix(r.out, "\n")
}

// execDetached leaves a process running in the container and returns its pid. The process is the test's child, and the test
// reaps it when it ends, as an engine's shim does. Until then the container's pid namespace could not end either.
func (c *container) execDetached(flags []string, command ...string) int {
	c.t.Helper()
	path := filepath.Join(c.bundle, fmt.Sprintf("exec-%d.pid", number.Add(1)))
	flags = append([]string{"exec", "--detach", "--pid-file", path}, flags...)
	c.must(append(append(flags, c.id), command...)...)
	data, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	pid := atoi(c.t, string(data))
	awaitExit(pid)
	return pid
}

// awaitExit reaps a child when it ends. The channel then has its status, as a shell counts it.
func awaitExit(pid int) <-chan int {
	status := make(chan int, 1)
	go func() {
		var ws syscall.WaitStatus
		for {
			if _, err := syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
				break
			}
		}
		if ws.Signaled() {
			status <- 128 + int(ws.Signal())
		} else {
			status <- ws.ExitStatus()
		}
	}()
	return status
}

// reap waits for a process of the container that has become the test's child, and returns its status.
func (c *container) reap(pid int) int {
	c.t.Helper()
	select {
	case status := <-awaitExit(pid):
		return status
	case <-time.After(patience):
		c.t.Fatalf("process %d does not end", pid)
		return -1
	}
}

// eventually waits for a condition that no event announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("not reached: %s", what)
}

// stopped waits until the container's first process is gone.
func (c *container) stopped() {
	c.t.Helper()
	eventually(c.t, "status stopped", func() bool { return c.status() == "stopped" })
}

// amount returns the number of repetitions: the short one with -short, the long one with LONG=1, as in CI, else the
// usual one. Peers get the short one.
func amount(short, usual, long int) int {
	switch {
	case testing.Short() || env.kind != "onggi":
		return short
	case os.Getenv("LONG") != "":
		return long
	default:
		return usual
	}
}

// peerFails skips a test that another runtime is known to fail, so that a run with that runtime stays meaningful.
func peerFails(t testing.TB, kind, why string) {
	t.Helper()
	if env.kind == kind {
		t.Skipf("%s: %s", kind, why)
	}
}

// want compares text exactly.
func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %q; want %q", what, got, want)
	}
}

// refused checks that an invocation failed correctly: the exit code, one line on standard error that contains the text,
// nothing on standard output.
func refused(t testing.TB, r result, code int, text string) {
	t.Helper()
	switch {
	case r.code != code:
		t.Errorf("exit status %d; want %d\n%v", r.code, code, r)
	case !strings.Contains(r.err, text):
		t.Errorf("no %q in the message\n%v", text, r)
	case env.kind == "onggi" && strings.Count(strings.TrimSuffix(r.err, "\n"), "\n") != 0:
		t.Errorf("the message is more than one line\n%v", r)
	case r.out != "":
		t.Errorf("standard output is not empty\n%v", r)
	}
}

// kernelIs reports whether the kernel has this version or a newer one.
func kernelIs(t testing.TB, major, minor int) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	var own [2]int
	if _, err2 := fmt.Sscanf(string(data), "%d.%d", &own[0], &own[1]); err != nil || err2 != nil {
		t.Fatalf("osrelease %q: %v, %v", data, err, err2)
	}
	return slices.Compare(own[:], []int{major, minor}) >= 0
}

// field returns the value of a "Name:\tvalue" line, as in /proc/PID/status.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

package tests

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ordinary is an unprivileged user.
type ordinary struct {
	name     string
	uid, gid uint32
	sub      uint32 // first of 65536 subordinate ids, of both kinds
}

// ordinaryUser creates a user for the time of the test.
func ordinaryUser(t *testing.T) ordinary {
	t.Helper()
	peersLack(t, "tested with onggi only")
	return makeUser(t)
}

// makeUser is ordinaryUser for tests that peers pass too.
func makeUser(t *testing.T) ordinary {
	t.Helper()
	u := ordinary{name: fmt.Sprintf("onggi-t%d", os.Getpid()%100000)}
	run := func(command string, args ...string) {
		t.Helper()
		if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", command, args, err, out)
		}
	}
	run("useradd", "--no-create-home", "--user-group", u.name)
	// -f: a process that has just ended still counts as running for a moment.
	t.Cleanup(func() { run("userdel", "--force", u.name) })
	u.uid, u.gid = uint32(idOf(t, "-u", u.name)), uint32(idOf(t, "-g", u.name))
	if u.sub = subordinate(t, u.name); u.sub == 0 {
		u.sub = 1_000_000_000 + uint32(os.Getpid())*65536%1_000_000_000
		ids := fmt.Sprintf("%d-%d", u.sub, u.sub+65535)
		run("usermod", "--add-subuids", ids, "--add-subgids", ids, u.name)
	}
	return u
}

func idOf(t *testing.T, flag, name string) int {
	t.Helper()
	out, err := exec.Command("id", flag, name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return atoi(t, string(out))
}

// subordinate returns the first id of the user in /etc/subuid, or 0 if there is none.
func subordinate(t *testing.T, name string) uint32 {
	t.Helper()
	f, err := os.Open("/etc/subuid")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name+":"); ok {
			first, _, _ := strings.Cut(rest, ":")
			return uint32(atoi(t, first))
		}
	}
	return 0
}

// single maps only the user's own id. This needs no helper.
func (u ordinary) single() (uids, gids []specs.LinuxIDMapping) {
	return []specs.LinuxIDMapping{{HostID: u.uid, Size: 1}}, []specs.LinuxIDMapping{{HostID: u.gid, Size: 1}}
}

// many maps the user to root, and the subordinate ids after it.
func (u ordinary) many() (uids, gids []specs.LinuxIDMapping) {
	rest := specs.LinuxIDMapping{ContainerID: 1, HostID: u.sub, Size: 65536}
	uids, gids = u.single()
	return append(uids, rest), append(gids, rest)
}

// newRootless returns a container of the user that needs no further privileges: a user namespace, the host's network
// namespace and /sys, and no limits.
func newRootless(t *testing.T, u ordinary, maps func() (uids, gids []specs.LinuxIDMapping), edits ...edit) *container {
	t.Helper()
	needCgroupfs(t)
	c := newContainer(t, func(s *specs.Spec) {
		without(specs.NetworkNamespace)(s)
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings, s.Linux.GIDMappings = maps()
		s.Linux.Resources, s.Linux.CgroupsPath = &specs.LinuxResources{}, ""
		for i, m := range s.Mounts {
			s.Mounts[i].Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "gid=5" })
			if m.Type == "sysfs" {
				s.Mounts[i] = specs.Mount{Destination: "/sys", Type: "none", Source: "/sys", Options: []string{"rbind", "nosuid", "noexec", "nodev", "ro"}}
			}
		}
	})
	c.edit(edits...)
	c.handTo(u)
	return c
}

// handTo makes the user the owner of the bundle. The user runs all later verbs.
func (c *container) handTo(u ordinary) {
	c.t.Helper()
	data, err := os.ReadFile(env.runtime)
	if err != nil {
		c.t.Fatal(err)
	}
	dir := filepath.Dir(c.bundle)
	c.runtime = filepath.Join(dir, "onggi")
	if err := os.WriteFile(c.runtime, data, 0o755); err != nil {
		c.t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		// The files of the root file system are hard links that other bundles share.
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chown(path, int(u.uid), int(u.gid))
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.wrapper = u.command()
}

// command returns a command that becomes the user and executes its arguments.
func (u ordinary) command() []string {
	return []string{"setpriv", fmt.Sprintf("--reuid=%d", u.uid), fmt.Sprintf("--regid=%d", u.gid), "--clear-groups", "--inh-caps=-all", "--"}
}

// withoutHelpers removes newuidmap and newgidmap from the PATH.
func (c *container) withoutHelpers(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Fatal(err)
	}
	c.wrapper[0] = setpriv
	c.env = append(c.env, "PATH="+dir)
}

func TestRootlessWithOneID(t *testing.T) {
	u := ordinaryUser(t)
	c := newRootless(t, u, u.single, sh("id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups"))
	c.withoutHelpers(t)
	want(t, "output", strings.Join(strings.Fields(c.output()), " "), fmt.Sprintf("0 0 0 %d 1 deny", u.uid))
}

func TestRootlessWithManyIDs(t *testing.T) {
	u := ordinaryUser(t)
	c := newRootless(t, u, u.many, sh("id; cat /proc/self/uid_map"), func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5, 1000}}
	})
	want(t, "output", strings.Join(strings.Fields(c.output()), " "),
		fmt.Sprintf("uid=1000(user) gid=1000(user) groups=5,1000(user) 0 %d 1 1 %d 65536", u.uid, u.sub))
}

func TestRootlessLife(t *testing.T) {
	u := ordinaryUser(t)
	for name, maps := range map[string]func() (uids, gids []specs.LinuxIDMapping){"one id": u.single, "many ids": u.many} {
		t.Run(name, func(t *testing.T) {
			c := newRootless(t, u, maps, args("sleep", "1000"))
			c.create()
			want(t, "status", c.status(), "created")
			want(t, "exec in a created container", c.execOutput(nil, "id", "-u"), "0")
			c.start()
			want(t, "status", c.status(), "running")
			want(t, "owner", strings.Fields(strings.Split(c.must("list").out, "\n")[1])[5], u.name)
			want(t, "exec", c.execOutput(nil, "id", "-u"), "0")
			c.execDetached(nil, "sleep", "1000")
			if name == "many ids" {
				want(t, "exec as another user", c.execOutput([]string{"--user", "1000:1000"}, "id", "-u"), "1000")
			}
			if !strings.Contains(c.must("ps", c.id).out, "sleep 1000") {
				t.Error("ps does not show the program")
			}
			refused(t, c.verb("delete", c.id), 1, "not stopped")
			c.must("kill", c.id, "KILL")
			c.stopped()
			c.must("delete", c.id)
			want(t, "list", c.must("list", "-q").out, "")
		})
	}
}

func TestRootlessKillsWhatIsNotItsOwn(t *testing.T) {
	u := ordinaryUser(t)
	c := newRootless(t, u, u.many, args("sleep", "1000"), func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} })
	c.up()
	want(t, "exec", c.execOutput(nil, "id", "-u"), "1000")
	c.must("delete", "--force", c.id)
}

func TestRootlessStateIsInXDGRuntimeDir(t *testing.T) {
	u := ordinaryUser(t)
	c := newRootless(t, u, u.single, args("sleep", "1000"))
	run := filepath.Join(filepath.Dir(c.bundle), "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(run, int(u.uid), int(u.gid)); err != nil {
		t.Fatal(err)
	}
	c.env = append(c.env, "XDG_RUNTIME_DIR="+run)
	c.root = filepath.Join(run, "onggi")
	c.ownRoot = true
	c.up()
	if _, err := os.Stat(filepath.Join(c.root, c.id, "state.json")); err != nil {
		t.Error(err)
	}
	c.must("delete", "--force", c.id)
}

func TestRootlessWithoutAPlaceForTheState(t *testing.T) {
	u := ordinaryUser(t)
	c := newRootless(t, u, u.single)
	c.root = filepath.Join(t.TempDir(), "state") // owned by root
	refused(t, c.run(), 1, "(the state root of an ordinary user is below $XDG_RUNTIME_DIR: set it, or use --root): make the state directory: ")
}

// `spec --rootless` writes a container that the user can run.
func TestSpecRootless(t *testing.T) {
	u := ordinaryUser(t)
	c := newContainer(t, func(*specs.Spec) {})
	c.handTo(u)
	os.Remove(filepath.Join(c.bundle, "config.json"))
	c.must("spec", "--rootless")
	data, err := os.ReadFile(filepath.Join(c.bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c.write("config.json", strings.Replace(strings.Replace(string(data), `"sh"`, `"id", "-u"`, 1), `"terminal": true`, `"terminal": false`, 1))
	want(t, "output", c.output(), "0")
}

func TestRootlessHasNoCgroup(t *testing.T) {
	u := ordinaryUser(t)
	c := newRootless(t, u, u.single, args("sleep", "1000"))
	c.up()
	want(t, "cgroups", strings.Join(c.cgroupDirs(), " "), "")
	for _, verb := range [][]string{{"pause", c.id}, {"update", "--memory", "64m", c.id}} {
		refused(t, c.verb(verb...), 1, "cgroup")
	}
	c.must("delete", "--force", c.id)
	t.Run("but needs one for limits", func(t *testing.T) {
		c := newRootless(t, u, u.single, resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(10))} }))
		refused(t, c.run(), 1, "/linux/resources/pids/limit")
	})
	t.Run("and for a path", func(t *testing.T) {
		c := newRootless(t, u, u.single)
		c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = c.cgroup })
		refused(t, c.run(), 1, "permission denied")
	})
}

// On a hybrid host, the user has cgroups in the v1 hierarchies and none in cgroup2.
func TestRootlessBesideAForeignUnifiedHierarchy(t *testing.T) {
	if env.layout != "hybrid" {
		t.Skip("it takes a hybrid layout")
	}
	peerFails(t, "crun", "refuses a hybrid layout")
	u := makeUser(t)
	c := newRootless(t, u, u.many, args("sleep", "1000"))
	for _, h := range hierarchies() {
		parent := filepath.Join(h.mountpoint, c.cgroup)
		if err := os.Mkdir(parent, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(parent) })
		if h.unified {
			continue
		}
		err := filepath.WalkDir(parent, func(path string, _ fs.DirEntry, _ error) error { return os.Chown(path, int(u.uid), int(u.gid)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	parent := c.cgroup
	c.cgroup += "/c"
	t.Cleanup(func() { c.cgroup = parent })
	c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = c.cgroup })
	resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(20))} })(c.spec)
	c.edit()
	pid := c.up()
	membership, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(membership)) {
		// A v1 hierarchy that another test has mounted outlives its last mount for a while.
		if f := strings.Split(line, ":"); f[0] != "0" && !mountedHierarchy(f[1]) {
			continue
		}
		in := strings.HasSuffix(strings.TrimSuffix(line, "\n"), c.cgroup)
		if unified := strings.HasPrefix(line, "0:"); in == unified {
			t.Errorf("the process is in %s", line)
		}
	}
	want(t, "pids.max", c.limit("pids", "pids.max", "pids.max"), "20")
	want(t, "exec", c.execOutput(nil, "id", "-u"), "0")
	c.must("pause", c.id)
	c.must("resume", c.id)
	c.must("delete", "--force", c.id)
	want(t, "cgroups left", strings.Join(c.cgroupDirs(), " "), "")
	if env.kind != "onggi" {
		return
	}
	t.Run("a limit of that hierarchy is refused", func(t *testing.T) {
		c := c.in(t)
		c.edit(resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"hugetlb.2MB.max": "0"} }))
		refused(t, c.run(), 1, "/sys/fs/cgroup/unified")
	})
}

func TestRootlessThatCannotBe(t *testing.T) {
	u := ordinaryUser(t)
	other := func() (uids, gids []specs.LinuxIDMapping) {
		uids, gids = u.many()
		uids[1].HostID, uids[1].Size = 10, 100
		return uids, gids
	}
	for _, test := range []struct {
		name, field, text string
		helpers           bool
		maps              func() (uids, gids []specs.LinuxIDMapping)
		edit              edit
	}{
		{"many ids without newuidmap", "/linux/uidMappings", "newuidmap", false, u.many, nil},
		{"ids of others", "/linux/uidMappings", "newuidmap", true, other, nil},
		{"no user namespace", "/linux/namespaces", "user namespace", true, u.single, func(s *specs.Spec) {
			without(specs.UserNamespace)(s)
			s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		}},
		{"groups that the kernel denies", "/process/user/additionalGids", "setgroups", true, u.single, func(s *specs.Spec) {
			s.Process.User.AdditionalGids = []uint32{0}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newRootless(t, u, test.maps, func(s *specs.Spec) { s.Process.Capabilities = nil })
			if test.edit != nil {
				c.edit(test.edit)
			}
			if !test.helpers {
				c.withoutHelpers(t)
			}
			r := c.run()
			refused(t, r, 1, test.field)
			refused(t, r, 1, test.text)
			if strings.Contains(r.err, "executable file not found in $PATH") {
				t.Errorf("engines take this for the container's program\n%v", r)
			}
		})
	}
}

// The program must have neither the user's groups nor the helpers' privileges.
func TestRootlessGroupsAreDropped(t *testing.T) {
	u := ordinaryUser(t)
	c := newRootless(t, u, u.many, sh("cat /proc/self/status"))
	// A mapped group of the host would appear as a number in the program.
	c.wrapper = slices.Clone(c.wrapper)
	c.wrapper[slices.Index(c.wrapper, "--clear-groups")] = fmt.Sprintf("--groups=%d", u.sub+6)
	want(t, "groups", field(c.output(), "Groups"), "")
}

// A configuration need not map containerID 0.
func TestRootlessWithoutRoot(t *testing.T) {
	u := ordinaryUser(t)
	keep := func() (uids, gids []specs.LinuxIDMapping) {
		uids, gids = u.single()
		uids[0].ContainerID, gids[0].ContainerID = 1000, 1000
		return uids, gids
	}
	c := newRootless(t, u, keep, args("true"), func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1000}
	})
	c.edit(sh("id -u; echo > /home/f && stat -c %u /home/f"))
	want(t, "output", strings.Join(strings.Fields(c.output()), " "), "1000 1000")
}

func TestRootlessTerminal(t *testing.T) {
	u := ordinaryUser(t)
	path, next := consoleSocket(t)
	for _, dir := range []string{path, filepath.Dir(path)} {
		if err := os.Chown(dir, int(u.uid), int(u.gid)); err != nil {
			t.Fatal(err)
		}
	}
	c := newRootless(t, u, u.many, terminal, sh("tty; head -n 1"))
	c.create("--console-socket", path)
	master, _ := next()
	c.start()
	out := readUntil(t, master, "\n") // otherwise the echo comes in the middle of the output
	fmt.Fprint(master, "typed\n")
	if out += readAll(t, master); !strings.Contains(out, "/dev/pts/0") || strings.Count(out, "typed") != 2 {
		t.Errorf("output = %q; want the name and the line twice, echo and copy", out)
	}
	c.stopped()
}

func TestRootlessHooks(t *testing.T) {
	u := ordinaryUser(t)
	c := newRootless(t, u, u.many, args("true"))
	log := filepath.Join(c.bundle, "log")
	c.write("log", "")
	if err := os.Chown(log, int(u.uid), int(u.gid)); err != nil {
		t.Fatal(err)
	}
	c.edit(mount(specs.Mount{Destination: "/log", Type: "bind", Source: log, Options: []string{"bind"}}))
	for _, kind := range hookKinds {
		file := log
		if kind == "startContainer" {
			file = "/log"
		}
		c.edit(hooks(kind, hook(fmt.Sprintf("echo %s >> %s", kind, file))))
	}
	c.output()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "hooks", strings.Join(strings.Fields(string(data)), " "), strings.Join(hookKinds, " "))
}

func TestRootlessSeccomp(t *testing.T) {
	u := ordinaryUser(t)
	deny := seccomp(specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno})
	for _, nnp := range []bool{true, false} {
		c := newRootless(t, u, u.single, deny, sh("mkdir /tmp/x"), func(s *specs.Spec) { s.Process.NoNewPrivileges = nnp })
		if r := c.run(); !strings.Contains(r.err, "Operation not permitted") {
			t.Errorf("no_new_privs %t: %v", nnp, r)
		}
	}
}

// namespace creates a user namespace and a mount namespace of the user, and returns a command that enters them.
func (u ordinary) namespace(t *testing.T) []string {
	t.Helper()
	args := append(u.command(), "unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--", "sh", "-c", "echo ready; exec sleep 1000")
	holder := exec.Command(args[0], args[1:]...)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("unshare: %q, %v", line, err)
	}
	return []string{"nsenter", fmt.Sprintf("--target=%d", holder.Process.Pid), "--user", "--mount", "--"}
}

// TestRootOfAUserNamespace calls the runtime as Podman does for an ordinary user: as root of a namespace that Podman made.
func TestRootOfAUserNamespace(t *testing.T) {
	u := ordinaryUser(t)
	own := func() (uids, gids []specs.LinuxIDMapping) { return nil, nil }
	c := newRootless(t, u, own, sh("id; exec sleep 1000"), func(s *specs.Spec) {
		without(specs.UserNamespace)(s)
		s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5}}
	})
	c.wrapper = u.namespace(t)
	i := c.create()
	c.start()
	eventually(t, "output", func() bool { return strings.Contains(contents(i.out), "\n") })
	want(t, "output", strings.TrimSpace(contents(i.out)), "uid=1000(user) gid=1000(user) groups=5")
	wrapper := c.wrapper
	t.Run("with another one inside", func(t *testing.T) {
		inner := func() (uids, gids []specs.LinuxIDMapping) {
			m := []specs.LinuxIDMapping{{HostID: 1, Size: 60000}}
			return m, m
		}
		c := newRootless(t, u, inner, sh("id; cat /proc/self/uid_map"), func(s *specs.Spec) {
			s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5}}
		})
		c.wrapper = wrapper
		want(t, "output", strings.Join(strings.Fields(c.output()), " "), "uid=1000(user) gid=1000(user) groups=5 0 1 60000")
	})
	c.must("delete", "--force", c.id)
}

// TestRootlessDelegatedCgroup checks that containers get a cgroup inside a cgroup of the user.
func TestRootlessDelegatedCgroup(t *testing.T) {
	needV2(t)
	u := ordinaryUser(t)
	c := newRootless(t, u, u.many, args("sleep", "1000"))
	slice := c.delegated(t, u)
	c.up()
	data, err := os.ReadFile(filepath.Join(slice, c.id, "cgroup.procs"))
	if err != nil || len(strings.Fields(string(data))) != 1 {
		t.Errorf("processes in the container's cgroup = %q, %v; want one", data, err)
	}
	c.must("pause", c.id)
	want(t, "status", c.status(), "paused")
	c.must("resume", c.id)
	want(t, "exec", c.execOutput(nil, "id", "-u"), "0")
	c.must("delete", "--force", c.id)
	if _, err := os.Stat(filepath.Join(slice, c.id)); !os.IsNotExist(err) {
		t.Errorf("the cgroup is left: %v", err)
	}
}

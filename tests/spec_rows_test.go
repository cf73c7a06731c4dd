package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Each test of this file checks a line of docs/conformance.md that no other test covers.

// runtime.md, "Start": a container may be created without a process, but cannot be started then. The waiting stub has no
// privileges.
func TestAContainerWithoutAProcessCannotBeStarted(t *testing.T) {
	peersLack(t, "such a container cannot be created")
	c := newContainer(t, func(s *specs.Spec) { s.Process = nil })
	c.create()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.state().Pid))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "permitted capabilities", field(string(status), "CapPrm"), "0000000000000000")
	want(t, "no_new_privs", field(string(status), "NoNewPrivs"), "1")
	refused(t, c.verb("start", c.id), 1, "/process: process property must not be empty")
	want(t, "status after start", c.status(), "created")
	c.must("kill", c.id, "KILL")
	c.stopped()
	c.must("delete", c.id)
	refused(t, c.run(), 1, "/process: process property must not be empty")
	want(t, "list", c.must("list", "-q").out, "")
}

func TestErrorsOfLimitsNameTheirField(t *testing.T) {
	peersLack(t, "no fields in errors")
	needController(t, "cpu")
	r := newContainer(t, resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Quota: ptr(int64(1))} })).runFails()
	want(t, "field", r.Field, "/linux/resources/cpu/quota")
	r.has(t, "/linux/resources/cpu/quota", "invalid argument")
}

// config.md, "Annotations": kill sends the stop signal of the image.
func TestKillSendsTheStopSignalOfTheImage(t *testing.T) {
	peersLack(t, "left to engines")
	stop := func(signal string) *container {
		return newContainer(t, annotation("org.opencontainers.image.stopSignal", signal),
			sh(`trap "exit 7" USR1; trap "exit 8" TERM; echo ready; while :; do sleep 0.05; done`))
	}
	for _, signal := range []string{"SIGUSR1", "10"} {
		c := stop(signal)
		i := c.create()
		pid := c.state().Pid
		c.start()
		eventually(t, "traps set", func() bool { return contents(i.out) == "ready\n" })
		c.must("kill", c.id)
		if code := c.reap(pid); code != 7 {
			t.Errorf("%s: exit status %d; want 7, that of the handler", signal, code)
		}
	}
	c := stop("SIGNONSENSE")
	c.up()
	refused(t, c.verb("kill", c.id), 1, "org.opencontainers.image.stopSignal")
	want(t, "status", c.status(), "running")
	c.must("kill", c.id, "KILL")
}

func TestUnknownAnnotationsArePassedOver(t *testing.T) {
	c := newContainer(t, annotation("com.example.unknown", ""), annotation("org.opencontainers.image.author", "somebody"), sh("echo fine"))
	want(t, "output", c.output(), "fine")
}

// config.md, "Linux Process": an unknown capability causes a warning that names it.
func TestUnknownCapabilityIsAWarning(t *testing.T) {
	peerFails(t, "runc", "says nothing")
	r := newContainer(t, caps("CAP_KILL", "CAP_NONSENSE"), sh("grep CapBnd /proc/self/status")).run()
	if r.code != 0 || !strings.Contains(r.out, "0000000000000020") || !strings.Contains(r.err, "level=warning") || !strings.Contains(r.err, "CAP_NONSENSE") {
		t.Errorf("want a warning that names CAP_NONSENSE, and CAP_KILL granted\n%v", r)
	}
}

// config.md, "Mounts": the mounts are made in the listed order.
func TestMountsAreMadeInTheListedOrder(t *testing.T) {
	tmpfs := func(destination string) specs.Mount {
		return specs.Mount{Destination: destination, Type: "tmpfs", Source: "tmpfs"}
	}
	outer, inner := tmpfs("/mnt"), tmpfs("/mnt/in")
	list := sh("cut -d' ' -f5 /proc/self/mountinfo | grep ^/mnt; ls -d /mnt/in 2>&1")
	want(t, "the inner one last", newContainer(t, mount(outer, inner), list).output(), "/mnt\n/mnt/in\n/mnt/in")
	r := newContainer(t, mount(inner, outer), list).run()
	want(t, "the outer one last", r.out, "/mnt/in\n/mnt\nls: /mnt/in: No such file or directory\n")
}

// runtime.md, "Lifecycle", step 2: later changes of config.json have no effect on a created container.
func TestConfigChangedAfterCreate(t *testing.T) {
	peerFails(t, "runc", "reads the bundle's config.json again")
	c := newContainer(t, sh("echo $WHO"), func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "WHO=first") })
	c.edit(hooks("poststart", hook("touch "+c.bundle+"/poststart")), hooks("poststop", hook("touch "+c.bundle+"/poststop")))
	i := c.create()
	c.write("config.json", `{"ociVersion": "1.0.0", "process": {"args": ["/no/such/program"], "cwd": "/"}, "root": {"path": "/"}}`)
	c.start()
	c.stopped()
	want(t, "output", contents(i.out), "first\n")
	c.must("delete", c.id)
	for _, name := range []string{"poststart", "poststop"} {
		if _, err := os.Stat(filepath.Join(c.bundle, name)); err != nil {
			t.Errorf("the hook of create did not run: %v", err)
		}
	}
}

// config.md, "POSIX-platform Hooks": prestart, createRuntime and createContainer hooks run after the mounts and before the
// change of the root, after which the path of the bundle no longer exists.
func TestHooksOfCreateComeBeforeTheNewRoot(t *testing.T) {
	c := newContainer(t)
	for _, kind := range []string{"prestart", "createRuntime", "createContainer"} {
		pid, proc := `pid=$(sed 's/.*"pid": *\([0-9]*\).*/\1/' | head -n 1)`, "/proc/$pid"
		if kind == "createContainer" {
			pid, proc = "true", "/proc/self" // its own mount namespace is the container's
		}
		c.edit(hooks(kind, hook(fmt.Sprintf("%s; test -e %s/root%s/config.json && grep -q ' %s/proc ' %s/mountinfo && touch %s/%s",
			pid, proc, c.bundle, c.rootfs, proc, c.bundle, kind))))
	}
	c.output()
	for _, kind := range []string{"prestart", "createRuntime", "createContainer"} {
		if _, err := os.Stat(filepath.Join(c.bundle, kind)); err != nil {
			t.Errorf("%s does not find the bundle or the mounts", kind)
		}
	}
}

// The path of a hook is resolved in the namespace in which the hook runs.
func TestHookPathsResolveInTheirNamespaces(t *testing.T) {
	sides := map[string]string{
		"prestart": "host", "createRuntime": "host", "createContainer": "host",
		"startContainer": "container", "poststart": "host", "poststop": "host",
	}
	for kind, side := range sides {
		t.Run(kind, func(t *testing.T) {
			if kind == "startContainer" || kind == "poststart" {
				peerFails(t, "runc", "runs poststart at create")
			}
			c := newContainer(t)
			c.program("only-inside", "#!/bin/sh\necho container > /hooked\n", 0o755)
			onHost := filepath.Join(c.bundle, "only-outside")
			script := fmt.Sprintf("#!/bin/sh\necho host > %s/hooked\n", c.rootfs)
			if err := os.WriteFile(onHost, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			right, wrong := onHost, "/only-inside"
			if side == "container" {
				right, wrong = wrong, right
			}
			c.edit(hooks(kind, specs.Hook{Path: right}))
			c.output()
			data, err := os.ReadFile(filepath.Join(c.rootfs, "hooked"))
			if err != nil {
				t.Fatal(err)
			}
			want(t, "side", strings.TrimSpace(string(data)), side)
			c.edit(hooks(kind, specs.Hook{Path: wrong}))
			if r := c.run(); kind != "poststop" && r.code == 0 || !strings.Contains(r.err, "no such file or directory") {
				t.Errorf("a path of the other side: %v", r)
			}
		})
	}
}

// config-linux.md, "User namespace mappings": the runtime does not change the owners of the root file system's files.
func TestAUserNamespaceLeavesOwnersAlone(t *testing.T) {
	c := newContainer(t, userNamespace(100000))
	owned := func() string {
		out, err := exec.Command("find", c.rootfs, "-printf", "%u:%g %m %p\n").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	c.output() // this run makes the mountpoints
	before := owned()
	c.output()
	if after := owned(); after != before {
		t.Errorf("owners changed:\n%s", diff(before, after))
	}
	want(t, "owner of the rootfs", ownerOf(t, c.rootfs), "0")
	want(t, "owner of a file", ownerOf(t, filepath.Join(c.rootfs, "bin/busybox")), "0")
}

// config-linux.md, "Cgroup ownership": cgroup v1 is never delegated.
func TestCgroupsOfV1KeepTheirOwner(t *testing.T) {
	if env.layout == "v2" {
		t.Skip("cgroup v1 and hybrid layouts only")
	}
	c := newContainer(t, userNamespace(100000), writableCgroups)
	c.create()
	for _, dir := range c.cgroupDirs() {
		want(t, "owner of "+dir, ownerOf(t, dir), "0")
		want(t, "owner of its cgroup.procs", ownerOf(t, filepath.Join(dir, "cgroup.procs")), "0")
	}
}

// pidsLimitOfZero is the limit that the runtime writes for 0.
func pidsLimitOfZero() string {
	if env.kind == "runc" {
		return "1"
	}
	return "0"
}

// config-linux.md, "PIDs": 0 is a limit.
func TestPidsLimitOfZero(t *testing.T) {
	needController(t, "pids")
	c := newContainer(t, resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(0))} }), sh("sleep 0 & wait; echo lives"))
	c.create()
	want(t, "limit", c.limit("pids", "pids.max", "pids.max"), pidsLimitOfZero())
	c.must("delete", "--force", c.id)
	if r := c.run(); !strings.Contains(r.err, "can't fork") {
		t.Errorf("want a program that cannot fork\n%v", r)
	}
}

// A frozen cgroup would stop a process that enters it.
func TestAFrozenCgroupIsRefused(t *testing.T) {
	needCgroupfs(t)
	needController(t, "freezer")
	peersLack(t, "hangs or only warns")
	first := newContainer(t)
	first.up()
	first.must("pause", first.id)
	second := newContainer(t)
	second.cgroup = first.cgroup + "-not" // the harness looks for leaks of the first one's
	second.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = first.cgroup })
	refused(t, second.run(), 1, "cgroup")
	want(t, "status of the first", first.status(), "paused")
	first.must("delete", "--force", first.id)
}

// Without the agent for seccomp notifications, create fails (config-linux.md, "Seccomp").
func TestSeccompListenerThatIsNotThere(t *testing.T) {
	notify := seccomp(specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify})
	leavesNothing(t, newContainer(t, notify, func(s *specs.Spec) { s.Linux.Seccomp.ListenerPath = "/no/such/socket" }), "/no/such/socket")
	// Without a rule that notifies, the path is not used.
	newContainer(t, seccomp(), func(s *specs.Spec) { s.Linux.Seccomp.ListenerPath = "/no/such/socket" }).output()
}

// features.md: every listed value is accepted.
func TestEverythingInFeaturesIsAccepted(t *testing.T) {
	peersLack(t, "no such claim")
	var f features.Features
	text := newContainer(t).must("features").out
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields() // version 1.3.0 defines every listed field
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	created := func(t *testing.T, edits ...edit) {
		t.Helper()
		c := newContainer(t, edits...)
		c.create()
		c.must("delete", c.id)
	}
	for _, version := range []string{f.OCIVersionMin, f.OCIVersionMax} {
		t.Run("version "+version, func(t *testing.T) { created(t, func(s *specs.Spec) { s.Version = version }) })
	}
	t.Run("hooks", func(t *testing.T) {
		want(t, "hooks", strings.Join(f.Hooks, " "), strings.Join(hookKinds, " "))
	})
	for _, action := range f.Linux.Seccomp.Actions {
		t.Run(action, func(t *testing.T) {
			rule := specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.LinuxSeccompAction(action)}
			if rule.Action == specs.ActNotify {
				t.Skip("takes a listener: TestSeccompNotify")
			}
			created(t, seccomp(rule))
		})
	}
	for _, op := range f.Linux.Seccomp.Operators {
		t.Run(op, func(t *testing.T) {
			created(t, seccomp(specs.LinuxSyscall{
				Names: []string{"mkdir"}, Action: specs.ActErrno,
				Args: []specs.LinuxSeccompArg{{Op: specs.LinuxSeccompOperator(op), Value: 1}},
			}))
		})
	}
	t.Run("architectures", func(t *testing.T) {
		for _, arch := range f.Linux.Seccomp.Archs {
			c := newContainer(t, seccomp(), func(s *specs.Spec) { s.Linux.Seccomp.Architectures = []specs.Arch{specs.Arch(arch)} })
			// This machine may lack a recognised value.
			if r := c.run(); r.code != 0 && !strings.Contains(r.err, "its byte order is not this machine's") && !strings.Contains(r.err, "it does not have this architecture") {
				t.Errorf("%s: %v", arch, r)
			}
		}
	})
	for _, flag := range f.Linux.Seccomp.SupportedFlags {
		t.Run(flag, func(t *testing.T) {
			if flag == string(specs.LinuxSeccompFlagWaitKillableRecv) {
				t.Skip("takes a listener: seccomp's own tests")
			}
			created(t, seccomp(), func(s *specs.Spec) { s.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(flag)} })
		})
	}
}

// features.md: the list depends neither on the caller nor on the host.
func TestFeaturesDoNotDependOnTheCaller(t *testing.T) {
	c := newContainer(t)
	asRoot := c.must("features").out
	c.wrapper = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--"}
	want(t, "features", c.must("features").out, asRoot)
}

// config.md, "Linux mount options": remount changes a mount that an earlier entry has made.
func TestRemount(t *testing.T) {
	c := newContainer(t, mount(
		specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "size=64k"}},
		specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", "ro", "size=128k"}},
	))
	got := c.mountsInside()["/mnt"]
	if !got.has("ro") || !got.has("size=128k") {
		t.Errorf("/mnt = %+v; want ro and size=128k", got)
	}
	c = newContainer(t, mount(
		specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid"}},
		specs.Mount{Destination: "/mnt", Options: []string{"remount", "bind", "ro"}},
	), sh("touch /mnt/x"))
	if r := c.run(); !strings.Contains(r.err, "Read-only file system") {
		t.Errorf("want a read-only mount\n%v", r)
	}
}

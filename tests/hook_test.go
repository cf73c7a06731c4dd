package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hook is a host-side hook that runs a line of shell.
func hook(line string) specs.Hook {
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", line}, Env: []string{"PATH=/usr/bin:/bin"}}
}

// hooks sets the hooks of one kind.
func hooks(kind string, h ...specs.Hook) edit {
	return func(s *specs.Spec) {
		if s.Hooks == nil {
			s.Hooks = &specs.Hooks{}
		}
		switch kind {
		case "prestart":
			s.Hooks.Prestart = h
		case "createRuntime":
			s.Hooks.CreateRuntime = h
		case "createContainer":
			s.Hooks.CreateContainer = h
		case "startContainer":
			s.Hooks.StartContainer = h
		case "poststart":
			s.Hooks.Poststart = h
		case "poststop":
			s.Hooks.Poststop = h
		}
	}
}

var hookKinds = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

// withHooks gives every kind two hooks. Each writes a line into a file that host and container share.
func withHooks(t *testing.T, line string) (*container, func() []string) {
	c := newContainer(t, sh("echo process >> /log/log; exec sleep 1000"))
	dir := filepath.Join(c.bundle, "log")
	c.write("log/log", "")
	c.edit(mount(specs.Mount{Destination: "/log", Type: "bind", Source: dir, Options: []string{"bind"}}))
	for _, kind := range hookKinds {
		path := dir + "/log"
		if kind == "startContainer" {
			path = "/log/log"
		}
		c.edit(hooks(kind, hook(fmt.Sprintf("echo %s-1 %s >> %s", kind, line, path)), hook(fmt.Sprintf("echo %s-2 >> %s", kind, path))))
	}
	return c, func() []string {
		data, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(data))
	}
}

func TestHooksRunInTheOrderOfTheSpec(t *testing.T) {
	peerFails(t, "runc", "runs poststart at create")
	c, log := withHooks(t, "")
	c.create()
	wanted := "prestart-1 prestart-2 createRuntime-1 createRuntime-2 createContainer-1 createContainer-2"
	want(t, "after create", strings.Join(log(), " "), wanted)
	c.start()
	// poststart hooks run beside the program, but start returns only after them.
	eventually(t, "the process runs", func() bool { return strings.Contains(strings.Join(log(), " "), "process") })
	var rest []string
	for _, word := range log()[6:] {
		if word != "process" {
			rest = append(rest, word)
		}
	}
	want(t, "after start", strings.Join(rest, " "), "startContainer-1 startContainer-2 poststart-1 poststart-2")
	before := len(log())
	c.must("kill", c.id, "KILL")
	c.stopped()
	if len(log()) != before {
		t.Errorf("after kill: %v", log()[before:])
	}
	c.must("delete", c.id)
	want(t, "after delete", strings.Join(log()[before:], " "), "poststop-1 poststop-2")
}

func TestHooksRunInTheirNamespaces(t *testing.T) {
	c, log := withHooks(t, "$(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/pid)")
	pid := c.up()
	host, hostPid := nsOf(t, "self", specs.MountNamespace), nsOf(t, "self", specs.PIDNamespace)
	inside := nsOf(t, pid, specs.MountNamespace)
	c.must("delete", "--force", c.id)
	words := log()
	for i, word := range words {
		kind, ok := strings.CutSuffix(word, "-1")
		if !ok {
			continue
		}
		wanted := host
		if kind == "createContainer" || kind == "startContainer" {
			wanted = inside
		}
		want(t, "mount namespace of "+kind, words[i+1], wanted)
		if kind == "startContainer" && words[i+2] == hostPid {
			t.Error("startContainer runs in the host's pid namespace")
		}
	}
}

func TestHooksGetTheStateAndNothingElse(t *testing.T) {
	c := newContainer(t, func(s *specs.Spec) { s.Annotations = map[string]string{"a": "b"} })
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "poststart", "poststop"} {
		c.edit(hooks(kind, hook(fmt.Sprintf(
			"cat > %[1]s/%[2]s.state; env > %[1]s/%[2]s.env; ls /proc/self/fd > %[1]s/%[2]s.fds; pwd > %[1]s/%[2]s.cwd", c.bundle, kind))))
	}
	pid := c.up()
	c.must("delete", "--force", c.id)
	for kind, status := range map[string]string{
		"prestart": "creating", "createRuntime": "creating", "createContainer": "creating", "poststart": "running", "poststop": "stopped",
	} {
		t.Run(kind, func(t *testing.T) {
			if kind == "createContainer" || kind == "poststart" {
				peerFails(t, "runc", "says created")
			}
			text, err := os.ReadFile(filepath.Join(c.bundle, kind+".state"))
			if err != nil {
				t.Fatal(err)
			}
			var got specs.State
			decode(t, string(text), &got)
			if got.ID != c.id || string(got.Status) != status || got.Bundle != c.bundle || got.Annotations["a"] != "b" || got.Version == "" {
				t.Errorf("state = %s; want status %s", text, status)
			}
			// In createContainer hooks the pid is that of the container's pid namespace or of the host's: runtimes differ.
			if kind != "poststop" && kind != "createContainer" && got.Pid != pid {
				t.Errorf("pid = %d; want %d", got.Pid, pid)
			}
			fds, _ := os.ReadFile(filepath.Join(c.bundle, kind+".fds"))
			want(t, "descriptors, with one for the directory", strings.Join(strings.Fields(string(fds)), " "), "0 1 2 3")
			variables, _ := os.ReadFile(filepath.Join(c.bundle, kind+".env"))
			for line := range strings.Lines(string(variables)) {
				if name, _, _ := strings.Cut(line, "="); name != "PATH" && name != "PWD" && name != "SHLVL" && name != "_" && name != "OLDPWD" {
					t.Errorf("environment has %s", line)
				}
			}
			cwd, _ := os.ReadFile(filepath.Join(c.bundle, kind+".cwd"))
			dir := c.bundle
			if kind == "createContainer" && env.kind != "crun" {
				dir = c.rootfs
			}
			want(t, "working directory", strings.TrimSpace(string(cwd)), dir)
		})
	}
}

func TestAFailingHookEndsTheContainer(t *testing.T) {
	for _, kind := range hookKinds[:5] {
		t.Run(kind, func(t *testing.T) {
			if kind == "poststart" || kind == "startContainer" {
				peerFails(t, "runc", "runs poststart at create; start does not wait for startContainer")
			}
			c := newContainer(t, args("sleep", "1000"), hooks(kind, hook("echo because of this >&2; exit 3")))
			r := c.verb(c.withFlags("create")...)
			if kind == "startContainer" || kind == "poststart" {
				if r.code != 0 {
					t.Fatal(r)
				}
				r = c.verb("start", c.id)
			}
			refused(t, r, 1, "because of this")
			if env.kind == "onggi" && !strings.Contains(r.err, kind) {
				t.Errorf("the hook is not named: %v", r)
			}
			if kind == "startContainer" || kind == "poststart" {
				c.stopped()
				c.must("delete", c.id)
			} else {
				refused(t, c.verb("state", c.id), 1, "does not exist")
			}
		})
	}
}

func TestPoststopHooksFollowAFailedCreate(t *testing.T) {
	peerFails(t, "runc", "does not run them")
	c := newContainer(t)
	c.edit(hooks("createRuntime", hook("exit 1")), hooks("poststop", hook("touch "+c.bundle+"/poststop")))
	refused(t, c.run(), 1, "")
	if _, err := os.Stat(filepath.Join(c.bundle, "poststop")); err != nil {
		t.Error("poststop did not run")
	}
}

// Only one of two concurrent deletes runs the hooks. The other one returns after they have ended.
func TestPoststopHooksRunOnce(t *testing.T) {
	peerFails(t, "runc", "the other one ends before the hooks do")
	c := newContainer(t)
	c.edit(hooks("poststop", hook("echo ran >> "+c.bundle+"/log; while [ ! -e "+c.bundle+"/go ]; do sleep 0.01; done; echo done >> "+c.bundle+"/log")))
	c.create()
	log := func() string { data, _ := os.ReadFile(filepath.Join(c.bundle, "log")); return string(data) }
	first := c.begin("delete", "--force", c.id)
	eventually(t, "the hook runs", func() bool { return log() != "" })
	second := c.begin("delete", "--force", c.id)
	eventually(t, "the other one waits", func() bool {
		return log() != "ran\n" || waitsIn(second.Process.Pid, "lock")
	})
	c.write("go", "")
	for _, i := range []*invocation{first, second} {
		if r := i.end(); r.code != 0 {
			t.Error(r)
		}
		want(t, "log", log(), "ran\ndone\n")
	}
}

func TestAFailingPoststopHookIsAWarning(t *testing.T) {
	peerFails(t, "runc", "stops at it")
	c := newContainer(t)
	c.edit(hooks("poststop", hook("exit 3"), hook("touch "+c.bundle+"/second")))
	c.create()
	r := c.must("delete", c.id)
	if !strings.Contains(r.err, "poststop") {
		t.Errorf("no warning: %v", r)
	}
	if _, err := os.Stat(filepath.Join(c.bundle, "second")); err != nil {
		t.Error("the second hook did not run")
	}
}

func TestHookTimeout(t *testing.T) {
	h := hook("exec sleep 100")
	h.Timeout = ptr(1)
	c := newContainer(t, hooks("createRuntime", h))
	began := time.Now()
	refused(t, c.run(), 1, "")
	if took := time.Since(began); took < 900*time.Millisecond || took > slowly(10*time.Second) {
		t.Errorf("took %v; want a second", took)
	}
}

func TestHooksThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct {
		hook specs.Hook
		text string
	}{
		"relative path":    {specs.Hook{Path: "sh"}, "is not an absolute path"},
		"no path":          {specs.Hook{}, "/hooks/createRuntime/0/path: required"},
		"missing":          {specs.Hook{Path: "/no/such/hook"}, "no such file or directory"},
		"not executable":   {specs.Hook{Path: "/etc/passwd"}, "permission denied"},
		"timeout 0":        {specs.Hook{Path: "/bin/true", Timeout: ptr(0)}, "/hooks/createRuntime/0/timeout: 0 is not greater than zero"},
		"negative timeout": {specs.Hook{Path: "/bin/true", Timeout: ptr(-1)}, "/hooks/createRuntime/0/timeout: -1 is not greater than zero"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "timeout") || name == "relative path" {
				peersLack(t, "not checked")
			}
			refused(t, newContainer(t, hooks("createRuntime", test.hook)).run(), 1, test.text)
		})
	}
}

func TestPrestartHookFindsTheContainersNamespaces(t *testing.T) {
	for _, tool := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	// An engine's network hook needs the pid in the state and its network namespace before the program runs.
	c := newContainer(t, args("ls", "/sys/class/net"))
	c.edit(hooks("prestart", hook(`pid=$(sed 's/.*"pid": *\([0-9]*\).*/\1/' | head -n 1); nsenter -t $pid -n ip link add one type veth peer name two`)))
	want(t, "interfaces", c.output(), "lo\none\ntwo")
}

// When the hooks run, no descriptor keeps a mount busy.
func TestHooksUnmountWhatIsMounted(t *testing.T) {
	c := newContainer(t, sh("grep -c /mnt/ /proc/self/mountinfo; ls /mnt/a /mnt/b"))
	c.write("source/file", "")
	for _, name := range []string{"a", "b"} {
		c.write("rootfs/mnt/"+name+"/below", "")
	}
	c.edit(mount(
		specs.Mount{Destination: "/mnt/a", Type: "mqueue", Source: "mqueue"},
		specs.Mount{Destination: "/mnt/b", Type: "bind", Source: "source", Options: []string{"rbind", "ro"}},
	))
	c.edit(hooks("createContainer", hook(fmt.Sprintf("umount %s/mnt/a %s/mnt/b", c.rootfs, c.rootfs))))
	want(t, "mounts and files", c.output(), "0\n/mnt/a:\nbelow\n\n/mnt/b:\nbelow")
}

// After the first process was killed from outside, create with the same id must fail.
func TestHooksRunOnceForAFirstProcessThatIsKilled(t *testing.T) {
	c := newContainer(t, args("true"))
	log := filepath.Join(c.bundle, "log")
	c.edit(hooks("createRuntime", hook(fmt.Sprintf(`echo hook >> %s; kill -9 $(sed 's/.*"pid": *\([0-9]*\).*/\1/' | head -n 1)`, log))))
	c.runFails().has(t, "", "killed by SIGKILL")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "hooks", string(text), "hook\n")
}

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// statusInside runs the container with a command that prints its own /proc/self/status.
func (c *container) statusInside() string {
	c.t.Helper()
	c.edit(args("cat", "/proc/self/status"))
	return c.output()
}

func TestCapabilities(t *testing.T) {
	const kill, bind, audit = "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"
	tests := []struct {
		name                    string
		bnd, eff, prm, inh, amb []string
		uid                     uint32
		want                    string // bounding effective permitted inheritable ambient
	}{
		{"all five", []string{kill, bind, audit}, []string{kill}, []string{kill, bind}, []string{bind}, []string{bind}, 0, "20000420 20 420 400 400"},
		{"none", nil, nil, nil, nil, nil, 0, "0 0 0 0 0"},
		// At execve root gets the bounding set, unless the ambient set is not empty (capabilities(7)).
		{"bounding only", []string{kill, audit}, nil, nil, nil, nil, 0, "20000020 0 0 0 0"},
		{"user with ambient", []string{kill, bind}, []string{bind}, []string{bind}, []string{bind}, []string{bind}, 1000, "420 400 400 400 400"},
		{"user without ambient", []string{kill, bind}, []string{bind}, []string{bind}, []string{bind}, nil, 1000, "420 0 0 400 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, func(s *specs.Spec) {
				s.Process.User.UID = test.uid
				s.Process.Capabilities = &specs.LinuxCapabilities{
					Bounding: test.bnd, Effective: test.eff, Permitted: test.prm, Inheritable: test.inh, Ambient: test.amb,
				}
			})
			c.edit(args("cat", "/proc/self/status"))
			status := c.output()
			var got []string
			for _, set := range []string{"CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb"} {
				got = append(got, strings.TrimLeft(field(status, set)[:15], "0")+field(status, set)[15:])
			}
			if test.uid == 0 {
				// execve by root: permitted = inheritable | bounding, effective = permitted.
				got[1], got[2] = "", ""
				w := strings.Fields(test.want)
				w[1], w[2] = "", ""
				want(t, "bounding, inheritable, ambient", strings.Join(got, " "), strings.Join(w, " "))
				return
			}
			want(t, "capability sets", strings.Join(got, " "), test.want)
		})
	}
}

func TestCapabilitiesThatCannotBeGivenAreAWarning(t *testing.T) {
	const name = "CAP_SYS_RESOURCE"
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if bnd := field(string(own), "CapBnd"); bnd[len(bnd)-7] != 'e' && bnd[len(bnd)-7] != '6' && bnd[len(bnd)-7] != '4' {
		t.Skipf("this machine has %s in its bounding set (%s): nothing is missing", name, bnd)
	}
	peerFails(t, "runc", "1.1 fails when a known capability cannot be given")
	r := newContainer(t, caps("CAP_KILL", name), sh("grep CapBnd /proc/self/status")).run()
	if r.code != 0 || !strings.Contains(r.out, "0000000000000020") {
		t.Error(r)
	}
}

func TestRlimits(t *testing.T) {
	c := newContainer(t, args("cat", "/proc/self/limits"), func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{
			{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200},
			{Type: "RLIMIT_CORE", Soft: 0, Hard: 0},
			{Type: "RLIMIT_STACK", Soft: 1 << 20, Hard: 1 << 21},
			{Type: "RLIMIT_NPROC", Soft: 1000, Hard: 2000},
		}
	})
	limits := c.output()
	for name, values := range map[string]string{
		"Max open files": "100 200", "Max core file size": "0 0", "Max stack size": "1048576 2097152", "Max processes": "1000 2000",
	} {
		line := limits[strings.Index(limits, name)+len(name):]
		want(t, name, strings.Join(strings.Fields(line)[:2], " "), values)
	}
}

func TestNoNewPrivileges(t *testing.T) {
	for _, on := range []bool{true, false} {
		c := newContainer(t, func(s *specs.Spec) { s.Process.NoNewPrivileges = on })
		want(t, "NoNewPrivs", field(c.statusInside(), "NoNewPrivs"), map[bool]string{true: "1", false: "0"}[on])
	}
}

func TestUser(t *testing.T) {
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6, 7}, Umask: ptr(uint32(0o027))}
	})
	status := c.statusInside()
	want(t, "Uid", strings.Join(strings.Fields(field(status, "Uid")), " "), "1000 1000 1000 1000")
	want(t, "Gid", strings.Join(strings.Fields(field(status, "Gid")), " "), "1001 1001 1001 1001")
	want(t, "Groups", field(status, "Groups"), "5 6 7")
	want(t, "Umask", field(status, "Umask"), "0027")
	t.Run("umask not given", func(t *testing.T) {
		want(t, "Umask", field(newContainer(t).statusInside(), "Umask"), "0022")
	})
}

func TestOOMScoreAdj(t *testing.T) {
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	c := newContainer(t, args("cat", "/proc/self/oom_score_adj"), func(s *specs.Spec) { s.Process.OOMScoreAdj = ptr(555) })
	want(t, "oom_score_adj", c.output(), "555")
	c = newContainer(t, args("cat", "/proc/self/oom_score_adj"))
	want(t, "oom_score_adj when not given", c.output(), strings.TrimSpace(string(own)))
}

func TestEnvironment(t *testing.T) {
	c := newContainer(t, args("env"), func(s *specs.Spec) {
		s.Process.Env = []string{"A=1", "B=2", "A=3", "PATH=/bin", "EMPTY=", "QUOTED=a b\"c"}
	})
	// HOME comes from the container's passwd. If a variable appears twice, the last one counts. The runtime's own environment
	// must not appear.
	c.env = []string{"SECRET=of the caller", "_LIBCONTAINER_X=1"}
	lines := strings.Split(c.output(), "\n")
	wanted := map[string]bool{"A=3": true, "B=2": true, "PATH=/bin": true, "EMPTY=": true, "QUOTED=a b\"c": true, "HOME=/root": true}
	for _, line := range lines {
		if !wanted[line] {
			t.Errorf("%q is in the environment", line)
		}
		delete(wanted, line)
	}
	if len(wanted) != 0 {
		t.Errorf("not in the environment: %v", wanted)
	}
}

func TestHome(t *testing.T) {
	tests := []struct {
		name string
		uid  uint32
		env  []string
		want string
	}{
		{"root", 0, nil, "/root"},
		{"user", 1000, nil, "/home/user"},
		{"nobody known", 4242, nil, "/"},
		{"given", 1000, []string{"HOME=/mine"}, "/mine"},
		{"given empty", 1000, []string{"HOME="}, "/home/user"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "given empty" {
				peerFails(t, "runc", "1.1 keeps the empty one")
			}
			c := newContainer(t, sh("echo $HOME"), func(s *specs.Spec) {
				s.Process.User.UID = test.uid
				s.Process.Env = append(s.Process.Env, test.env...)
			})
			want(t, "HOME", c.output(), test.want)
		})
	}
	t.Run("no passwd", func(t *testing.T) {
		c := newContainer(t, sh("echo $HOME"))
		os.Remove(filepath.Join(c.rootfs, "etc/passwd"))
		want(t, "HOME", c.output(), "/")
	})
}

func TestCwd(t *testing.T) {
	cwd := func(dir string) edit { return func(s *specs.Spec) { s.Process.Cwd = dir } }
	want(t, "cwd", newContainer(t, cwd("/tmp"), args("pwd")).output(), "/tmp")
	t.Run("is made", func(t *testing.T) {
		want(t, "cwd and mode", newContainer(t, cwd("/new/dir"), sh("pwd; stat -c '%a %u' .")).output(), "/new/dir\n755 0")
	})
	t.Run("only root may enter", func(t *testing.T) {
		c := newContainer(t, cwd("/private"), args("pwd"), func(s *specs.Spec) {
			s.Process.User.UID = 1000
			s.Process.Capabilities = &specs.LinuxCapabilities{}
		})
		if err := os.Mkdir(filepath.Join(c.rootfs, "private"), 0o700); err != nil {
			t.Fatal(err)
		}
		if r := c.run(); r.code != 0 && !strings.Contains(r.err, "permission denied") {
			t.Error(r)
		}
	})
	t.Run("is a file", func(t *testing.T) {
		refused(t, newContainer(t, cwd("/bin/busybox"), args("pwd")).run(), 1, "not a directory")
	})
	t.Run("symlink", func(t *testing.T) {
		c := newContainer(t, cwd("/link"), args("pwd", "-P"))
		os.Symlink("/home/user", filepath.Join(c.rootfs, "link"))
		want(t, "cwd", c.output(), "/home/user")
	})
}

// aDirectory is the message for a command that is a directory. docker derives the status 126 from it.
func aDirectory() string {
	if env.kind == "runc" {
		return "permission denied" // before 1.2
	}
	return "is a directory"
}

func TestCommandLookup(t *testing.T) {
	path := func(value string) edit { return func(s *specs.Spec) { s.Process.Env = []string{"PATH=" + value} } }
	c := newContainer(t, path("/opt:/bin"), args("tool"))
	c.write("rootfs/opt/tool", "#!/bin/sh\necho from opt\n")
	os.Chmod(filepath.Join(c.rootfs, "opt/tool"), 0o755)
	want(t, "output", c.output(), "from opt")

	t.Run("passes over what is not executable", func(t *testing.T) {
		c := newContainer(t, path("/opt:/opt2"), args("tool"))
		c.write("rootfs/opt/tool", "")
		c.write("rootfs/opt2/tool", "#!/bin/sh\necho from opt2\n")
		os.Chmod(filepath.Join(c.rootfs, "opt2/tool"), 0o755)
		want(t, "output", c.output(), "from opt2")
	})

	tests := []struct {
		name, command string
		text          string
	}{
		// docker, podman and containerd derive the status 126 or 127 from these texts.
		{"not in PATH", "nonsense", "executable file not found in $PATH"},
		{"no such path", "/no/such/file", "no such file or directory"},
		{"relative path", "./nothing", "no such file or directory"},
		{"a directory", "/bin", aDirectory()},
		{"not executable", "/etc/passwd", "permission denied"},
		{"below a file", "/etc/passwd/x", "not a directory"},
		{"empty", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			refused(t, newContainer(t, args(test.command)).run(), 1, test.text)
			// create must fail already, and not only start: engines report these as "cannot be created".
			c := newContainer(t, args(test.command))
			refused(t, c.verb(c.withFlags("create")...), 1, test.text)
			if r := c.verb("state", c.id); r.code != 1 {
				t.Errorf("a container was left: %v", r)
			}
		})
	}
}

func TestAFailingExecveIsExplained(t *testing.T) {
	peerFails(t, "runc", "repeats the errno")
	elf, err := os.ReadFile(env.busybox)
	if err != nil {
		t.Fatal(err)
	}
	foreign := append([]byte{}, elf[:64]...)
	foreign[18], foreign[19] = 0xf3, 0 // EM_RISCV
	tests := []struct {
		name, data string
		texts      []string
	}{
		{"missing interpreter of a script", "#!/no/such/shell\n", []string{"no such file or directory", "/no/such/shell"}},
		{"carriage return", "#!/bin/sh\r\necho\r\n", []string{"no such file or directory", "CR"}},
		{"another machine's program", string(foreign), []string{"exec format error"}},
		{"no format at all", "\x00\x01\x02", []string{"exec format error"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, args("/bin/it"))
			c.write("rootfs/bin/it", test.data)
			os.Chmod(filepath.Join(c.rootfs, "bin/it"), 0o755)
			for _, text := range test.texts {
				refused(t, c.run(), 1, text)
			}
			// start itself has to report the error. Then the container is stopped.
			if r := c.verb(c.withFlags("create")...); r.code == 0 {
				refused(t, c.verb("start", c.id), 1, test.texts[0])
				c.stopped()
				c.must("delete", c.id)
			}
		})
	}
}

func TestSysctl(t *testing.T) {
	sysctl := func(key, value string) edit {
		return func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{key: value} }
	}
	for key, path := range map[string]string{
		"net.ipv4.ip_forward":        "/proc/sys/net/ipv4/ip_forward",
		"net/ipv4/conf/lo/rp_filter": "/proc/sys/net/ipv4/conf/lo/rp_filter",
		"kernel.shm_rmid_forced":     "/proc/sys/kernel/shm_rmid_forced",
		"fs.mqueue.msg_default":      "/proc/sys/fs/mqueue/msg_default",
	} {
		t.Run(key, func(t *testing.T) {
			want(t, path, newContainer(t, sysctl(key, "1"), args("cat", path)).output(), "1")
		})
	}
	for _, key := range []string{"kernel.panic", "kernel.hostname", "vm.swappiness", "nonsense", "net.no.such.key"} {
		t.Run(key, func(t *testing.T) {
			refused(t, newContainer(t, sysctl(key, "1")).run(), 1, map[bool]string{true: "such", false: "sysctl"}[strings.Contains(key, "such")])
		})
	}
	t.Run("of a namespace that is the host's", func(t *testing.T) {
		before, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		c := newContainer(t, without(specs.NetworkNamespace), sysctl("net.ipv4.ip_forward", "1"))
		refused(t, c.run(), 1, "net.ipv4.ip_forward")
		after, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		want(t, "the host's", string(after), string(before))
	})
}

func TestPersonality(t *testing.T) {
	peerFails(t, "runc", "has no personalities before 1.2")
	c := newContainer(t, args("uname", "-m"), func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "LINUX32"} })
	if got := c.output(); got != "i686" && got != "armv8l" {
		t.Errorf("machine = %q; want a 32 bit one", got)
	}
}

func TestSchedulerAndIOPriority(t *testing.T) {
	peerFails(t, "runc", "newer than 1.1")
	c := newContainer(t, sh("probe scheduler; ionice -p $$"), func(s *specs.Spec) {
		s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 7}
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
	})
	want(t, "output", c.output(), "3 7\nbest-effort: prio 6")
}

func TestOwnSessionAndCleanSignals(t *testing.T) {
	c := newContainer(t, sh("read -r _ _ _ _ group session _ < /proc/self/stat; cat /proc/self/status; echo session $group $session"))
	status := c.output()
	for _, name := range []string{"SigBlk", "SigIgn"} {
		want(t, name, field(status, name), "0000000000000000")
	}
	if !strings.HasSuffix(status, "session 1 1") {
		t.Errorf("process group and session: %s", status[strings.LastIndex(status, "session"):])
	}
}

func TestSessionKeyring(t *testing.T) {
	c := newContainer(t, args("probe", "keyring"))
	want(t, "session keyring", c.output(), "_ses."+c.id)
	if got := c.output("--no-new-keyring"); got == "_ses."+c.id {
		t.Errorf("session keyring with --no-new-keyring = %q", got)
	}
}

func TestPreservedDescriptors(t *testing.T) {
	list := sh(`for fd in /proc/self/fd/*; do fd=${fd##*/}; test -e /proc/$$/fd/$fd && printf "%s " $fd; done; cat <&3; cat <&4`)
	c := newContainer(t, list)
	for _, text := range []string{"three", "four", "five"} {
		f := scratch(t)
		f.WriteString(text)
		f.Seek(0, 0)
		c.extra = append(c.extra, f)
	}
	want(t, "descriptors, and what 3 and 4 hold", c.output("--preserve-fds", "2"), "0 1 2 3 4 threefour")

	t.Run("exec", func(t *testing.T) {
		for _, f := range c.extra {
			f.Seek(0, 0)
		}
		e := newContainer(t)
		e.up()
		e.extra = c.extra
		want(t, "descriptors", e.execOutput([]string{"--preserve-fds", "2"}, list2args(list)...), "0 1 2 3 4 threefour")
	})
	t.Run("without the flag", func(t *testing.T) {
		e := newContainer(t, sh("ls /proc/self/fd | wc -l"))
		e.extra = c.extra
		want(t, "descriptors, with one for the directory", e.output(), "4")
	})
}

// list2args returns the command that an edit sets.
func list2args(e edit) []string {
	s := defaultSpec()
	e(s)
	return s.Process.Args
}

func TestListenFDs(t *testing.T) {
	c := newContainer(t, sh(`echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; cat <&3; cat <&4`))
	for _, text := range []string{"three", "four"} {
		f := scratch(t)
		fmt.Fprintln(f, text)
		f.Seek(0, 0)
		c.extra = append(c.extra, f)
	}
	// The descriptors are for the process that LISTEN_PID names (sd_listen_fds(3)).
	c.env = []string{"LISTEN_FDS=1"}
	c.wrapper = []string{"/bin/sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}
	r := c.run("--preserve-fds", "1")
	if !strings.HasPrefix(r.out, "1 1") || !strings.HasSuffix(r.out, "three\nfour\n") {
		t.Error(r)
	}
}

// Closed descriptors among the preserved ones are an error. runc takes its own files for them: its exec gives the container
// its epoll descriptor and, on cgroup v1, the host's cgroup directory.
func TestPreserveClosedDescriptors(t *testing.T) {
	peerFails(t, "crun", "passes the closed ones over")
	c := newContainer(t)
	c.up()
	r := c.exec([]string{"--preserve-fds", "5"}, "ls", "-l", "/proc/self/fd")
	if env.kind == "runc" {
		if r.code != 0 || !strings.Contains(r.out, "eventpoll") {
			t.Errorf("%v; want a descriptor of runc", r)
		}
		return
	}
	refused(t, r, 255, "unable to stat preserved-fd 0 (of 5): descriptor 3 is not open")
}

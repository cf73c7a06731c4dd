package tests

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestWherePeersAgree runs random configurations with onggi, runc and crun. The configurations are the same in each
// run. A container reports everything that is visible from inside. One peer alone may be wrong, and often is. Users
// rely on the behaviour that both share. So a difference counts if both peers agree and onggi differs. disagreements
// lists the intended differences.
func TestWherePeersAgree(t *testing.T) {
	if env.kind != "onggi" {
		t.Skip("the peers are asked by the test itself")
	}
	peers := []string{peer(t, "RUNC", "runc"), peer(t, "CRUN", "crun")}
	for seed := range seeds(t) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			own, spec := seen(t, seed, env.runtime)
			runc, _ := seen(t, seed, peers[0])
			crun, _ := seen(t, seed, peers[1])
			if t.Failed() || runc["it runs"] != crun["it runs"] {
				return // an incomplete or missing report cannot be compared
			}
			keys := maps.Clone(own)
			maps.Copy(keys, runc)
			for _, key := range slices.Sorted(maps.Keys(keys)) {
				got, want := own[key], runc[key]
				if want == crun[key] && got != want && !meant(key, got) {
					t.Errorf("%s: %q; with both peers %q\n%s", key, got, want, spec)
				}
			}
		})
	}
}

// seeds is the number of configurations. With 17 processes ready to run on two processors, a seed took 6.6 s. So CI stays
// within a few minutes; `make agree` tries 200.
func seeds(t *testing.T) uint64 {
	t.Helper()
	all := os.Getenv("AGREE_SEEDS")
	if all == "" {
		return uint64(amount(8, 16, 32))
	}
	n, err := strconv.ParseUint(all, 10, 32)
	if err != nil {
		t.Fatalf("AGREE_SEEDS: %v", err)
	}
	return n
}

// disagreements are the intended differences: the key, the value of onggi, and the reason.
var disagreements = []struct{ key, value, why string }{
	{"mount /dev", "nosuid", "a remount keeps what it does not name, as mount(8) does; mount(2) alone takes it away"},
	{"mount /(etc|data)", "mode=755", "with tmpcopyup too a tmpfs has the mode of what it covers; not with runc 1.1 and crun 1.8"},
	{"mount /", " ro,", "a root among the read-only paths is changed itself; runc 1.1 and crun 1.8 show the mount over it"},
	{"mounts left on the host", "0", "a bind is a slave of the host's mount; with both peers it stays a peer below a private rootfsPropagation"},
	{"mount /new/deep(/one)?", "!shared:", "the same: with both peers the mount stays a peer of the host's"},
}

// meant reports whether a difference is intended. A value that begins with "!" is text that is missing.
func meant(key, value string) bool {
	for _, d := range disagreements {
		text, missing := strings.CutPrefix(d.value, "!")
		if regexp.MustCompile("^(?:"+d.key+")$").MatchString(key) && strings.Contains(value, text) != missing {
			return true
		}
	}
	return false
}

// peer returns the path of another runtime. It skips the test if the runtime does not work in the layout of the run.
func peer(t *testing.T, variable, name string) string {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv(variable), name))
	if err != nil {
		t.Skipf("it takes runc and crun: %v", err)
	}
	c := newContainer(t)
	c.runtime = path
	if r := c.run(); r.code != 0 {
		c.sweep()
		t.Skipf("%s does not run here: %s", name, r.err)
	}
	return path
}

// seen runs the configuration of a seed and returns the report of the container.
func seen(t *testing.T, seed uint64, runtime string) (map[string]string, string) {
	t.Helper()
	c := newContainer(t, without(specs.CgroupNamespace), sh(everything), twist(seed))
	c.runtime = runtime
	for _, file := range []string{"src/file", "src/sub/file", "rootfs/data/file", "rootfs/data/sub/file"} {
		c.write(file, "text\n")
	}
	for from, to := range map[string]string{"link": "/data", "dangling": "made/behind/it"} {
		if err := os.Symlink(to, filepath.Join(c.rootfs, from)); err != nil {
			t.Fatal(err)
		}
	}
	host := nested(t, c, seed)
	log := c.logHooks()
	before := mountsBelow(t, host)
	r := c.runSomehow(t)
	spec, _ := json.Marshal(c.spec)
	if runtime != env.runtime {
		c.sweep()
	}
	nameless := func(s string) string { return strings.ReplaceAll(s, c.id, "ID") }
	all := map[string]string{"it runs": fmt.Sprint(r.code == 0)}
	if r.code == 0 {
		maps.Copy(all, parseEverything(nameless(r.out)))
		said, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, parseEverything(nameless(string(said))))
		all["mounts left on the host"] = fmt.Sprint(mountsBelow(t, host) - before)
	}
	return all, nameless(string(spec))
}

// hookLog is a placeholder for the host's file into which the hooks of twists write.
const hookLog = "/hook-log"

// logHooks creates this file and inserts its path into the hooks that run on the host.
func (c *container) logHooks() string {
	c.write("hook-log", "")
	log := filepath.Join(c.bundle, "hook-log")
	c.edit(func(s *specs.Spec) {
		if s.Hooks == nil {
			return
		}
		for _, list := range [][]specs.Hook{s.Hooks.Prestart, s.Hooks.CreateRuntime, s.Hooks.CreateContainer, s.Hooks.Poststart, s.Hooks.Poststop} { //nolint:staticcheck // prestart is deprecated, and used
			for i := range list {
				list[i].Args = slices.Clone(list[i].Args)
				list[i].Args[2] = strings.ReplaceAll(list[i].Args[2], hookLog, log)
			}
		}
	})
	return log
}

// runSomehow runs the container to its end and returns its output, which may come from a terminal.
func (c *container) runSomehow(t *testing.T) result {
	t.Helper()
	if !c.spec.Process.Terminal {
		return c.run()
	}
	path, next := consoleSocket(t)
	r := c.verb(c.withFlags("create", "--console-socket", path)...)
	if r.code != 0 {
		return r
	}
	master, _ := next()
	defer master.Close()
	r = c.verb("start", c.id)
	if r.code == 0 {
		r.out = strings.ReplaceAll(readAll(t, master), "\r\n", "\n")
	}
	c.verb("delete", "--force", c.id)
	return r
}

// nested mounts a tree at "host" in the bundle, on the host, with flags and propagations that the seed selects.
func nested(t *testing.T, c *container, seed uint64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	top := filepath.Join(c.bundle, "host")
	for _, dir := range []string{"", "one", "one/two"} {
		at := filepath.Join(top, dir)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, "mode=755,size=64k"); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", at, "", one[uintptr](r, unix.MS_PRIVATE, unix.MS_SHARED, unix.MS_SHARED), ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for unix.Unmount(top, unix.MNT_DETACH) == nil {
		}
	})
	c.write("host/file", "text\n")
	c.write("host/one/file", "text\n")
	for _, dir := range []string{"one/two", "one", ""} { // the read-only mount comes last
		flags := one[uintptr](r, 0, 0, unix.MS_NOSUID, unix.MS_NODEV|unix.MS_NOSUID, unix.MS_NOEXEC, unix.MS_RDONLY, unix.MS_NOATIME, unix.MS_NODIRATIME)
		if err := unix.Mount("", filepath.Join(top, dir), "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

// sweep removes the leftovers of a peer after a failure.
func (c *container) sweep() {
	for _, dir := range c.cgroupDirs() {
		os.Remove(dir)
	}
}

// everything is a script that prints a line "= name" before each report.
const everything = `
for f in status limits cgroup oom_score_adj personality timens_offsets uid_map gid_map setgroups mountinfo
do echo = $f; cat /proc/$$/$f; done
echo = environ; tr '\0' '\n' </proc/$$/environ | sort
echo = fd; ls /proc/$$/fd
echo = umask; umask; echo = cwd; pwd; echo = id; id; echo = uname; uname -nm
echo = domain; cat /proc/sys/kernel/domainname
echo = sysctl; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni
echo = terminal; tty; stty -a 2>/dev/null; echo = console; stat -c '%A %u %g %t:%T' /dev/console
echo = hooked; cat /tmp/hook-log
echo = scheduling; chrt -p $$ | sed 's/.*://'; ionice -p $$; nice
for p in / /dev /dev/* /dev/shm /tmp /data /data/* /host /host/* /host/one/* /again /again/* /new /new/* /made/behind/it /link /root /home/user /etc/passwd; do
	[ -e $p ] && echo = path $p && stat -c '%A %u %g %t:%T' $p && readlink $p
	[ -d $p ] && echo = write $p && (touch $p/.w && rm $p/.w && echo yes || echo no) 2>/dev/null
done
for d in null zero full random urandom fuse; do echo = device $d; (: </dev/$d) && echo r; (: >/dev/$d) && echo w; done 2>/dev/null
true`

// parseEverything returns the reports by key. Each mount and each line of status and limits has its own key.
func parseEverything(out string) map[string]string {
	all := map[string]string{}
	for _, part := range strings.Split("\n"+out, "\n= ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		switch name {
		case "mountinfo":
			for at, m := range parseMounts(text) {
				super := strings.Split(m.super, ",")
				slices.Sort(super)
				propagation, _, _ := strings.Cut(m.propagation, ":")
				all["mount "+at] = strings.Join([]string{m.root, m.options, propagation, m.fstype, strings.Join(super, ",")}, " ")
			}
		case "status":
			for line := range strings.Lines(text) {
				if key, value, _ := strings.Cut(line, ":"); steady.MatchString(key) {
					all["status "+key] = strings.TrimSpace(value)
				}
			}
		case "limits":
			for line := range strings.Lines(text) {
				all["limit "+line[:min(25, len(line))]] = strings.Join(strings.Fields(line[min(25, len(line)):]), " ")
			}
		case "cgroup":
			// Another program may mount a hierarchy at any time. In a new one, every process is at the root.
			lines := slices.DeleteFunc(strings.Fields(text), func(line string) bool { return strings.HasSuffix(line, ":/") })
			all[name] = strings.Join(lines, "\n")
		default:
			all[name] = strings.TrimSpace(text)
		}
	}
	return all
}

// steady matches the lines of /proc/PID/status that do not depend on timing.
var steady = regexp.MustCompile(`^(Umask|Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap...|Cpus_allowed_list|Mems_allowed_list|THP_enabled)$`)

// twist applies a few changes to the default configuration.
func twist(seed uint64) edit {
	return func(s *specs.Spec) {
		r := rand.New(rand.NewPCG(seed, 0))
		for range 1 + r.IntN(3) {
			twists[r.IntN(len(twists))](r, s)
		}
		r = rand.New(rand.NewPCG(seed, 2))
		for _, twist := range processTwists {
			if r.IntN(3) == 0 {
				twist(r, s)
			}
		}
	}
}

// processTwists change users, capabilities, hooks and terminals. Any of them can be combined.
var processTwists = []func(*rand.Rand, *specs.Spec){
	func(r *rand.Rand, s *specs.Spec) {
		s.Process.User = specs.User{UID: one[uint32](r, 0, 1000, 12345, 65534), GID: one[uint32](r, 0, 1000, 3000), AdditionalGids: some[uint32](r, 3, 1, 5, 1000, 2000)}
		s.Process.NoNewPrivileges = r.IntN(2) == 0
		if r.IntN(2) == 0 {
			s.Process.Env = []string{"PATH=/bin"} // the runtime sets HOME
		}
	},
	func(r *rand.Rand, s *specs.Spec) {
		all := some(r, 6, "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_NET_ADMIN", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE")
		c := &specs.LinuxCapabilities{Bounding: all}
		c.Permitted = some(r, 6, all...)
		c.Effective = some(r, 6, c.Permitted...)
		c.Inheritable = some(r, 6, all...)
		c.Ambient = some(r, 6, c.Inheritable...)
		s.Process.Capabilities = one(r, c, c, c, nil, &specs.LinuxCapabilities{})
	},
	func(r *rand.Rand, s *specs.Spec) {
		for _, kind := range some(r, 4, hookKinds...) {
			var list []specs.Hook
			for i := range 1 + r.IntN(2) {
				list = append(list, randomHook(r, kind, i))
			}
			hooks(kind, list...)(s)
		}
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Process.Terminal = true
		s.Process.ConsoleSize = one(r, nil, &specs.Box{Height: 24, Width: 80}, &specs.Box{Height: 1, Width: 500})
		s.Process.Env = append(s.Process.Env, "TERM=xterm")
	},
}

// randomHook reports its environment, directory, identity and the container's status.
func randomHook(r *rand.Rand, kind string, i int) specs.Hook {
	log := hookLog
	if kind == "startContainer" {
		log = "/tmp/hook-log"
	}
	h := hook(fmt.Sprintf(`{ echo "= hook %s %d"; env | grep -v -E "^(PWD|OLDPWD|SHLVL|_)=" | sort; pwd; id -u; umask; grep -E "^(Groups|NoNewPrivs|Seccomp|Cap...):" /proc/self/status
grep -o -E '"(id|status|bundle|ociVersion)": *"[^"]*"' | tr -d " " | sort; } >>%s`, kind, i, log))
	h.Env = one(r, nil, []string{"PATH=/usr/bin:/bin"}, []string{"PATH=/usr/bin:/bin", "A=b", "HOME=/h"})
	h.Timeout = one(r, nil, ptr(20))
	return h
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// some returns up to most elements of the list, in random order.
func some[T any](r *rand.Rand, most int, of ...T) []T {
	of = slices.Clone(of)
	r.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	return of[:r.IntN(min(most, len(of))+1)]
}

// hostBind mounts a part of the host's nested mounts.
func hostBind(r *rand.Rand, s *specs.Spec) {
	o := append([]string{one(r, "bind", "rbind", "rbind")}, bindWords(r)...)
	mount(specs.Mount{Destination: one(r, "/host", "/data", "/link", "/new/deep"), Type: "bind", Source: one(r, "host", "host", "host/one"), Options: o})(s)
}

// bindWords always includes a flag. Without one, crun clears the flags of the source.
func bindWords(r *rand.Rand) []string {
	return append([]string{one(r, "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "strictatime", "nodiratime")},
		some(r, 3, "rw", "nosuid", "nodev", "exec", "private", "slave", "rprivate", "rslave", "shared", "rshared", "rro", "rnosuid", "rnodev")...)
}

var twists = []func(*rand.Rand, *specs.Spec){
	func(r *rand.Rand, s *specs.Spec) {
		o := append(some(r, 2, "ro", "nosuid", "nodev", "noexec", "noatime"), some(r, 2, "size=64k", "mode=750", "uid=1000", "nr_inodes=100")...)
		mount(specs.Mount{Destination: one(r, "/data", "/new", "/new/deep/er", "/link", "/dangling", "/tmp", "/data/sub"), Type: "tmpfs", Source: "tmpfs", Options: o})(s)
	},
	func(r *rand.Rand, s *specs.Spec) {
		o := append([]string{one(r, "bind", "rbind")}, some(r, 3, "ro", "nosuid", "nodev", "noexec", "noatime", "rro", "rprivate", "slave", "shared")...)
		mount(specs.Mount{Destination: one(r, "/data", "/new", "/new/deep/er", "/link", "/dangling", "/tmp"), Type: "bind", Source: one(r, "src", "src/sub", "/sys/kernel"), Options: o})(s)
	},
	hostBind, hostBind, hostBind,
	func(r *rand.Rand, s *specs.Spec) { // a mount below another one
		hostBind(r, s)
		last := s.Mounts[len(s.Mounts)-1]
		switch r.IntN(3) {
		case 0:
			mount(specs.Mount{Destination: last.Destination + "/one", Type: "tmpfs", Source: "tmpfs", Options: some(r, 2, "ro", "nosuid", "noatime", "mode=750", "shared")})(s)
		case 1:
			mount(specs.Mount{Destination: last.Destination + "/one", Type: "bind", Source: "src", Options: append(bindWords(r), "bind")})(s)
		case 2:
			mount(specs.Mount{Destination: last.Destination, Type: "bind", Source: "src", Options: append(bindWords(r), "rbind")})(s)
		}
	},
	func(r *rand.Rand, s *specs.Spec) { // a bind mount of an earlier mount
		hostBind(r, s)
		// The peers follow a link in the root file system on the host.
		source := strings.Replace(s.Mounts[len(s.Mounts)-1].Destination, "/link", "/data", 1)
		mount(specs.Mount{Destination: "/again", Type: "bind", Source: "rootfs" + source, Options: append(bindWords(r), one(r, "bind", "rbind"))})(s)
	},
	func(r *rand.Rand, s *specs.Spec) {
		mount(specs.Mount{Destination: one(r, "/data/file", "/new/file", "/etc/passwd"), Type: "bind", Source: "src/file", Options: append(some(r, 2, "ro", "nosuid", "private"), "bind")})(s)
	},
	func(r *rand.Rand, s *specs.Spec) {
		mount(specs.Mount{Destination: one(r, "/data", "/etc"), Type: "tmpfs", Source: "tmpfs", Options: append(some(r, 2, "ro", "nosuid", "size=1m"), "tmpcopyup")})(s)
	},
	func(r *rand.Rand, s *specs.Spec) {
		mount(specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"remount", one(r, "ro", "noexec")}})(s)
	},
	func(r *rand.Rand, s *specs.Spec) {
		mount(specs.Mount{Destination: one(r, "/", "/tmp/..", "/data"), Type: "bind", Source: one(r, "src", "nosuch"), Options: []string{"bind"}})(s)
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, one(r, "/", "/data", "/data/file", "/link", "/nosuch", "/tmp", "/dev/shm"))
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, one(r, "/data/file", "/link/file", "/nosuch", "/proc/cpuinfo"))
	},
	func(r *rand.Rand, s *specs.Spec) {
		d := specs.LinuxDevice{Path: one(r, "/dev/new", "/dev/sub/new", "/new/device", "/dev/shm/d"), Type: one(r, "c", "p")}
		if d.Type == "c" {
			d.Major, d.Minor = 10, 229
		}
		d.FileMode = ptr(one[os.FileMode](r, 0o600, 0o666, 0o640))
		d.UID, d.GID = ptr(one[uint32](r, 0, 1000)), ptr(one[uint32](r, 0, 5))
		s.Linux.Devices = append(s.Linux.Devices, d)
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229})
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: ptr[int64](10), Minor: ptr[int64](229), Access: one(r, "r", "w", "rwm")})
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Process.Env = append(s.Process.Env, some(r, 4, "A=1", "A=2", "EMPTY=", "HOME=/x", "WITH=a=b", "PATH=/bin", "LINES=a\nb")...)
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Process.Cwd = one(r, "/data", "/new/work", "/link", "/data/..//data/sub", "/root", "/etc/passwd")
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Process.User = specs.User{UID: one[uint32](r, 0, 1000, 65534), GID: one[uint32](r, 0, 1000, 5), AdditionalGids: some[uint32](r, 3, 5, 2000, 0, 5)}
		if r.IntN(2) == 0 {
			s.Process.User.Umask = ptr(one[uint32](r, 0, 0o27, 0o77))
		}
	},
	func(r *rand.Rand, s *specs.Spec) {
		all := some(r, 5, "CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID", "CAP_SETPCAP", "CAP_SYS_CHROOT", "CAP_MKNOD")
		c := &specs.LinuxCapabilities{Bounding: all, Permitted: all, Effective: some(r, 9, all...), Inheritable: some(r, 9, all...)}
		c.Ambient = some(r, 9, c.Inheritable...)
		s.Process.Capabilities = c
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Process.NoNewPrivileges = r.IntN(2) == 0
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			{Names: []string{one(r, "getcwd", "uname", "nosuchcall"), "ioprio_get"}, Action: specs.ActErrno, ErrnoRet: ptr(one[uint](r, 1, 38, 99))},
		}}
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: one(r, "RLIMIT_CORE", "RLIMIT_NPROC", "RLIMIT_STACK"), Soft: 1 << 20, Hard: 1 << 22}}
	},
	func(r *rand.Rand, s *specs.Spec) { s.Process.OOMScoreAdj = ptr(one(r, 0, 100, 1000)) },
	func(r *rand.Rand, s *specs.Spec) {
		s.Hostname = one(r, "other", "a.b", strings.Repeat("x", 64), strings.Repeat("x", 65))
	},
	func(r *rand.Rand, s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{one(r, "net.ipv4.ip_forward", "net/ipv4/ip_forward"): "1", one(r, "kernel.shmmni", "kernel/shmmni"): "100"}
	},
	func(r *rand.Rand, s *specs.Spec) {
		without(one(r, specs.IPCNamespace, specs.NetworkNamespace, specs.PIDNamespace))(s)
	},
	func(r *rand.Rand, s *specs.Spec) { userNamespace(one[uint32](r, 0, 100000))(s) },
	func(r *rand.Rand, s *specs.Spec) {
		s.Linux.RootfsPropagation = one(r, "private", "slave", "rshared", "shared", "unbindable", "rprivate")
	},
	func(_ *rand.Rand, s *specs.Spec) { s.Root.Readonly = true },
	func(_ *rand.Rand, s *specs.Spec) {
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	},
}

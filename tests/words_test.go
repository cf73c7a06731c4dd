package tests

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// situation is a failure, with the words of runc's message. Users search for these words, and engines and scripts match them.
// Therefore onggi's message contains them too.
type situation struct {
	verb, name string
	edits      []edit
	do         func(c *container) result // nil runs the verb
	code       int                       // exit status
	runc       int                       // exit status of runc, if it differs
	words      []string                  // in the messages of runc and of onggi
}

// running returns a situation of a running container.
func running(verb ...string) func(c *container) result {
	return func(c *container) result {
		c.up()
		return c.verb(c.here(verb)...)
	}
}

// made returns a situation of a created container.
func made(verb ...string) func(c *container) result {
	return func(c *container) result {
		c.edit(args("sleep", "1000"))
		c.create()
		return c.verb(c.here(verb)...)
	}
}

func paused(verb ...string) func(c *container) result {
	return func(c *container) result {
		c.up()
		c.must("pause", c.id)
		defer c.verb("resume", c.id)
		return c.verb(c.here(verb)...)
	}
}

// alone returns a situation without a container.
func alone(verb ...string) func(c *container) result {
	return func(c *container) result { return c.verb(c.here(verb)...) }
}

// here inserts the container's id, bundle and state root into a command line.
func (c *container) here(verb []string) []string {
	var all []string
	for _, word := range verb {
		all = append(all, strings.NewReplacer("ID", c.id, "BUNDLE", c.bundle, "ROOT", c.root).Replace(word))
	}
	return all
}

func mountOf(destination, kind, source string, options ...string) edit {
	return mount(specs.Mount{Destination: destination, Type: kind, Source: source, Options: options})
}

func inLinux(f func(l *specs.Linux)) edit { return func(s *specs.Spec) { f(s.Linux) } }

func inProcess(f func(p *specs.Process)) edit { return func(s *specs.Spec) { f(s.Process) } }

func withFile(path, text string, mode os.FileMode, then func(c *container) result) func(c *container) result {
	return func(c *container) result {
		c.write(path, text)
		os.Chmod(filepath.Join(c.bundle, path), mode)
		return then(c)
	}
}

// link replaces a directory of the root file system by a symlink.
func (c *container) link(name string) {
	os.Remove(filepath.Join(c.rootfs, name))
	if err := os.Symlink("/tmp", filepath.Join(c.rootfs, name)); err != nil {
		c.t.Fatal(err)
	}
}

func toRun(c *container) result { return c.run() }

func toCreate(c *container) result { return c.verb(c.withFlags("create")...) }

var situations = []situation{
	{
		verb: "run", name: "no such program", edits: []edit{args("nosuch")},
		code: 1, words: []string{`exec: "nosuch": executable file not found in $PATH`},
	},
	{
		verb: "run", name: "no such path", edits: []edit{args("/proc/nosuch")},
		code: 1, words: []string{`exec: "/proc/nosuch": stat /proc/nosuch: no such file or directory`},
	},
	{
		verb: "run", name: "a directory", edits: []edit{args("/etc")},
		code: 1, words: []string{`exec: "/etc": is a directory`},
	},
	{
		verb: "run", name: "a file without permission", edits: []edit{args("/etc/passwd")},
		code: 1, words: []string{`exec: "/etc/passwd": permission denied`},
	},
	{
		verb: "run", name: "script without its interpreter", edits: []edit{args("/run.sh")}, do: withFile("rootfs/run.sh", "#!/bin/nosuch\n", 0o755, toRun),
		code: 1, runc: 255, words: []string{`exec /run.sh: no such file or directory`},
	},
	{
		verb: "run", name: "no program format", edits: []edit{args("/run.sh")}, do: withFile("rootfs/run.sh", "garbage", 0o755, toRun),
		code: 1, runc: 255, words: []string{`exec /run.sh: exec format error`},
	},
	{
		verb: "run", name: "preserve-fds that is no number", do: alone("run", "--preserve-fds", "x", "ID"),
		code: 1, words: []string{`invalid value "x" for flag -preserve-fds: parse error`},
	},
	{
		verb: "create", name: "no such program", edits: []edit{args("nosuch")}, do: toCreate,
		code: 1, words: []string{`exec: "nosuch": executable file not found in $PATH`},
	},
	{
		verb: "run", name: "no args", edits: []edit{inProcess(func(p *specs.Process) { p.Args = nil })},
		code: 1, words: []string{`args must not be empty`},
	},
	{
		verb: "run", name: "variable without an equals sign", edits: []edit{inProcess(func(p *specs.Process) { p.Env = append(p.Env, "NAME") })},
		code: 1, words: []string{`invalid environment variable: missing '='`},
	},
	{
		verb: "run", name: "variable without a name", edits: []edit{inProcess(func(p *specs.Process) { p.Env = append(p.Env, "=value") })},
		code: 1, words: []string{`invalid environment variable: name cannot be empty`},
	},
	{
		verb: "run", name: "empty arg", edits: []edit{args("")},
		code: 1, words: []string{`exec: "": executable file not found in $PATH`},
	},
	{
		verb: "run", name: "cwd is a file", edits: []edit{inProcess(func(p *specs.Process) { p.Cwd = "/etc/passwd" })},
		code: 1, words: []string{`not a directory`},
	},
	{
		verb: "run", name: "cwd relative", edits: []edit{inProcess(func(p *specs.Process) { p.Cwd = "tmp" })},
		code: 1, words: []string{`Cwd must be an absolute path`},
	},
	{
		verb: "run", name: "cwd empty", edits: []edit{inProcess(func(p *specs.Process) { p.Cwd = "" })},
		code: 1, words: []string{`Cwd property must not be empty`},
	},
	{
		verb: "run", name: "no process", edits: []edit{func(s *specs.Spec) { s.Process = nil }},
		code: 1, words: []string{`process property must not be empty`},
	},
	{
		verb: "run", name: "no root", edits: []edit{func(s *specs.Spec) { s.Root = nil }},
		code: 1, words: []string{`root must be specified`},
	},
	{
		verb: "run", name: "rootfs missing", edits: []edit{func(s *specs.Spec) { s.Root.Path = "nosuch" }},
		code: 1, words: []string{`nosuch`, `no such file or directory`},
	},
	{
		verb: "run", name: "rootfs is a file", edits: []edit{func(s *specs.Spec) { s.Root.Path = "config.json" }},
		code: 1, words: []string{`not a directory`},
	},
	{
		verb: "run", name: "no config.json", do: func(c *container) result { os.Remove(filepath.Join(c.bundle, "config.json")); return c.run() },
		code: 1, words: []string{`JSON specification file config.json not found`},
	},
	{
		verb: "run", name: "no bundle", do: alone("run", "--bundle", "/proc/nosuch", "ID"),
		code: 1, words: []string{`/proc/nosuch`, `no such file or directory`},
	},
	{
		verb: "run", name: "not JSON", do: withFile("config.json", "{", 0o644, toRun),
		code: 1, words: []string{`unexpected EOF`},
	},
	{
		verb: "run", name: "wrong type", do: withFile("config.json", `{"ociVersion": "1.0.2", "process": {"args": "sh"}}`, 0o644, toRun),
		code: 1, words: []string{`cannot unmarshal`, `string`},
	},
	{
		verb: "run", name: "hostname without uts namespace", edits: []edit{without(specs.UTSNamespace), func(s *specs.Spec) { s.Hostname = "x" }},
		code: 1, words: []string{`unable to set hostname without a private UTS namespace`},
	},
	{
		verb: "run", name: "domainname without uts namespace", edits: []edit{without(specs.UTSNamespace), func(s *specs.Spec) { s.Hostname = ""; s.Domainname = "x" }},
		code: 1, words: []string{`unable to set domainname without a private UTS namespace`},
	},
	{
		verb: "run", name: "user namespace without maps", edits: []edit{inLinux(func(l *specs.Linux) {
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		})},
		code: 1, words: []string{`user namespaces enabled, but no uid mappings found`},
	},
	{
		verb: "run", name: "namespace twice", edits: []edit{inLinux(func(l *specs.Linux) {
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace})
		})},
		code: 1, words: []string{`malformed spec file: duplicated ns {"pid" ""}`},
	},
	{
		verb: "run", name: "namespace unknown", edits: []edit{inLinux(func(l *specs.Linux) { l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: "bogus"}) })},
		code: 1, words: []string{`"bogus"`},
	},
	{
		verb: "run", name: "namespace path missing", edits: []edit{inLinux(func(l *specs.Linux) { l.Namespaces[1].Path = "/proc/nosuch" })},
		code: 1, words: []string{`/proc/nosuch`, `no such file or directory`},
	},
	{
		verb: "run", name: "rlimit unknown", edits: []edit{inProcess(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NONSENSE"}} })},
		code: 1, words: []string{`wrong rlimit value: RLIMIT_NONSENSE`},
	},
	{
		verb: "run", name: "rlimit above the host's", edits: []edit{inProcess(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 21, Hard: 1 << 21}}
		})},
		code: 1, words: []string{`error setting rlimit type 7`, `operation not permitted`},
	},
	{
		verb: "run", name: "ambient capability not permitted", edits: []edit{inProcess(func(p *specs.Process) { p.Capabilities.Ambient = []string{"CAP_NET_ADMIN"} })},
		code: 0, words: []string{`can't raise ambient capability CAP_NET_ADMIN: `},
	},
	{
		verb: "run", name: "ambient not inheritable", edits: []edit{inProcess(func(p *specs.Process) { p.Capabilities.Ambient = []string{"CAP_KILL"} })},
		code: 0, words: []string{`can't raise ambient capability CAP_KILL: `},
	},
	{
		verb: "run", name: "oom score that may not be set", edits: []edit{inProcess(func(p *specs.Process) { p.OOMScoreAdj = ptr(-500) })},
		code: 1, words: []string{`failed to update /proc/self/oom_score_adj: Permission denied`},
	},
	{
		verb: "run", name: "AppArmor where there is none", edits: []edit{inProcess(func(p *specs.Process) { p.ApparmorProfile = "nosuch" })},
		code: 1, words: []string{`unable to apply apparmor profile: apparmor failed to apply profile`},
	},
	{
		verb: "run", name: "SELinux where there is none", edits: []edit{inProcess(func(p *specs.Process) { p.SelinuxLabel = "nosuch" })},
		code: 1, words: []string{`selinux`},
	},
	{
		verb: "run", name: "sysctl not of a namespace", edits: []edit{inLinux(func(l *specs.Linux) { l.Sysctl = map[string]string{"kernel.panic": "1"} })},
		code: 1, words: []string{`sysctl "kernel.panic" is not in a separate kernel namespace`},
	},
	{
		verb: "run", name: "sysctl of the host's network", edits: []edit{without(specs.NetworkNamespace), inLinux(func(l *specs.Linux) { l.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"} })},
		code: 1, words: []string{`sysctl "net.ipv4.ip_forward" not allowed in host network namespace`},
	},
	{
		verb: "run", name: "sysctl of the host's ipc", edits: []edit{without(specs.IPCNamespace), inLinux(func(l *specs.Linux) { l.Sysctl = map[string]string{"kernel.shmmax": "1"} })},
		code: 1, words: []string{`sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace`},
	},
	{
		verb: "run", name: "sysctl hostname", edits: []edit{inLinux(func(l *specs.Linux) { l.Sysctl = map[string]string{"kernel.hostname": "x"} })},
		code: 1, words: []string{`sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field`},
	},
	{
		verb: "run", name: "sysctl unknown", edits: []edit{inLinux(func(l *specs.Linux) { l.Sysctl = map[string]string{"net.ipv4.nosuch": "1"} })},
		code: 1, words: []string{`sysctl net.ipv4.nosuch`, `no such file or directory`},
	},
	{
		verb: "run", name: "sysctl wrong value", edits: []edit{inLinux(func(l *specs.Linux) { l.Sysctl = map[string]string{"net.ipv4.ip_forward": "x"} })},
		code: 1, words: []string{`failed to write sysctl net.ipv4.ip_forward = "x"`, `invalid argument`},
	},
	{
		verb: "run", name: "scheduler policy unknown", edits: []edit{inProcess(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: "SCHED_X"} })},
		code: 1, words: []string{`invalid scheduler policy: SCHED_X`},
	},
	{
		verb: "run", name: "scheduler nice out of range", edits: []edit{inProcess(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: 50} })},
		code: 1, words: []string{`invalid scheduler.nice: 50 when scheduler.policy is SCHED_OTHER`},
	},
	{
		verb: "run", name: "scheduler priority for other", edits: []edit{inProcess(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Priority: 5} })},
		code: 1, words: []string{`scheduler.priority can only be specified for SchedFIFO or SchedRR policy`},
	},
	{
		verb: "run", name: "scheduler runtime for other", edits: []edit{inProcess(func(p *specs.Process) { p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Runtime: 5} })},
		code: 1, words: []string{`scheduler runtime/deadline/period can only be specified for SchedDeadline policy`},
	},
	{
		verb: "run", name: "io priority class unknown", edits: []edit{inProcess(func(p *specs.Process) { p.IOPriority = &specs.LinuxIOPriority{Class: "X"} })},
		code: 1, words: []string{`invalid ioPriority.Class: "X"`},
	},
	{
		verb: "run", name: "io priority out of range", edits: []edit{inProcess(func(p *specs.Process) {
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 9}
		})},
		code: 1, words: []string{`invalid ioPriority.Priority: 9`},
	},
	{
		verb: "run", name: "memory policy mode", edits: []edit{inLinux(func(l *specs.Linux) { l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "MPOL_X"} })},
		code: 1, words: []string{`invalid memory policy mode "MPOL_X"`},
	},
	{
		verb: "run", name: "memory policy flag", edits: []edit{inLinux(func(l *specs.Linux) {
			l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{"MPOL_F_X"}}
		})},
		code: 1, words: []string{`invalid memory policy flag "MPOL_F_X"`},
	},
	{
		verb: "run", name: "memory policy node", edits: []edit{inLinux(func(l *specs.Linux) { l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "x"} })},
		code: 1, words: []string{`invalid memory policy nodes "x"`},
	},
	{
		verb: "run", name: "memory policy that takes no nodes", edits: []edit{inLinux(func(l *specs.Linux) { l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "0"} })},
		code: 1, words: []string{`memory policy mode requires 0 nodes but got 1`},
	},
	{
		verb: "run", name: "personality unknown", edits: []edit{inLinux(func(l *specs.Linux) { l.Personality = &specs.LinuxPersonality{Domain: "X"} })},
		code: 1, words: []string{`invalid personality domain X`},
	},
	{
		verb: "run", name: "intelRdt where there is none", edits: []edit{inLinux(func(l *specs.Linux) { l.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} })},
		code: 1, words: []string{`intelRdt is specified in config, but Intel RDT is not enabled`},
	},
	{
		verb: "run", name: "network device that is not there", edits: []edit{inLinux(func(l *specs.Linux) { l.NetDevices = map[string]specs.LinuxNetDevice{"nosuch0": {}} })},
		code: 1, words: []string{`link not found for interface nosuch0`},
	},
	{
		verb: "run", name: "network device in the host's network", edits: []edit{without(specs.NetworkNamespace), inLinux(func(l *specs.Linux) { l.NetDevices = map[string]specs.LinuxNetDevice{"nosuch0": {}} })},
		code: 1, words: []string{`unable to move network devices without a NET namespace`},
	},
	{
		verb: "run", name: "time offsets without a namespace", edits: []edit{inLinux(func(l *specs.Linux) { l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}} })},
		code: 1, words: []string{`time namespace offsets specified, but time namespace isn't enabled in the config`},
	},
	{
		verb: "run", name: "mount of nothing", edits: []edit{mountOf("/mnt", "bind", "/proc/nosuch", "bind")},
		code: 1, words: []string{`failed to fulfil mount request: open /proc/nosuch: `, `no such file or directory`},
	},
	{
		verb: "run", name: "directory on a file", edits: []edit{mountOf("/etc/passwd", "bind", "/tmp", "bind")},
		code: 1, words: []string{`error mounting "/tmp" to rootfs at "/etc/passwd": `, `not a directory`},
	},
	{
		verb: "run", name: "file on a directory", edits: []edit{mountOf("/mnt", "bind", "config.json", "bind")},
		code: 1, words: []string{`config.json" to rootfs at "/mnt": `, `not a directory`},
	},
	{
		verb: "run", name: "destination below a file", edits: []edit{mountOf("/etc/passwd/x", "bind", "/tmp", "bind")},
		code: 1, words: []string{`error mounting "/tmp" to rootfs at "/etc/passwd/x": `, `not a directory`},
	},
	{
		verb: "run", name: "tmpfs on a file", edits: []edit{mountOf("/etc/passwd", "tmpfs", "tmpfs")},
		code: 1, words: []string{`error mounting "tmpfs" to rootfs at "/etc/passwd": `, `not a directory`},
	},
	{
		verb: "run", name: "mount type unknown", edits: []edit{mountOf("/mnt", "nonsense", "x")},
		code: 1, words: []string{`error mounting "x" to rootfs at "/mnt": `, `no such device`},
	},
	{
		verb: "run", name: "mount option unknown", edits: []edit{mountOf("/mnt", "tmpfs", "tmpfs", "nonsense=1")},
		code: 1, words: []string{`error mounting "tmpfs" to rootfs at "/mnt": `, `nonsense=1`, `invalid argument`},
	},
	{
		verb: "run", name: "mount option unknown of a bind", edits: []edit{mountOf("/mnt", "bind", "/tmp", "bind", "nonsense=1")},
		code: 1, words: []string{`bind mounts cannot have any filesystem-specific options applied`},
	},
	{
		verb: "run", name: "bind on /proc", edits: []edit{mountOf("/proc", "bind", "/tmp", "bind")},
		code: 1, words: []string{`cannot be mounted because it is not of type proc`},
	},
	{
		verb: "run", name: "/proc is a link", edits: []edit{func(s *specs.Spec) { s.Hostname = "x" }}, do: func(c *container) result { c.link("proc"); return c.run() },
		code: 1, words: []string{`must be mounted on ordinary directory`},
	},
	{
		verb: "run", name: "/sys is a link", edits: []edit{func(s *specs.Spec) { s.Hostname = "x" }}, do: func(c *container) result { c.link("sys"); return c.run() },
		code: 1, words: []string{`must be mounted on ordinary directory`},
	},
	{
		verb: "run", name: "propagation unknown", edits: []edit{inLinux(func(l *specs.Linux) { l.RootfsPropagation = "nonsense" })},
		code: 1, words: []string{`rootfsPropagation=nonsense is not supported`},
	},
	{
		verb: "run", name: "idmap without a mapping", edits: []edit{mountOf("/mnt", "bind", "/tmp", "bind", "idmap")},
		code: 1, words: []string{`id-mapped mounts must have both uid and gid mappings specified`},
	},
	{
		verb: "run", name: "idmap with uids alone", edits: []edit{mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: "/tmp", Options: []string{"bind"}, UIDMappings: []specs.LinuxIDMapping{{Size: 1}}})},
		code: 1, words: []string{`id-mapped mounts must have both uid and gid mappings specified`},
	},
	{
		verb: "run", name: "device type unknown", edits: []edit{inLinux(func(l *specs.Linux) { l.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "z"}} })},
		code: 1, words: []string{`invalid device type "z"`},
	},
	{
		verb: "run", name: "device rule type unknown", edits: []edit{resources(func(r *specs.LinuxResources) {
			r.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Type: "z", Access: "r"}}
		})},
		code: 1, words: []string{`invalid cgroup device type "z"`},
	},
	{
		verb: "run", name: "prestart hook that fails", edits: []edit{hooks("prestart", hook("echo out; echo no address left >&2; exit 3"))},
		code: 1, words: []string{`error running prestart hook #0: exit status 3, stdout: out`, `stderr: no address left`},
	},
	{
		verb: "run", name: "createRuntime hook that fails", edits: []edit{hooks("createRuntime", hook("echo out; echo no address left >&2; exit 3"))},
		code: 1, words: []string{`error running createRuntime hook #0: exit status 3, stdout: out`, `stderr: no address left`},
	},
	{
		verb: "run", name: "createContainer hook that fails", edits: []edit{hooks("createContainer", hook("echo out; echo no address left >&2; exit 3"))},
		code: 1, words: []string{`error running createContainer hook #0: exit status 3, stdout: out`, `stderr: no address left`},
	},
	{
		verb: "run", name: "startContainer hook that fails", edits: []edit{hooks("startContainer", hook("echo out; echo no address left >&2; exit 3"))},
		code: 1, runc: 255, words: []string{`error running startContainer hook #0: exit status 3, stdout: out`, `stderr: no address left`},
	},
	{
		verb: "run", name: "poststart hook that fails", edits: []edit{hooks("poststart", hook("echo out; echo no address left >&2; exit 3"))},
		code: 1, words: []string{`error running poststart hook #0: exit status 3, stdout: out`, `stderr: no address left`},
	},
	{
		verb: "run", name: "hook that is not there", edits: []edit{hooks("createRuntime", specs.Hook{Path: "/proc/nosuch"})},
		code: 1, words: []string{`error running createRuntime hook #0: fork/exec /proc/nosuch: no such file or directory`},
	},
	{
		verb: "run", name: "hook that takes too long", edits: []edit{hooks("createRuntime", specs.Hook{Path: "/bin/sleep", Args: []string{"sleep", "10"}, Timeout: ptr(1)})},
		code: 1, words: []string{`error running createRuntime hook #0: hook ran past specified timeout of 1.0s`},
	},
	{
		verb: "run", name: "hook that is killed", edits: []edit{hooks("createRuntime", hook("kill -KILL $$"))},
		code: 1, words: []string{`error running createRuntime hook #0: signal: killed, stdout: , stderr:`},
	},
	{
		verb: "run", name: "hook that ends by SIGSYS", edits: []edit{hooks("createRuntime", hook("kill -SYS $$"))},
		code: 1, words: []string{`error running createRuntime hook #0: signal: bad system call`, `stdout: , stderr:`},
	},
	{
		verb: "run", name: "second hook fails", edits: []edit{hooks("createRuntime", hook("true"), hook("exit 1"))},
		code: 1, words: []string{`error running createRuntime hook #1: exit status 1, stdout: , stderr:`},
	},
	{
		verb: "run", name: "startContainer hook that is not there", edits: []edit{hooks("startContainer", specs.Hook{Path: "/proc/nosuch"})},
		code: 1, runc: 255, words: []string{`error running startContainer hook #0: fork/exec /proc/nosuch: no such file or directory`},
	},
	{
		verb: "start", name: "poststart hook that fails", edits: []edit{hooks("poststart", hook("exit 1"))}, do: func(c *container) result {
			c.edit(args("sleep", "1000"))
			if r := toCreate(c); r.code != 0 {
				return r
			}
			return c.verb("start", c.id)
		},
		code: 1, words: []string{`error running poststart hook #0: exit status 1, stdout: , stderr:`},
	},
	{
		verb: "run", name: "seccomp action unknown", edits: []edit{inLinux(func(l *specs.Linux) { l.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_X"} })},
		code: 1, words: []string{`string SCMP_ACT_X is not a valid action for seccomp`},
	},
	{
		verb: "run", name: "seccomp default notify", edits: []edit{inLinux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActNotify, ListenerPath: "/proc/nosuch"}
		})},
		code: 1, words: []string{`SCMP_ACT_NOTIFY cannot be used as default action`},
	},
	{
		verb: "run", name: "seccomp operator unknown", edits: []edit{seccomp(specs.LinuxSyscall{Names: []string{"getcwd"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: "X"}}})},
		code: 1, words: []string{`string X is not a valid operator for seccomp`},
	},
	{
		verb: "run", name: "seccomp architecture unknown", edits: []edit{inLinux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_X"}, Syscalls: []specs.LinuxSyscall{{Names: []string{"getcwd"}, Action: specs.ActErrno}}}
		})},
		code: 1, words: []string{`string SCMP_ARCH_X is not a valid arch for seccomp`},
	},
	{
		verb: "run", name: "seccomp flag unknown", edits: []edit{inLinux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}, Syscalls: []specs.LinuxSyscall{{Names: []string{"getcwd"}, Action: specs.ActErrno}}}
		})},
		code: 1, words: []string{`seccomp flag X is not known`},
	},
	{
		verb: "run", name: "seccomp notify without listener", edits: []edit{inLinux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"getcwd"}, Action: specs.ActNotify}}}
		})},
		code: 1, words: []string{`seccomp listenerPath is not set`},
	},
	{
		verb: "run", name: "seccomp listener is not there", edits: []edit{inLinux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/proc/nosuch", Syscalls: []specs.LinuxSyscall{{Names: []string{"getcwd"}, Action: specs.ActNotify}}}
		})},
		code: 1, words: []string{`failed to connect with seccomp agent specified in the seccomp profile: dial unix /proc/nosuch: connect: no such file or directory`},
	},
	{
		verb: "run", name: "seccomp notify on write", edits: []edit{inLinux(func(l *specs.Linux) {
			l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/proc/nosuch", Syscalls: []specs.LinuxSyscall{{Names: []string{"write"}, Action: specs.ActNotify}}}
		})},
		code: 1, words: []string{`SCMP_ACT_NOTIFY cannot be used for the write syscall`},
	},
	{
		verb: "run", name: "program killed by seccomp", edits: []edit{seccomp(specs.LinuxSyscall{Names: []string{"execve"}, Action: specs.ActErrno})},
		code: 1, runc: 255, words: []string{`exec `, `true: operation not permitted`},
	},
	{
		verb: "run", name: "memory limit larger than swap", edits: []edit{resources(func(r *specs.LinuxResources) {
			r.Memory = &specs.LinuxMemory{Limit: ptr[int64](1 << 30), Swap: ptr[int64](1 << 29)}
		})},
		code: 1, words: []string{`536870912`},
	},
	{
		verb: "run", name: "swap without memory", edits: []edit{resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Swap: ptr[int64](1 << 29)} })},
		code: 1, words: []string{`failed to write "536870912": write `, `memory.memsw.limit_in_bytes: invalid argument`},
	},
	{
		verb: "run", name: "swappiness out of range", edits: []edit{resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Swappiness: ptr[uint64](300)} })},
		code: 1, words: []string{`invalid memory swappiness value: 300 (valid range is 0-100)`},
	},
	{
		verb: "run", name: "cpuset beyond the host's", edits: []edit{resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "0-99"} })},
		code: 1, words: []string{`failed to write "0-99": write `, `cpuset.cpus: numerical result out of range`},
	},
	{
		verb: "run", name: "mems beyond the host's", edits: []edit{resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Mems: "77"} })},
		code: 1, words: []string{`failed to write "77": write `, `cpuset.mems: invalid argument`},
	},
	{
		verb: "run", name: "cpu shares too low", edits: []edit{resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Shares: ptr[uint64](1)} })},
		code: 1, words: []string{`the minimum allowed cpu-shares is 2`},
	},
	{
		verb: "run", name: "cpu quota too low", edits: []edit{resources(func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Quota: ptr[int64](1), Period: ptr[uint64](100000)}
		})},
		code: 1, words: []string{`failed to write "1": write `, `cpu.cfs_quota_us: invalid argument`},
	},
	{
		verb: "run", name: "cpu period too low", edits: []edit{resources(func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Quota: ptr[int64](100000), Period: ptr[uint64](1)}
		})},
		code: 1, words: []string{`failed to write "1": write `, `cpu.cfs_period_us: invalid argument`},
	},
	{
		verb: "run", name: "rt runtime too large", edits: []edit{resources(func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{RealtimeRuntime: ptr[int64](2000000), RealtimePeriod: ptr[uint64](1000000)}
		})},
		code: 1, words: []string{`failed to write "2000000": write `, `cpu.rt_runtime_us: invalid argument`},
	},
	{
		verb: "run", name: "hugepage size unknown", edits: []edit{resources(func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}
		})},
		code: 1, words: []string{`cannot set hugetlb limit: container could not join or create cgroup`},
	},
	{
		verb: "run", name: "unified on v1", edits: []edit{resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"memory.max": "1G"} })},
		code: 1, words: []string{`invalid configuration: cannot use unified on cgroup v1`},
	},
	{
		verb: "run", name: "unified unknown", edits: []edit{resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"nosuch.max": "1G"} })},
		code: 1, words: []string{`invalid configuration: cannot use unified on cgroup v1`},
	},
	{
		verb: "run", name: "kernel memory", edits: []edit{resources(func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Kernel: ptr[int64](1 << 20)} })},
		code: 0, words: []string{`Kernel memory settings are ignored and will be removed`},
	},
	{
		verb: "run", name: "cgroup that is in use", do: func(c *container) result {
			other := newContainer(c.t, args("sleep", "1000"), func(s *specs.Spec) { s.Linux.CgroupsPath = c.spec.Linux.CgroupsPath })
			other.cgroup, other.runtime = c.cgroup, c.runtime
			c.t.Cleanup(func() { // crun leaves the cgroup of two containers
				other.verb("delete", "--force", other.id)
				other.sweep()
			})
			other.up()
			return c.run()
		},
		code: 1, words: []string{`container's cgroup is not empty: `},
	},
	{
		verb: "run", name: "systemd cgroup path without systemd", do: func(c *container) result { c.global = []string{"--systemd-cgroup"}; return c.run() },
		code: 1, words: []string{`expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "`},
	},
	{
		verb: "exec", name: "no such program", do: running("exec", "ID", "nosuch"),
		code: 255, words: []string{`exec: "nosuch": executable file not found in $PATH`},
	},
	{
		verb: "exec", name: "a file without permission", do: running("exec", "ID", "/etc/passwd"),
		code: 255, words: []string{`exec: "/etc/passwd": permission denied`},
	},
	{
		verb: "exec", name: "a directory", do: running("exec", "ID", "/etc"),
		code: 255, words: []string{`exec: "/etc": is a directory`},
	},
	{
		verb: "exec", name: "script without its interpreter", do: withFile("rootfs/run.sh", "#!/bin/nosuch\n", 0o755, running("exec", "ID", "/run.sh")),
		code: 255, words: []string{`exec /run.sh: no such file or directory`},
	},
	{
		verb: "exec", name: "no command", do: running("exec", "ID"),
		code: 255, words: []string{`exec args cannot be empty`},
	},
	{
		verb: "exec", name: "no such container", do: alone("exec", "ID", "true"),
		code: 255, words: []string{`container does not exist`},
	},
	{
		verb: "exec", name: "stopped container", do: func(c *container) result {
			pid := c.up()
			c.must("kill", c.id, "KILL")
			c.reap(pid)
			return c.exec(nil, "true")
		},
		code: 255, words: []string{`cannot exec in a stopped container`},
	},
	{
		verb: "exec", name: "paused container", do: paused("exec", "ID", "true"),
		code: 255, words: []string{`cannot exec in a paused container`, `(use --ignore-paused to override)`},
	},
	{
		verb: "exec", name: "user name", do: running("exec", "--user", "root", "ID", "true"),
		code: 255, words: []string{`bad uid: `, `"root"`},
	},
	{
		verb: "exec", name: "group name", do: running("exec", "--user", "0:root", "ID", "true"),
		code: 255, words: []string{`bad gid: `, `root"`},
	},
	{
		verb: "exec", name: "cwd missing", do: running("exec", "--cwd", "/proc/nosuch/x", "ID", "pwd"),
		code: 255, words: []string{`chdir to cwd ("/proc/nosuch/x") set in config.json failed: `, `no such file or directory`},
	},
	{
		verb: "exec", name: "cwd relative", do: running("exec", "--cwd", "tmp", "ID", "pwd"),
		code: 255, words: []string{`Cwd must be an absolute path`},
	},
	{
		verb: "exec", name: "cgroup above", do: running("exec", "--cgroup", "../..", "ID", "true"),
		code: 255, words: []string{`bad sub cgroup path: ../..`},
	},
	{
		verb: "exec", name: "cgroup absolute above", do: running("exec", "--cgroup", "/../..", "ID", "true"),
		code: 255, words: []string{`bad sub cgroup path: /../..`},
	},
	{
		verb: "exec", name: "cgroup missing", do: running("exec", "--cgroup", "nosuch", "ID", "true"),
		code: 255, words: []string{`error adding pid `, `to cgroups: `, `/nosuch`, `no such file or directory`},
	},
	{
		verb: "exec", name: "cgroup with a controller that is none", do: running("exec", "--cgroup", "nosuch:x", "ID", "true"),
		code: 255, words: []string{`unknown controller nosuch in SubCgroupPaths`},
	},
	{
		verb: "exec", name: "process file missing", do: running("exec", "--process", "/proc/nosuch", "ID"),
		code: 255, words: []string{`open /proc/nosuch: no such file or directory`},
	},
	{
		verb: "exec", name: "process file that is none", do: withFile("p.json", "{", 0o644, running("exec", "--process", "BUNDLE/p.json", "ID")),
		code: 255, words: []string{`unexpected EOF`},
	},
	{
		verb: "exec", name: "process without args", do: withFile("p.json", `{"cwd": "/"}`, 0o644, running("exec", "--process", "BUNDLE/p.json", "ID")),
		code: 255, words: []string{`args must not be empty`},
	},
	{
		verb: "exec", name: "process without cwd", do: withFile("p.json", `{"args": ["true"]}`, 0o644, running("exec", "--process", "BUNDLE/p.json", "ID")),
		code: 255, words: []string{`Cwd property must not be empty`},
	},
	{
		verb: "exec", name: "descriptor that is not open", do: running("exec", "--preserve-fds", "7", "ID", "true"),
		code: 255, words: []string{`unable to stat preserved-fd `},
	},
	{
		verb: "exec", name: "detached terminal without a console socket", do: running("exec", "--detach", "--tty", "ID", "true"),
		code: 255, words: []string{`cannot allocate tty if `, `will detach without setting console socket`},
	},
	{
		verb: "exec", name: "console socket without a terminal", do: running("exec", "--console-socket", "/proc/nosuch", "ID", "true"),
		code: 255, words: []string{`cannot use console socket if `, `will not detach or allocate tty`},
	},
	{
		verb: "exec", name: "console socket that is not there", do: running("exec", "--tty", "--detach", "--console-socket", "/proc/nosuch", "ID", "true"),
		code: 255, words: []string{`dial unix /proc/nosuch: connect: no such file or directory`},
	},
	{
		verb: "exec", name: "variable without an equals sign", do: running("exec", "--env", "NAME", "ID", "true"),
		code: 255, words: []string{`invalid environment variable: missing '='`},
	},
	{
		verb: "exec", name: "variable without a name", do: running("exec", "--env", "=value", "ID", "true"),
		code: 255, words: []string{`invalid environment variable: name cannot be empty`},
	},
	{
		verb: "exec", name: "gid that is none", do: running("exec", "--additional-gids", "x", "ID", "true"),
		code: 1, words: []string{`invalid value "x" for flag -additional-gids: `},
	},
	{
		verb: "create", name: "id in use", do: made("create", "--bundle", "BUNDLE", "ID"),
		code: 1, words: []string{`container with given ID already exists`},
	},
	{
		verb: "create", name: "bad id", do: alone("create", "a/b"),
		code: 1, words: []string{`invalid container ID format`},
	},
	{
		verb: "create", name: "id of dots", do: alone("create", ".."),
		code: 1, words: []string{`invalid container ID format`},
	},
	{
		verb: "create", name: "no id", do: alone("create"),
		code: 1, words: []string{`"create" requires exactly 1 argument(s)`},
	},
	{
		verb: "create", name: "two ids", do: alone("create", "a", "b"),
		code: 1, words: []string{`"create" requires exactly 1 argument(s)`},
	},
	{
		verb: "create", name: "unknown flag", do: alone("create", "--nosuch", "ID"),
		code: 1, words: []string{`flag provided but not defined: -nosuch`},
	},
	{
		verb: "create", name: "flag without its value", do: alone("create", "--bundle"),
		code: 1, words: []string{`flag needs an argument: -bundle`},
	},
	{
		verb: "create", name: "pid file that cannot be", do: alone("create", "--pid-file", "/proc/nosuch/x", "ID"),
		code: 1, words: []string{`/proc/nosuch/`, `no such file or directory`},
	},
	{
		verb: "create", name: "terminal without console socket", edits: []edit{inProcess(func(p *specs.Process) { p.Terminal = true })}, do: toCreate,
		code: 1, words: []string{`cannot allocate tty if `, `will detach without setting console socket`},
	},
	{
		verb: "create", name: "console socket without terminal", do: alone("create", "--console-socket", "/proc/nosuch", "ID"),
		code: 1, words: []string{`cannot use console socket if `, `will not detach or allocate tty`},
	},
	{
		verb: "create", name: "console socket that is not there", edits: []edit{inProcess(func(p *specs.Process) { p.Terminal = true })}, do: alone("create", "--console-socket", "/proc/nosuch", "ID"),
		code: 1, words: []string{`dial unix /proc/nosuch: connect: no such file or directory`},
	},
	{
		verb: "create", name: "console socket that is no socket", edits: []edit{inProcess(func(p *specs.Process) { p.Terminal = true })}, do: alone("create", "--console-socket", "BUNDLE/config.json", "ID"),
		code: 1, words: []string{`dial unix `, `config.json: connect: connection refused`},
	},
	{
		verb: "create", name: "pidfd socket that is not there", do: alone("create", "--pidfd-socket", "/proc/nosuch", "ID"),
		code: 1, words: []string{`dial unix /proc/nosuch: connect: no such file or directory`},
	},
	{
		verb: "run", name: "detached terminal without console socket", edits: []edit{inProcess(func(p *specs.Process) { p.Terminal = true })}, do: alone("run", "--detach", "ID"),
		code: 1, words: []string{`cannot allocate tty if `, `will detach without setting console socket`},
	},
	{
		verb: "run", name: "descriptor that is not open", do: alone("run", "--preserve-fds", "7", "ID"),
		code: 1, words: []string{`unable to stat preserved-fd `},
	},
	{
		verb: "start", name: "no such container", do: alone("start", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "start", name: "no id", do: alone("start"),
		code: 1, words: []string{`"start" requires `, ` 1 argument(s)`},
	},
	{
		verb: "state", name: "no such container", do: alone("state", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "state", name: "no id", do: alone("state"),
		code: 1, words: []string{`"state" requires `, ` 1 argument(s)`},
	},
	{
		verb: "pause", name: "no such container", do: alone("pause", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "pause", name: "no id", do: alone("pause"),
		code: 1, words: []string{`"pause" requires `, ` 1 argument(s)`},
	},
	{
		verb: "resume", name: "no such container", do: alone("resume", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "resume", name: "no id", do: alone("resume"),
		code: 1, words: []string{`"resume" requires `, ` 1 argument(s)`},
	},
	{
		verb: "delete", name: "no such container", do: alone("delete", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "delete", name: "no id", do: alone("delete"),
		code: 1, words: []string{`"delete" requires `, ` 1 argument(s)`},
	},
	{
		verb: "ps", name: "no such container", do: alone("ps", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "ps", name: "no id", do: alone("ps"),
		code: 1, words: []string{`"ps" requires `, ` 1 argument(s)`},
	},
	{
		verb: "update", name: "no such container", do: alone("update", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "update", name: "no id", do: alone("update"),
		code: 1, words: []string{`"update" requires `, ` 1 argument(s)`},
	},
	{
		verb: "events", name: "no such container", do: alone("events", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "events", name: "no id", do: alone("events"),
		code: 1, words: []string{`"events" requires `, ` 1 argument(s)`},
	},
	{
		verb: "kill", name: "no such container", do: alone("kill", "ID"),
		code: 1, words: []string{`container does not exist`},
	},
	{
		verb: "start", name: "running container", do: running("start", "ID"),
		code: 1, words: []string{`cannot start an already running container`},
	},
	{
		verb: "start", name: "paused container", do: paused("start", "ID"),
		code: 1, words: []string{`cannot start a container in the paused state`},
	},
	{
		verb: "start", name: "stopped container", do: func(c *container) result {
			pid := c.up()
			c.must("kill", c.id, "KILL")
			c.reap(pid)
			return c.verb("start", c.id)
		},
		code: 1, words: []string{`cannot start a container that has stopped`},
	},
	{
		verb: "delete", name: "running container", do: running("delete", "ID"),
		code: 1, words: []string{`cannot delete container ID that is not stopped: running`},
	},
	{
		verb: "delete", name: "paused container", do: paused("delete", "ID"),
		code: 1, words: []string{`cannot delete container ID that is not stopped: paused`},
	},
	{
		verb: "kill", name: "unknown signal", do: running("kill", "ID", "SIGFOO"),
		code: 1, words: []string{`unknown signal "SIGFOO"`},
	},
	{
		verb: "kill", name: "stopped container", do: func(c *container) result {
			pid := c.up()
			c.must("kill", c.id, "KILL")
			c.reap(pid)
			return c.verb("kill", c.id)
		},
		code: 1, words: []string{`container not running`},
	},
	{
		verb: "pause", name: "paused container", do: paused("pause", "ID"),
		code: 1, words: []string{`container not running`},
	},
	{
		verb: "pause", name: "stopped container", do: func(c *container) result {
			pid := c.up()
			c.must("kill", c.id, "KILL")
			c.reap(pid)
			return c.verb("pause", c.id)
		},
		code: 1, words: []string{`container not running`},
	},
	{
		verb: "resume", name: "running container", do: running("resume", "ID"),
		code: 1, words: []string{`container not paused`},
	},
	{
		verb: "resume", name: "created container", do: made("resume", "ID"),
		code: 1, words: []string{`container not paused`},
	},
	{
		verb: "ps", name: "format unknown", do: running("ps", "--format", "yaml", "ID"),
		code: 1, words: []string{`invalid format option`},
	},
	{
		verb: "ps", name: "arguments without a column of pids", do: running("ps", "ID", "-o", "comm"),
		code: 1, words: []string{`couldn't find PID field in ps output`},
	},
	{
		verb: "ps", name: "arguments that ps does not know", do: running("ps", "ID", "--nosuch"),
		code: 1, words: []string{`exit status 1: error: unknown gnu long option`},
	},
	{
		verb: "events", name: "stopped container", do: func(c *container) result {
			pid := c.up()
			c.must("kill", c.id, "KILL")
			c.reap(pid)
			return c.verb("events", "--stats", c.id)
		},
		code: 1, words: []string{`not running`},
	},
	{
		verb: "list", name: "systemd-cgroup that is neither true nor false", do: alone("--systemd-cgroup=maybe", "list"),
		code: 1, words: []string{`invalid boolean value "maybe" for -systemd-cgroup: parse error`},
	},
	{
		verb: "events", name: "interval that is none", do: running("events", "--interval", "5", "ID"),
		code: 1, words: []string{`invalid value "5" for flag -interval: parse error`},
	},
	{
		verb: "events", name: "interval of 0", do: running("events", "--interval", "0s", "ID"),
		code: 1, words: []string{`duration interval must be greater than 0`},
	},
	{
		verb: "update", name: "stopped container", do: func(c *container) result {
			pid := c.up()
			c.must("kill", c.id, "KILL")
			c.reap(pid)
			return c.verb("update", "--pids-limit", "5", c.id)
		},
		code: 1, words: []string{`container not running`},
	},
	{
		verb: "update", name: "memory that is none", do: running("update", "--memory", "lots", "ID"),
		code: 1, words: []string{`invalid value for memory: invalid size: 'lots'`},
	},
	{
		verb: "update", name: "cpu share that is none", do: running("update", "--cpu-share", "1g", "ID"),
		code: 1, words: []string{`invalid value for cpu-share: strconv.ParseUint: parsing "1g": invalid syntax`},
	},
	{
		verb: "update", name: "file missing", do: running("update", "--resources", "/proc/nosuch", "ID"),
		code: 1, words: []string{`open /proc/nosuch: no such file or directory`},
	},
	{
		verb: "update", name: "file that is none", do: withFile("r.json", "{", 0o644, running("update", "--resources", "BUNDLE/r.json", "ID")),
		code: 1, words: []string{`unexpected EOF`},
	},
	{
		verb: "update", name: "cpuset beyond the host's", do: running("update", "--cpuset-cpus", "99", "ID"),
		code: 1, words: []string{`failed to write "99": write `, `cpuset.cpus: numerical result out of range`},
	},
	{
		verb: "update", name: "quota that is none", do: running("update", "--cpu-quota", "1", "ID"),
		code: 1, words: []string{`failed to write "1": write `, `cpu.cfs_quota_us: invalid argument`},
	},
	{
		verb: "update", name: "l3 cache without intelRdt", do: running("update", "--l3-cache-schema", "L3:0=f", "ID"),
		code: 1, words: []string{`Intel RDT/CAT: l3 cache schema is not enabled`},
	},
	{
		verb: "list", name: "root that is not there", do: func(c *container) result { c.root = "/proc/nosuch"; return c.verb("list") },
		code: 1, words: []string{`open /proc/nosuch: no such file or directory`},
	},
	{
		verb: "list", name: "extra argument", do: alone("list", "x"),
		code: 1, words: []string{`"list" requires exactly 0 argument(s)`},
	},
	{
		verb: "spec", name: "file in the way", do: alone("spec", "--bundle", "BUNDLE"),
		code: 1, words: []string{`File config.json exists. Remove it first`},
	},
	{
		verb: "spec", name: "no such directory", do: alone("spec", "--bundle", "/proc/nosuch"),
		code: 1, words: []string{`/proc/nosuch`, `no such file or directory`},
	},
	{
		verb: "features", name: "extra argument", do: alone("features", "x"),
		code: 1, words: []string{`"features" requires exactly 0 argument(s)`},
	},
	{
		verb: "", name: "unknown command", do: alone("nosuch"),
		code: 3, words: []string{`No help topic for 'nosuch'`},
	},
	{
		verb: "", name: "unknown global flag", do: func(c *container) result { c.global = []string{"--nosuch"}; return c.verb("list") },
		code: 1, words: []string{`flag provided but not defined: -nosuch`},
	},
	{
		verb: "", name: "global flag without value", do: func(c *container) result { c.ownRoot = true; return c.verb("--root") },
		code: 1, words: []string{`flag needs an argument: -root`},
	},
	{
		verb: "", name: "log format unknown", do: func(c *container) result { c.global = []string{"--log-format", "yaml"}; return c.verb("list") },
		code: 1, words: []string{`invalid log-format: yaml`},
	},
	{
		verb: "", name: "root is /", do: func(c *container) result { c.root = "/"; return c.verb("list") },
		code: 1, words: []string{`Option --root argument should not be set to /`},
	},
	{
		verb: "exec", name: "joined flags", do: running("exec", "-dt", "ID", "true"),
		code: 1, words: []string{`flag provided but not defined: -dt`},
	},
	{
		verb: "exec", name: "joined flag and value", do: running("exec", "-u0", "ID", "true"),
		code: 1, words: []string{`flag provided but not defined: -u0`},
	},
}

// happens creates the situation with a runtime and returns the result.
func (s situation) happens(t *testing.T, runtime string) result {
	c := newContainer(t, s.edits...)
	c.runtime = runtime
	do := s.do
	if do == nil {
		do = toRun
	}
	r := do(c)
	r.err = strings.ReplaceAll(r.err, c.id, "ID")
	r.err = strings.ReplaceAll(r.err, runtime+": ", filepath.Base(runtime)+": ") // getopt_long(3) prints the program's path
	if runtime != env.runtime || env.kind != "onggi" {
		c.sweep()
	}
	return r
}

func (s situation) title() string { return strings.TrimSpace(s.verb + " " + s.name) }

// onV1 skips the test on cgroup v2, where messages name other files.
func onV1(t *testing.T) {
	if env.layout == "v2" {
		t.Skip("the words name files of cgroup v1")
	}
}

// TestWords compares the messages and exit statuses of onggi and runc with the table. crun has other messages, so only its
// exit status is compared with the page.
func TestWords(t *testing.T) {
	onV1(t)
	page := wordsPage(t)
	for _, s := range situations {
		t.Run(s.title(), func(t *testing.T) {
			if pure := strings.HasPrefix(s.name, "unified") || strings.HasPrefix(s.name, "hugepage"); pure && env.layout != "v1" {
				t.Skip("it takes a host with cgroup v1 alone")
			}
			r := s.happens(t, env.runtime)
			code := s.code
			switch env.kind {
			case "runc":
				code = cmp.Or(s.runc, s.code)
			case "crun":
				code = atoi(t, strings.Trim(strings.Fields(page[s.title()][2])[0], ":"))
			}
			if r.code != code {
				t.Errorf("exit status %d; want %d\n%v", r.code, code, r)
			}
			line := spoken(r.err)
			for _, words := range s.words {
				if env.kind != "crun" && !strings.Contains(line, words) {
					t.Errorf("%q is not in the line\n%s", words, line)
				}
			}
		})
	}
}

// TestWordsPage compares the page with the situations: each has a row, and the cells of onggi and runc have the words. With
// -update it creates each situation with all three runtimes and writes the rows.
func TestWordsPage(t *testing.T) {
	peersLack(t, "the page")
	if *update {
		onV1(t)
		writeWordsPage(t, env.runtime, peer(t, "RUNC", "runc"), peer(t, "CRUN", "crun"))
	}
	page := wordsPage(t)
	for _, s := range situations {
		cells, ok := page[s.title()]
		if !ok {
			t.Errorf("docs/errors.md has no row %q", s.title())
			continue
		}
		for _, words := range s.words {
			for i, name := range []string{"onggi", "runc"} {
				if !strings.Contains(cells[i], inTable(words)) {
					t.Errorf("%s: the cell of %s has no %q: %s", s.title(), name, words, cells[i])
				}
			}
		}
	}
	if len(page) != len(situations) {
		t.Errorf("docs/errors.md has %d rows; want %d", len(page), len(situations))
	}
}

const wordsBegin, wordsEnd = "<!-- words: made by go test ./tests -run TestWordsPage -update -->\n", "<!-- end of words -->\n"

// wordsPage returns the rows of the page: the cells of onggi, runc and crun.
func wordsPage(t *testing.T) map[string][3]string {
	t.Helper()
	data, err := os.ReadFile("../docs/errors.md")
	if os.IsNotExist(err) {
		t.Skip("the sources are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), wordsBegin)
	table, _, _ := strings.Cut(rest, wordsEnd)
	rows := map[string][3]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) == 4 && cells[0] != "situation" {
			rows[cells[0]] = [3]string(cells[1:])
		}
	}
	return rows
}

func writeWordsPage(t *testing.T, runtimes ...string) {
	var b strings.Builder
	b.WriteString("\n| situation | onggi | runc 1.5.1 | crun 1.28 |\n|---|---|---|---|\n")
	for _, s := range situations {
		b.WriteString("| " + s.title())
		for _, runtime := range runtimes {
			r := s.happens(t, runtime)
			fmt.Fprintf(&b, " | %d: %s", r.code, inTable(spoken(r.err)))
		}
		b.WriteString(" |\n")
	}
	const path = "../docs/errors.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), wordsBegin)
	_, after, ended := strings.Cut(rest, wordsEnd)
	if !ok || !ended {
		t.Fatalf("%s has no place for the table", path)
	}
	if err := os.WriteFile(path, []byte(before+wordsBegin+b.String()+"\n"+wordsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inTable escapes text for a cell of a Markdown table.
func inTable(s string) string {
	return strings.NewReplacer("|", "¦", "<", "&lt;", ">", "&gt;", "*", "\\*", "_", "\\_").Replace(s)
}

var (
	message = regexp.MustCompile(`(?m)^time=\S+ level=\w+ msg=("(?:[^"\\]|\\.)*"|\S+)`)
	passing = regexp.MustCompile(`DIR/ID/bundle|DIR/ID|DIR/t\d+-\d+|0x[0-9a-f]{6,}|\d+(\.\d+)?(ms|µs)\b|\b\d{4,}\b|fd/\d+`)
)

// spoken returns the messages of a runtime on one line, without the parts that change in each run.
func spoken(text string) string {
	var all []string
	for _, m := range message.FindAllStringSubmatch(text, -1) {
		msg, err := strconv.Unquote(m[1])
		if err != nil {
			msg = m[1]
		}
		all = append(all, msg)
	}
	if len(all) == 0 {
		all = []string{text}
	}
	line := strings.Join(strings.Fields(strings.Join(all, "; ")), " ")
	line = strings.NewReplacer(env.dir, "DIR").Replace(line)
	return passing.ReplaceAllStringFunc(line, func(s string) string {
		switch {
		case strings.HasSuffix(s, "/bundle"):
			return "BUNDLE"
		case strings.HasPrefix(s, "DIR/"):
			return "DIR"
		case strings.HasPrefix(s, "fd/"):
			return "fd/N"
		case strings.ContainsAny(s, "mµ"):
			return "T"
		case len(s) > 6 || strings.HasPrefix(s, "0x"):
			return s
		}
		return "N"
	})
}

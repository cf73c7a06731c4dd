package plan

import (
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// process adds the last steps, which create and exec share. They lead from the
// privileges of the set-up to those of the program.
func (b *builder) process(ns *namespaces) {
	p := b.Spec.Process
	if p == nil {
		p = nobody()
	}
	caps := b.capabilities(p)

	b.umask(p)                                                    //
	b.home(p)                                                     // as root, which can read any passwd file
	b.labels(p, "apparmor")                                       // before no_new_privs, which may forbid the transition
	b.add("/process/cwd", Cwd{Path: p.Cwd, Create: b.creating()}) // as root, which may enter more directories than the user; FindProgram checks the result
	if p.NoNewPrivileges {
		b.add("/process/noNewPrivileges", NoNewPrivs{}) // with it, loading a filter requires no privilege
	}
	b.scheduling(p, ns.join&unix.CLONE_NEWPID != 0) // raising a priority requires capabilities
	b.labels(p, "selinux")                          // late: the label applies to the next execve
	if caps != nil && caps.drops {
		b.add(caps.field, BoundingSet{Keep: caps.bounding}) // requires CAP_SETPCAP
	}
	b.identity(p, caps) // groups, then gid, then uid: the uid drops the privilege for the others
	if caps != nil {
		b.add(caps.field, caps.step(b.needsAdmin(p))) // after setresuid, which clears the effective set
	}
	b.program(p)                                                    // with the final credentials
	b.add("", CloseFiles{First: 3 + b.Preserve, LetIn: b.letsIn()}) // before the filter, which may forbid it (CVE-2024-21626)
	b.rlimits(p)                                                    // by the runtime side: raising a limit requires host privilege; late: a limit on files must not affect the set-up
	early := b.linux.Seccomp != nil && (!p.NoNewPrivileges || b.linux.Seccomp.ListenerPath != "")
	if early {
		b.seccomp(p, caps) // requires CAP_SYS_ADMIN, dropped with the same step; or create hands over the listener
	}
	if ns.join&unix.CLONE_NEWPID != 0 {
		b.add("", CloneInto{}) // after all drops: from here on, the container can see the process
	}
	if b.creating() || b.guided {
		b.add("", Gate{})
	}
	if b.linux.Seccomp != nil && !early {
		b.seccomp(p, caps) // last: the profile then only has to allow execve, write and exit_group
	}
	b.add("/process/args", Execute{Args: p.Args, Env: p.Env})
}

// letsIn reports whether an unprivileged runtime has to take a seccomp listener out of
// the stub of exec or of a hook. pidfd_getfd(2) then requires a dumpable process. By that
// time the stub has dropped its privileges, and it is in no pid namespace of the
// container.
func (b *builder) letsIn() bool {
	return b.further && b.Host.Rootless && b.linux.Seccomp != nil && b.linux.Seccomp.ListenerPath != ""
}

// nobody returns the process that waits at the gate of a container without a
// process. It keeps the namespaces alive and cannot be started (runtime.md,
// "Start").
func nobody() *specs.Process {
	return &specs.Process{Cwd: "/", NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{}, Env: []string{"HOME=/"}}
}

func (b *builder) program(p *specs.Process) {
	if len(p.Args) > 0 {
		b.add("/process/args/0", Program(p))
	}
}

// needsAdmin reports whether loading the filter requires CAP_SYS_ADMIN. It does
// without no_new_privs (seccomp(2)).
func (b *builder) needsAdmin(p *specs.Process) bool {
	return b.linux.Seccomp != nil && !p.NoNewPrivileges
}

// creating is true for create and false for exec.
func (b *builder) creating() bool { return !b.further }

func (b *builder) umask(p *specs.Process) {
	if p.User.Umask != nil {
		b.add("/process/user/umask", Umask{Mask: *p.User.Umask})
		return
	}
	b.add("", Umask{Mask: 0o022}) // config.md gives no default; runc and crun use this one
}

func (b *builder) labels(p *specs.Process, lsm string) {
	switch {
	case lsm == "apparmor" && p.ApparmorProfile != "":
		b.add("/process/apparmorProfile", SecurityLabel{LSM: lsm, Label: p.ApparmorProfile})
	case lsm == "selinux" && p.SelinuxLabel != "":
		b.add("/process/selinuxLabel", SecurityLabel{LSM: lsm, Label: p.SelinuxLabel})
	}
}

func losesByForking(s *specs.Scheduler) bool {
	return s.Policy == specs.SchedDeadline || slices.Contains(s.Flags, specs.SchedFlagResetOnFork)
}

func (b *builder) scheduling(p *specs.Process, clones bool) {
	if p.Scheduler != nil {
		b.add("/process/scheduler", Scheduling{Scheduler: p.Scheduler, OfClone: clones && losesByForking(p.Scheduler)})
	}
	if p.IOPriority != nil {
		b.add("/process/ioPriority", Scheduling{IOPriority: p.IOPriority})
	}
	if b.linux.MemoryPolicy != nil {
		b.add("/linux/memoryPolicy", Scheduling{MemoryPolicy: b.linux.MemoryPolicy})
	}
	if b.linux.Personality != nil {
		domain, _ := specconv.PersonalityDomain(b.linux.Personality.Domain)
		b.add("/linux/personality", Personality{Domain: uint64(domain)})
	}
	if a := p.ExecCPUAffinity; a != nil && b.further && a.Final != "" {
		b.add("/process/execCPUAffinity/final", Affinity{CPUs: a.Final})
	}
}

func (b *builder) rlimits(p *specs.Process) {
	if len(p.Rlimits) == 0 {
		return
	}
	var limits []Rlimit
	for _, r := range p.Rlimits {
		n, _ := specconv.RlimitResource(r.Type)
		limits = append(limits, Rlimit{Name: r.Type, Resource: n, Soft: r.Soft, Hard: r.Hard})
	}
	b.add("/process/rlimits", Rlimits{Limits: limits})
}

func (b *builder) seccomp(p *specs.Process, caps *capSets) {
	s := Seccomp{Listener: b.linux.Seccomp.ListenerPath != ""}
	if caps != nil && b.needsAdmin(p) {
		final := caps.step(false)
		s.Then = &final
	}
	b.add("/linux/seccomp", s)
}

// capSets are the five sets, reduced to the capabilities that can be granted.
type capSets struct {
	field                                                string
	drops                                                bool // the bounding set is reduced
	bounding, effective, permitted, inheritable, ambient uint64
}

// capabilities computes the sets. It leaves out the capabilities that cannot be
// granted; Ungranted names them for a warning (config.md, "capabilities").
// Without the object, a root program keeps the runtime's capabilities, as with
// runc.
func (b *builder) capabilities(p *specs.Process) *capSets {
	c := p.Capabilities
	switch {
	case c == nil && p.User.UID == 0:
		return nil
	case c == nil:
		return &capSets{} // setresuid leaves no capabilities
	}
	have := b.Host.Capabilities
	set := func(names []string) uint64 {
		m, _ := specconv.CapabilityMask(names)
		return m & have
	}
	s := &capSets{field: "/process/capabilities", drops: true, bounding: set(c.Bounding), effective: set(c.Effective), permitted: set(c.Permitted), inheritable: set(c.Inheritable), ambient: set(c.Ambient)}
	s.effective &= s.permitted               // capset(2) refuses more
	s.ambient &= s.permitted & s.inheritable // capabilities(7)
	return s
}

func (s *capSets) step(admin bool) Capabilities {
	c := Capabilities{Effective: s.effective, Permitted: s.permitted, Inheritable: s.inheritable, Ambient: s.ambient}
	if admin {
		c.Effective |= 1 << unix.CAP_SYS_ADMIN
		c.Permitted |= 1 << unix.CAP_SYS_ADMIN
	}
	return c
}

// Ungranted returns the requested capabilities that cannot be granted.
func Ungranted(p *specs.Process, have uint64) []string {
	if p == nil || p.Capabilities == nil {
		return nil
	}
	c := p.Capabilities
	var out []string
	for _, list := range [][]string{c.Bounding, c.Effective, c.Permitted, c.Inheritable, c.Ambient} {
		for _, name := range list {
			bit, ok := specconv.CapabilityBit(name)
			if (!ok || have&(1<<bit) == 0) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

func (b *builder) identity(p *specs.Process, caps *capSets) {
	b.add("/process/user", Identity{
		UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids,
		SetGroups:  !b.Host.KeepGroups && !specconv.On(b.Spec, specconv.KeepOriginalGroups),
		ChownStdio: !p.Terminal,
		KeepCaps:   caps != nil,
	})
}

func (b *builder) home(p *specs.Process) {
	if lookupEnv(p.Env, "HOME") == "" {
		b.add("/process/user/uid", Home{UID: p.User.UID})
	}
}

// Program returns the step that looks up the program of p.
func Program(p *specs.Process) FindProgram {
	return FindProgram{Name: p.Args[0], Path: lookupEnv(p.Env, "PATH")}
}

// lookupEnv returns the last value of a variable: of duplicates the last one
// counts.
func lookupEnv(env []string, key string) string {
	v := ""
	for _, kv := range env {
		if k, val, ok := strings.Cut(kv, "="); ok && k == key {
			v = val
		}
	}
	return v
}

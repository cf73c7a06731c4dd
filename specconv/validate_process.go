package specconv

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// process checks config.md, "Process".
func (c *checker) process(p *specs.Process, tokens ...any) {
	property := func(more ...any) string { return at(slices.Concat(tokens, more)...) }
	if len(p.Args) == 0 {
		c.add(property("args"), "args must not be empty")
	}
	if i := slices.IndexFunc(p.Args, hasNUL); i >= 0 {
		c.add(property("args", i), "has a NUL character")
	}
	c.cwd(p.Cwd, slices.Concat(tokens, []any{"cwd"}))
	for i, e := range p.Env {
		if problem := envProblem(e); problem != "" {
			c.add(property("env", i), "%s", problem)
		}
	}
	if p.OOMScoreAdj != nil && (*p.OOMScoreAdj < -1000 || *p.OOMScoreAdj > 1000) {
		c.add(property("oomScoreAdj"), "%d is not from -1000 to 1000", *p.OOMScoreAdj)
	}
	if s := p.ConsoleSize; s != nil && p.Terminal && (s.Height > 65535 || s.Width > 65535) {
		c.add(property("consoleSize"), "%d by %d is more than a terminal can have", s.Height, s.Width)
	}
	c.user(&p.User, property)
	c.rlimits(p.Rlimits, property)
	if p.Scheduler != nil {
		c.scheduler(p.Scheduler, property)
	}
	if p.IOPriority != nil {
		c.ioPriority(p.IOPriority, property)
	}
	if a := p.ExecCPUAffinity; a != nil {
		c.list(a.Initial, property("execCPUAffinity", "initial"))
		c.list(a.Final, property("execCPUAffinity", "final"))
	}
}

// cwd requires an absolute path. The words of its errors are runc's.
func (c *checker) cwd(dir string, tokens []any) {
	switch {
	case dir == "":
		c.add(at(tokens...), "Cwd property must not be empty")
	case !path.IsAbs(dir):
		c.add(at(tokens...), "Cwd must be an absolute path: %q is not", dir)
	default:
		c.absolute(dir, tokens)
	}
}

// pointer returns the JSON pointer of a property of the process.
type pointer func(more ...any) string

// envProblem returns the problem of an entry of the environment, or "".
func envProblem(e string) string {
	name, _, ok := strings.Cut(e, "=")
	switch {
	case !ok:
		return "invalid environment variable: missing '='"
	case name == "":
		return "invalid environment variable: name cannot be empty"
	case hasNUL(e):
		return "has a NUL character"
	}
	return ""
}

// user checks that the ids are valid. If the container has a new user namespace,
// they must be mapped in it.
func (c *checker) user(u *specs.User, property pointer) {
	var uids, gids []specs.LinuxIDMapping
	if ns := Namespace(c.spec, specs.UserNamespace); ns != nil && ns.Path == "" {
		uids, gids = c.spec.Linux.UIDMappings, c.spec.Linux.GIDMappings
	}
	c.userID(u.UID, uids, property("user", "uid"), "uidMappings")
	c.userID(u.GID, gids, property("user", "gid"), "gidMappings")
	for i, gid := range u.AdditionalGids {
		c.userID(gid, gids, property("user", "additionalGids", i), "gidMappings")
	}
	if u.Umask != nil && *u.Umask > 0o777 {
		c.add(property("user", "umask"), "%d (0%o) is more than 0777", *u.Umask, *u.Umask)
	}
}

func (c *checker) userID(id uint32, mappings []specs.LinuxIDMapping, pointer, source string) {
	mapped := func(m specs.LinuxIDMapping) bool {
		return id >= m.ContainerID && id-m.ContainerID < m.Size
	}
	switch {
	case id == noID:
		c.add(pointer, "%d is not a valid id", id)
	case len(mappings) > 0 && !slices.ContainsFunc(mappings, mapped):
		c.add(pointer, "%d is not mapped by /linux/%s", id, source)
	}
}

func (c *checker) rlimits(limits []specs.POSIXRlimit, property pointer) {
	for i, l := range limits {
		same := func(other specs.POSIXRlimit) bool { return other.Type == l.Type }
		switch _, known := RlimitResource(l.Type); {
		case !known:
			c.add(property("rlimits", i, "type"), "wrong rlimit value: %s", l.Type)
		case slices.ContainsFunc(limits[:i], same):
			c.add(property("rlimits", i, "type"), "%s is given twice", l.Type)
		}
		if l.Soft > l.Hard {
			c.add(property("rlimits", i, "soft"), "%d is more than the hard limit of %d", l.Soft, l.Hard)
		}
	}
}

// scheduler follows sched_setattr(2).
func (c *checker) scheduler(s *specs.Scheduler, property pointer) {
	if _, ok := SchedPolicy(s.Policy); !ok {
		c.add(property("scheduler", "policy"), "invalid scheduler policy: %s", s.Policy)
		return
	}
	for i, f := range s.Flags {
		if _, ok := SchedFlag(f); !ok {
			c.add(property("scheduler", "flags", i), "unknown flag %q", f)
		}
	}
	switch s.Policy {
	case specs.SchedOther, specs.SchedBatch:
		if s.Nice < -20 || s.Nice > 19 {
			c.add(property("scheduler", "nice"), "invalid scheduler.nice: %d when scheduler.policy is %s: it is from -20 to 19", s.Nice, s.Policy)
		}
	}
	switch realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR; {
	case realtime && (s.Priority < 1 || s.Priority > 99):
		c.add(property("scheduler", "priority"), "%d is not from 1 to 99, as %s needs", s.Priority, s.Policy)
	case !realtime && s.Priority != 0:
		c.add(property("scheduler", "priority"), "scheduler.priority can only be specified for SchedFIFO or SchedRR policy")
	}
	switch deadline := s.Policy == specs.SchedDeadline; {
	case !deadline && (s.Runtime != 0 || s.Deadline != 0 || s.Period != 0):
		c.add(property("scheduler"), "scheduler runtime/deadline/period can only be specified for SchedDeadline policy")
	case deadline && (s.Runtime > s.Deadline || s.Period != 0 && s.Deadline > s.Period):
		c.add(property("scheduler"), "runtime <= deadline <= period does not hold")
	}
}

func (c *checker) ioPriority(p *specs.LinuxIOPriority, property pointer) {
	if _, ok := IOPriorityClass(p.Class); !ok {
		c.add(property("ioPriority", "class"), "invalid ioPriority.Class: %q", p.Class)
	}
	if p.Priority < 0 || p.Priority > 7 {
		c.add(property("ioPriority", "priority"), "invalid ioPriority.Priority: %d: it is from 0 to 7", p.Priority)
	}
}

// list checks an optional list of CPUs or memory nodes.
func (c *checker) list(list, pointer string) {
	if list == "" {
		return
	}
	if _, err := ParseList(list); err != nil {
		c.add(pointer, "%v", err)
	}
}

// capabilityWarnings warns about unknown names and about sets that the kernel
// cannot create. Effective and ambient capabilities must be permitted. Ambient
// ones must also be inheritable (capabilities(7)).
func (c *checker) capabilityWarnings(caps *specs.LinuxCapabilities, tokens ...any) {
	mask := map[string]uint64{}
	for _, set := range [...]struct {
		name string
		caps []string
	}{
		{"bounding", caps.Bounding},
		{"permitted", caps.Permitted},
		{"inheritable", caps.Inheritable},
		{"effective", caps.Effective},
		{"ambient", caps.Ambient},
	} {
		bits, unknown := CapabilityMask(set.caps)
		mask[set.name] = bits
		if len(unknown) > 0 {
			c.add(at(append(tokens, set.name)...), "ignoring unknown or unavailable capabilities: [%s]", strings.Join(unknown, " "))
		}
	}
	if extra := mask["effective"] &^ mask["permitted"]; extra != 0 {
		c.add(at(append(tokens, "effective")...), "%s cannot be effective: not permitted", strings.Join(capabilityNames(extra), ", "))
	}
	if extra := mask["ambient"] &^ (mask["permitted"] & mask["inheritable"]); extra != 0 {
		for _, name := range capabilityNames(extra) {
			c.add(at(append(tokens, "ambient")...), "can't raise ambient capability %s: not both permitted and inheritable", name)
		}
	}
}

func capabilityNames(mask uint64) (names []string) {
	for bit, name := range capabilities {
		if mask&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return names
}

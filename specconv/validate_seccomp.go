package specconv

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The words of config-linux.md, "Seccomp". The compiler decides whether the
// host's libseccomp and kernel support them. Unknown names of system calls are
// valid, because a profile is written for many kernels.
var (
	seccompActions = []specs.LinuxSeccompAction{
		specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno,
		specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify,
	}
	seccompArchs = []specs.Arch{
		specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64,
		specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32,
		specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
		specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X,
		specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64,
		specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
	}
	seccompFlags = []specs.LinuxSeccompFlag{
		"SECCOMP_FILTER_FLAG_TSYNC", // in the specification, not in its Go package
		specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv,
	}
	seccompOps = []specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
	}
)

func (c *checker) seccomp(s *specs.LinuxSeccomp) {
	c.action(s.DefaultAction, s.DefaultErrnoRet, "defaultAction", "defaultErrnoRet", "linux", "seccomp")
	if s.DefaultAction == specs.ActNotify {
		c.add(at("linux", "seccomp", "defaultAction"), "SCMP_ACT_NOTIFY cannot be used as default action")
	}
	for i, a := range s.Architectures {
		if !slices.Contains(seccompArchs, a) {
			c.add(at("linux", "seccomp", "architectures", i), "string %s is not a valid arch for seccomp", a)
		}
	}
	for i, f := range s.Flags {
		if !slices.Contains(seccompFlags, f) {
			c.add(at("linux", "seccomp", "flags", i), "seccomp flag %s is not known", f)
		}
	}
	notify := false
	for i := range s.Syscalls {
		c.syscalls(&s.Syscalls[i], i)
		notify = notify || s.Syscalls[i].Action == specs.ActNotify
	}
	c.listener(s, notify)
}

func (c *checker) listener(s *specs.LinuxSeccomp, notify bool) {
	switch {
	case notify && s.ListenerPath == "":
		c.add(at("linux", "seccomp", "listenerPath"), "seccomp listenerPath is not set: SCMP_ACT_NOTIFY needs it")
	case notify && hasNUL(s.ListenerPath):
		c.add(at("linux", "seccomp", "listenerPath"), "has a NUL character")
	}
	if s.ListenerMetadata != "" && s.ListenerPath == "" {
		c.add(at("linux", "seccomp", "listenerMetadata"), "must not be set without listenerPath")
	}
}

func (c *checker) syscalls(r *specs.LinuxSyscall, i int) {
	c.action(r.Action, r.ErrnoRet, "action", "errnoRet", "linux", "seccomp", "syscalls", i)
	if len(r.Names) == 0 {
		c.add(at("linux", "seccomp", "syscalls", i, "names"), "at least one entry is required")
	}
	for j, name := range r.Names {
		switch {
		case name == "":
			c.add(at("linux", "seccomp", "syscalls", i, "names", j), "must not be empty")
		case r.Action == specs.ActNotify && name == "write":
			// The stub writes the number of the listener before the agent has the
			// listener, so this call would wait forever. The stub's other calls
			// after the filter wait for the agent, as those of the program do.
			c.add(at("linux", "seccomp", "syscalls", i, "names", j), "SCMP_ACT_NOTIFY cannot be used for the write syscall: the runtime needs it")
		}
	}
	for j, a := range r.Args {
		if a.Index > 5 {
			c.add(at("linux", "seccomp", "syscalls", i, "args", j, "index"), "%d is not from 0 to 5", a.Index)
		}
		if !slices.Contains(seccompOps, a.Op) {
			c.add(at("linux", "seccomp", "syscalls", i, "args", j, "op"), "string %s is not a valid operator for seccomp", a.Op)
		}
	}
}

// action checks an action and its errno. Only two actions carry an errno, of 16
// bits (SECCOMP_RET_DATA).
func (c *checker) action(a specs.LinuxSeccompAction, errno *uint, action, errnoRet string, tokens ...any) {
	if !slices.Contains(seccompActions, a) {
		c.add(at(append(tokens, action)...), "string %s is not a valid action for seccomp", a)
		return
	}
	switch {
	case errno == nil:
	case a != specs.ActErrno && a != specs.ActTrace:
		c.add(at(append(tokens, errnoRet)...), "not allowed with %s", a)
	case *errno > 0xffff:
		c.add(at(append(tokens, errnoRet)...), "%d does not fit in 16 bits", *errno)
	}
}

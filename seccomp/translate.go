package seccomp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// translate turns a profile into numbers. It reads no state of the host;
// checkKernel asks the kernel later. flags are the flags that the profile asks for.
func translate(profile *specs.LinuxSeccomp) (set *ruleset.Set, flags uint32, err error) {
	if profile == nil {
		return nil, 0, fieldError("/linux/seccomp", "there is none")
	}
	var t translation
	set = &ruleset.Set{
		Default: t.defaultAction(profile),
		Archs:   t.archs(profile.Architectures),
		Rules:   t.rules(profile),
	}
	flags = t.flags(profile.Flags)
	t.listener(profile)
	if len(t.problems) > 0 {
		return nil, 0, joinFields(t.problems)
	}
	return set, flags, nil
}

// A translation collects the mistakes of a profile, so that Compile can report
// all of them at once.
type translation struct {
	problems []*FieldError
}

// problem adds a mistake in the value at a JSON pointer below /linux/seccomp.
func (t *translation) problem(pointer, format string, args ...any) {
	t.problems = append(t.problems, &FieldError{Field: "/linux/seccomp" + pointer, Err: fmt.Errorf(format, args...)})
}

func (t *translation) defaultAction(profile *specs.LinuxSeccomp) uint32 {
	if profile.DefaultAction == specs.ActNotify {
		// The process that loads the filter would wait for an answer to the
		// very call that sends the listener its descriptor.
		t.problem("/defaultAction", "%s cannot be the default action", specs.ActNotify)
		return 0
	}
	return t.action("/defaultAction", "/defaultErrnoRet", profile.DefaultAction, profile.DefaultErrnoRet)
}

// action returns the SECCOMP_RET_* value of an action and its errno. Both
// pointers are for errors.
func (t *translation) action(at, errnoAt string, name specs.LinuxSeccompAction, errno *uint) uint32 {
	for _, a := range actions {
		if a.name != string(name) {
			continue
		}
		switch {
		case a.errno:
			return a.ret | t.data(errnoAt, a.ret, errno)
		case errno != nil:
			t.problem(errnoAt, "%s does not return an errno", name)
		}
		return a.ret
	}
	t.problem(at, "%q is not an action", name)
	return 0
}

// maxErrno is the largest errno that the kernel lets a filter return
// (MAX_ERRNO, include/linux/err.h). The kernel silently lowers larger ones.
const maxErrno = 4095

func (t *translation) data(at string, ret uint32, errno *uint) uint32 {
	limit := uint(maxErrno)
	if ret == unix.SECCOMP_RET_TRACE {
		limit = unix.SECCOMP_RET_DATA
	}
	switch {
	case errno == nil:
		return uint32(unix.EPERM) // the specification's default
	case *errno > limit:
		t.problem(at, "%d is larger than %d", *errno, limit)
		return 0
	}
	return uint32(*errno)
}

// archs returns the architectures of the profile, each once: the request to
// libseccomp and the ENOSYS tail have one part for each.
func (t *translation) archs(names []specs.Arch) []ruleset.Arch {
	var list []ruleset.Arch
	for i, name := range names {
		at := fmt.Sprintf("/architectures/%d", i)
		a, ok := archNamed(string(name))
		if !ok {
			t.problem(at, "%q is not an architecture", name)
		}
		if !slices.ContainsFunc(list, func(has ruleset.Arch) bool { return has.Name == a.name }) {
			list = append(list, ruleset.Arch{Pointer: "/linux/seccomp" + at, Name: a.name, Token: a.token()})
		}
	}
	return list
}

func (t *translation) flags(names []specs.LinuxSeccompFlag) uint32 {
	if names == nil {
		// A profile without flags, not even an empty list, does not get the
		// Speculative Store Bypass mitigation. Engines expect that, and it is
		// the kernel's own default since 5.16.
		return unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	var flags uint32
	for i, name := range names {
		bit, ok := flagBit(string(name))
		if !ok {
			t.problem(fmt.Sprintf("/flags/%d", i), "%q is not a flag", name)
		}
		flags |= bit
	}
	return flags
}

func flagBit(name string) (uint32, bool) {
	for _, f := range flagBits {
		if f.name == name {
			return f.bit, true
		}
	}
	return 0, false
}

// listener checks that a profile with notifications has a listenerPath.
func (t *translation) listener(profile *specs.LinuxSeccomp) {
	if profile.ListenerPath != "" {
		return
	}
	if profile.ListenerMetadata != "" {
		t.problem("/listenerMetadata", "is set without listenerPath")
	}
	for i, call := range profile.Syscalls {
		if call.Action == specs.ActNotify {
			t.problem("/listenerPath", "is not set, and /linux/seccomp/syscalls/%d/action is %s", i, specs.ActNotify)
			return
		}
	}
}

func (t *translation) rules(profile *specs.LinuxSeccomp) []ruleset.Rule {
	var rules []ruleset.Rule
	for i := range profile.Syscalls {
		rules = append(rules, t.rule(fmt.Sprintf("/syscalls/%d", i), &profile.Syscalls[i]))
	}
	return rules
}

func (t *translation) rule(at string, call *specs.LinuxSyscall) ruleset.Rule {
	t.names(at, call)
	return ruleset.Rule{
		Pointer: "/linux/seccomp" + at,
		Names:   call.Names,
		Action:  t.action(at+"/action", at+"/errnoRet", call.Action, call.ErrnoRet),
		Match:   t.match(at, call.Args),
	}
}

func (t *translation) names(at string, call *specs.LinuxSyscall) {
	if len(call.Names) == 0 {
		t.problem(at+"/names", "is empty")
	}
	for i, name := range call.Names {
		switch {
		case name == "" || strings.ContainsRune(name, 0):
			t.problem(fmt.Sprintf("%s/names/%d", at, i), "%q is not a name", name)
		case name == "write" && call.Action == specs.ActNotify:
			// The process reports after it has loaded the filter, and only then
			// the listener gets its descriptor. With write, the process would
			// wait for itself.
			t.problem(fmt.Sprintf("%s/names/%d", at, i), "write cannot have the action %s", specs.ActNotify)
		}
	}
}

// match returns the alternatives of a rule, each a list of conditions that must
// all hold. libseccomp compares an argument once a rule, and profiles that name
// an argument twice have always meant a choice of their conditions.
func (t *translation) match(at string, args []specs.LinuxSeccompArg) [][]ruleset.Condition {
	var all []ruleset.Condition
	var seen [6]bool
	choice := false
	for i, arg := range args {
		at := fmt.Sprintf("%s/args/%d", at, i)
		op := 1 + slices.Index(operators, string(arg.Op))
		if op == 0 {
			t.problem(at+"/op", "%q is not an operator", arg.Op)
		}
		if arg.Index >= uint(len(seen)) {
			t.problem(at+"/index", "%d is larger than %d", arg.Index, len(seen)-1)
			continue
		}
		choice = choice || seen[arg.Index]
		seen[arg.Index] = true
		all = append(all, ruleset.Condition{Arg: uint32(arg.Index), Op: uint32(op), Value: arg.Value, Two: arg.ValueTwo})
	}
	if !choice {
		return [][]ruleset.Condition{all}
	}
	var each [][]ruleset.Condition
	for _, c := range all {
		each = append(each, []ruleset.Condition{c})
	}
	return each
}

package seccomp

import (
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

func number(n uint) *uint { return &n }

func TestAction(t *testing.T) {
	tests := []struct {
		name  specs.LinuxSeccompAction
		errno *uint
		want  uint32
	}{
		{specs.ActKill, nil, unix.SECCOMP_RET_KILL_THREAD},
		{specs.ActKillProcess, nil, unix.SECCOMP_RET_KILL_PROCESS},
		{specs.ActKillThread, nil, unix.SECCOMP_RET_KILL_THREAD},
		{specs.ActTrap, nil, unix.SECCOMP_RET_TRAP},
		{specs.ActErrno, nil, unix.SECCOMP_RET_ERRNO | 1},
		{specs.ActErrno, number(0), unix.SECCOMP_RET_ERRNO},
		{specs.ActErrno, number(4095), unix.SECCOMP_RET_ERRNO | 4095},
		{specs.ActTrace, nil, unix.SECCOMP_RET_TRACE | 1},
		{specs.ActTrace, number(65535), unix.SECCOMP_RET_TRACE | 65535},
		{specs.ActAllow, nil, unix.SECCOMP_RET_ALLOW},
		{specs.ActLog, nil, unix.SECCOMP_RET_LOG},
		{specs.ActNotify, nil, unix.SECCOMP_RET_USER_NOTIF},
	}
	for _, tt := range tests {
		var tr translation
		if got := tr.action("/action", "/errnoRet", tt.name, tt.errno); got != tt.want || tr.problems != nil {
			t.Errorf("action(%s) = %#x, %q; want %#x", tt.name, got, tr.problems, tt.want)
		}
	}
}

func TestTranslateProblems(t *testing.T) {
	rule := func(s specs.LinuxSyscall) *specs.LinuxSeccomp {
		if s.Names == nil {
			s.Names = []string{"read"}
		}
		if s.Action == "" {
			s.Action = specs.ActAllow
		}
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, ListenerPath: "/l", Syscalls: []specs.LinuxSyscall{s}}
	}
	tests := []struct {
		name    string
		profile *specs.LinuxSeccomp
		want    string
	}{
		{"no default", &specs.LinuxSeccomp{}, `/linux/seccomp/defaultAction: "" is not an action`},
		{"bad default", &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_SHRUG"}, `/linux/seccomp/defaultAction: "SCMP_ACT_SHRUG" is not an action`},
		{"notify by default", &specs.LinuxSeccomp{DefaultAction: specs.ActNotify, ListenerPath: "/l"}, `/linux/seccomp/defaultAction: SCMP_ACT_NOTIFY cannot be the default action`},
		{"default errno without ERRNO", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: number(1)}, `/linux/seccomp/defaultErrnoRet: SCMP_ACT_ALLOW does not return an errno`},
		{"large default errno", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: number(4096)}, `/linux/seccomp/defaultErrnoRet: 4096 is larger than 4095`},
		{"architecture", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86, "SCMP_ARCH_VAX"}}, `/linux/seccomp/architectures/1: "SCMP_ARCH_VAX" is not an architecture`},
		{"flag", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"NEW"}}, `/linux/seccomp/flags/0: "NEW" is not a flag`},
		{"metadata for nobody", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerMetadata: "x"}, `/linux/seccomp/listenerMetadata: is set without listenerPath`},
		{"notify nobody", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}}, `/linux/seccomp/listenerPath: is not set, and /linux/seccomp/syscalls/0/action is SCMP_ACT_NOTIFY`},
		{"no names", rule(specs.LinuxSyscall{Names: []string{}}), `/linux/seccomp/syscalls/0/names: is empty`},
		{"empty name", rule(specs.LinuxSyscall{Names: []string{"read", ""}}), `/linux/seccomp/syscalls/0/names/1: "" is not a name`},
		{"a name with an end of its own", rule(specs.LinuxSyscall{Names: []string{"read\x00x"}}), `/linux/seccomp/syscalls/0/names/0: "read\x00x" is not a name`},
		{"notify write", rule(specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActNotify}), `/linux/seccomp/syscalls/0/names/0: write cannot have the action SCMP_ACT_NOTIFY`},
		{"action", rule(specs.LinuxSyscall{Action: "X"}), `/linux/seccomp/syscalls/0/action: "X" is not an action`},
		{"errno without ERRNO", rule(specs.LinuxSyscall{Action: specs.ActKill, ErrnoRet: number(1)}), `/linux/seccomp/syscalls/0/errnoRet: SCMP_ACT_KILL does not return an errno`},
		{"large message", rule(specs.LinuxSyscall{Action: specs.ActTrace, ErrnoRet: number(65536)}), `/linux/seccomp/syscalls/0/errnoRet: 65536 is larger than 65535`},
		{"operator", rule(specs.LinuxSyscall{Args: []specs.LinuxSeccompArg{{Op: "=="}}}), `/linux/seccomp/syscalls/0/args/0/op: "==" is not an operator`},
		{"index", rule(specs.LinuxSyscall{Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}, {Index: 6, Op: specs.OpEqualTo}}}), `/linux/seccomp/syscalls/0/args/1/index: 6 is larger than 5`},
	}
	for _, tt := range tests {
		_, _, err := translate(tt.profile)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: translate() = %v; want %s", tt.name, err, tt.want)
		}
	}
}

func TestTranslateReportsAll(t *testing.T) {
	profile := &specs.LinuxSeccomp{
		DefaultAction: "A", Architectures: []specs.Arch{"B"}, Flags: []specs.LinuxSeccompFlag{"C"},
		Syscalls: []specs.LinuxSyscall{{Action: "D"}, {Names: []string{"read"}, Action: "E"}},
	}
	_, _, err := translate(profile)
	if err == nil {
		t.Fatal("translate() = nil; want an error")
	}
	for _, want := range []string{"/defaultAction", "/architectures/0", "/flags/0", "/syscalls/0/names", "/syscalls/0/action", "/syscalls/1/action"} {
		if !strings.Contains(err.Error(), "/linux/seccomp"+want+": ") {
			t.Errorf("translate() = %v; want also %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("translate() = %q; want one line", err)
	}
}

func TestMatch(t *testing.T) {
	arg := func(index uint, value uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Value: value, Op: specs.OpEqualTo}
	}
	condition := func(index uint32, value uint64) ruleset.Condition {
		const equal = 4 // SCMP_CMP_EQ
		return ruleset.Condition{Arg: index, Op: equal, Value: value}
	}
	tests := []struct {
		name string
		args []specs.LinuxSeccompArg
		want [][]ruleset.Condition
	}{
		{"none: always", nil, [][]ruleset.Condition{nil}},
		{"different arguments: all", []specs.LinuxSeccompArg{arg(0, 1), arg(1, 2)}, [][]ruleset.Condition{{condition(0, 1), condition(1, 2)}}},
		{"the same argument: any", []specs.LinuxSeccompArg{arg(0, 1), arg(1, 2), arg(0, 3)}, [][]ruleset.Condition{{condition(0, 1)}, {condition(1, 2)}, {condition(0, 3)}}},
	}
	for _, tt := range tests {
		var tr translation
		if got := tr.match("", tt.args); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: match() = %v; want %v", tt.name, got, tt.want)
		}
	}
}

func TestFlags(t *testing.T) {
	type flags = []specs.LinuxSeccompFlag
	tests := []struct {
		name     string
		flags    flags
		listener bool
		want     uint32
	}{
		{"absent", nil, false, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{"empty", flags{}, false, 0},
		{"log", flags{specs.LinuxSeccompFlagLog}, false, unix.SECCOMP_FILTER_FLAG_LOG},
		{"tsync", flags{"SECCOMP_FILTER_FLAG_TSYNC"}, false, unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH},
		{"killable", flags{specs.LinuxSeccompFlagWaitKillableRecv}, true, unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
		{"killable, nobody listening", flags{specs.LinuxSeccompFlagWaitKillableRecv}, false, 0},
		{"two", flags{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow}, false, unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	}
	for _, tt := range tests {
		var tr translation
		if got := filterFlags(tr.flags(tt.flags), tt.listener); got != tt.want {
			t.Errorf("%s: flags = %#x; want %#x", tt.name, got, tt.want)
		}
	}
}

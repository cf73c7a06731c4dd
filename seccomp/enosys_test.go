package seccomp

import (
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

const eperm = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)

func TestBeyond(t *testing.T) {
	tests := []struct {
		name    string
		arch    string
		numbers []uint32
		want    []span
	}{
		{"nothing named", "SCMP_ARCH_AARCH64", nil, nil},
		{"the largest counts", "SCMP_ARCH_AARCH64", []uint32{5, 439, 0}, []span{{440, 0xfffffffe}}},
		{"zero is a number", "SCMP_ARCH_X86_64", []uint32{0}, []span{{1, x32Bit - 1}}},
		{"x86_64 leaves x32 alone", "SCMP_ARCH_X86_64", []uint32{0, 435}, []span{{436, x32Bit - 1}}},
		{"x32 around the old block", "SCMP_ARCH_X32", []uint32{x32Bit + 435, x32Bit + 520}, []span{{x32Bit + 436, x32Bit + 511}, {x32Bit + 548, 0xfffffffe}}},
		{"x32 with the old block only", "SCMP_ARCH_X32", []uint32{x32Bit + 520}, nil},
		{"ARM below its private numbers", "SCMP_ARCH_ARM", []uint32{403, 0x0f0005}, []span{{404, 0x0effff}}},
		{"MIPS counts from 4000", "SCMP_ARCH_MIPS", []uint32{4439}, []span{{4440, 0xfffffffe}}},
	}
	for _, tt := range tests {
		if got := beyond(tt.arch, tt.numbers); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: beyond(%s, %v) = %v; want %v", tt.name, tt.arch, tt.numbers, got, tt.want)
		}
	}
}

// handmade allows read on x86_64 and aarch64, kills other architectures and
// x32, and has two returns of the default action.
func handmade(defaultAction uint32) []byte {
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	jump := func(op uint16, k uint32, jt, jf uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jt: jt, Jf: jf, K: k}
	}
	return program(
		load(offsetArch),
		jump(unix.BPF_JEQ, unix.AUDIT_ARCH_X86_64, 0, 5),
		load(offsetNumber),
		jump(unix.BPF_JGE, x32Bit, 6, 0),
		jump(unix.BPF_JEQ, 0, 0, 1),
		ret(unix.SECCOMP_RET_ALLOW),
		ret(defaultAction),
		jump(unix.BPF_JEQ, unix.AUDIT_ARCH_AARCH64, 0, 2),
		load(offsetNumber),
		jump(unix.BPF_JEQ, 63, 1, 2),
		ret(unix.SECCOMP_RET_KILL_THREAD),
		ret(unix.SECCOMP_RET_ALLOW),
		ret(defaultAction),
	)
}

func TestAnswerENOSYS(t *testing.T) {
	named := []ruleset.Named{
		{Token: unix.AUDIT_ARCH_X86_64, Numbers: []uint32{0, 435}},
		{Token: unix.AUDIT_ARCH_AARCH64, Numbers: []uint32{63, 435}},
	}
	code := answerENOSYS(handmade(eperm), eperm, named)
	tests := []struct {
		name string
		call call
		want uint32
	}{
		{"a rule", call{nr: 0, arch: unix.AUDIT_ARCH_X86_64}, unix.SECCOMP_RET_ALLOW},
		{"an old syscall", call{nr: 1, arch: unix.AUDIT_ARCH_X86_64}, eperm},
		{"the newest one named", call{nr: 435, arch: unix.AUDIT_ARCH_X86_64}, eperm},
		{"a newer one", call{nr: 436, arch: unix.AUDIT_ARCH_X86_64}, retENOSYS},
		{"the newest there can be", call{nr: x32Bit - 1, arch: unix.AUDIT_ARCH_X86_64}, retENOSYS},
		{"x32, which the filter kills", call{nr: x32Bit, arch: unix.AUDIT_ARCH_X86_64}, unix.SECCOMP_RET_KILL_THREAD},
		{"second architecture: a rule", call{nr: 63, arch: unix.AUDIT_ARCH_AARCH64}, unix.SECCOMP_RET_ALLOW},
		{"second architecture: old", call{nr: 64, arch: unix.AUDIT_ARCH_AARCH64}, eperm},
		{"second architecture: newer", call{nr: 500, arch: unix.AUDIT_ARCH_AARCH64}, retENOSYS},
		{"second architecture: answered by a tracer", call{nr: noNumber, arch: unix.AUDIT_ARCH_AARCH64}, eperm},
		{"an architecture that the filter kills", call{nr: 500, arch: unix.AUDIT_ARCH_I386}, unix.SECCOMP_RET_KILL_THREAD},
	}
	for _, tt := range tests {
		if got := run(t, code, tt.call); got != tt.want {
			t.Errorf("%s: run(%+v) = %#x; want %#x", tt.name, tt.call, got, tt.want)
		}
	}
}

// Where the default action kills, libseccomp kills a foreign architecture with
// the same instruction. The tail must not let it go.
func TestAnswerENOSYSDefaultKill(t *testing.T) {
	const kill = unix.SECCOMP_RET_KILL_THREAD
	code := answerENOSYS(handmade(kill), kill, []ruleset.Named{{Token: unix.AUDIT_ARCH_X86_64, Numbers: []uint32{435}}})
	tests := []struct {
		call call
		want uint32
	}{
		{call{nr: 436, arch: unix.AUDIT_ARCH_X86_64}, retENOSYS},
		{call{nr: 1, arch: unix.AUDIT_ARCH_X86_64}, kill},
		{call{nr: x32Bit + 1, arch: unix.AUDIT_ARCH_X86_64}, kill},
		{call{nr: 436, arch: unix.AUDIT_ARCH_I386}, kill},
		{call{nr: 500, arch: unix.AUDIT_ARCH_AARCH64}, kill},
	}
	for _, tt := range tests {
		if got := run(t, code, tt.call); got != tt.want {
			t.Errorf("run(%+v) = %#x; want %#x", tt.call, got, tt.want)
		}
	}
}

func TestAnswerENOSYSOnlyWhereDenied(t *testing.T) {
	named := []ruleset.Named{{Token: unix.AUDIT_ARCH_X86_64, Numbers: []uint32{435}}}
	tests := []struct {
		name   string
		action uint32
		want   bool
	}{
		{"KILL_PROCESS", unix.SECCOMP_RET_KILL_PROCESS, true},
		{"KILL_THREAD", unix.SECCOMP_RET_KILL_THREAD, true},
		{"TRAP", unix.SECCOMP_RET_TRAP, true},
		{"ERRNO EPERM", eperm, true},
		{"ERRNO ENOSYS", retENOSYS, false},
		{"TRACE", unix.SECCOMP_RET_TRACE | 1, false},
		{"LOG", unix.SECCOMP_RET_LOG, false},
		{"ALLOW", unix.SECCOMP_RET_ALLOW, false},
	}
	for _, tt := range tests {
		before := handmade(tt.action)
		after := answerENOSYS(handmade(tt.action), tt.action, named)
		if got := !reflect.DeepEqual(before, after); got != tt.want {
			t.Errorf("answerENOSYS(%s) changes the program: %v; want %v", tt.name, got, tt.want)
		}
	}
}

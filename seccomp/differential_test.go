//go:build cgo

package seccomp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// These tests read a profile naively, straight from the specification. The
// program has to give the same answer to each call.

// machines are the architectures of the engines' profiles. The last two have
// arguments of 32 bits.
var machines = []struct {
	name  specs.Arch
	audit uint32
	mask  uint64
}{
	{specs.ArchX86_64, unix.AUDIT_ARCH_X86_64, 1<<64 - 1},
	{specs.ArchX86, unix.AUDIT_ARCH_I386, 1<<32 - 1},
	{specs.ArchX32, unix.AUDIT_ARCH_X86_64, 1<<32 - 1},
}

func needX86(t *testing.T) {
	t.Helper()
	needBuilder(t)
	if nativeAudit(t) != unix.AUDIT_ARCH_X86_64 {
		t.Skip("the native architecture is not x86_64")
	}
}

func holds(a specs.LinuxSeccompArg, value, mask uint64) bool {
	value, operand, two := value&mask, a.Value&mask, a.ValueTwo&mask
	switch a.Op {
	case specs.OpNotEqual:
		return value != operand
	case specs.OpLessThan:
		return value < operand
	case specs.OpLessEqual:
		return value <= operand
	case specs.OpEqualTo:
		return value == operand
	case specs.OpGreaterEqual:
		return value >= operand
	case specs.OpGreaterThan:
		return value > operand
	}
	return value&operand == two
}

func matches(rule *specs.LinuxSyscall, args [6]uint64, mask uint64) bool {
	uses := make(map[uint]int)
	held := 0
	for _, a := range rule.Args {
		uses[a.Index]++
		if holds(a, args[a.Index], mask) {
			held++
		}
	}
	for _, n := range uses {
		if n > 1 {
			return held > 0
		}
	}
	return held == len(rule.Args)
}

func returns(t *testing.T, action specs.LinuxSeccompAction, errno *uint) uint32 {
	t.Helper()
	var tr translation
	ret := tr.action("", "", action, errno)
	if tr.problems != nil {
		t.Fatal(tr.problems)
	}
	return ret
}

// expect returns the actions of the rules that match a call, or the default.
func expect(t *testing.T, p *specs.LinuxSeccomp, name string, args [6]uint64, mask uint64) []uint32 {
	t.Helper()
	var want []uint32
	for i := range p.Syscalls {
		if rule := &p.Syscalls[i]; slices.Contains(rule.Names, name) && matches(rule, args, mask) {
			want = append(want, returns(t, rule.Action, rule.ErrnoRet))
		}
	}
	if want == nil {
		want = []uint32{returns(t, p.DefaultAction, p.DefaultErrnoRet)}
	}
	return want
}

// vectors returns arguments at and around every value that a profile's rules for
// a syscall compare with, in both halves.
func vectors(p *specs.LinuxSeccomp, name string) [][6]uint64 {
	values := make([][]uint64, 6)
	for i := range p.Syscalls {
		if !slices.Contains(p.Syscalls[i].Names, name) {
			continue
		}
		for _, a := range p.Syscalls[i].Args {
			for _, v := range []uint64{a.Value, a.ValueTwo} {
				values[a.Index] = append(values[a.Index], v, v-1, v+1, v^1<<32, v|1<<63, v&0xffffffff, ^v)
			}
		}
	}
	all := [][6]uint64{{}}
	for index, list := range values {
		for _, v := range list {
			for _, base := range all[:min(len(all), 40)] {
				base[index] = v
				all = append(all, base)
			}
		}
	}
	return all
}

// numberOn asks libseccomp for the number of one name. With a process for each
// question these tests would take minutes: hence the build tag.
func numberOn(t *testing.T, name string, machine specs.Arch) (uint32, bool) {
	t.Helper()
	a, ok := archNamed(string(machine))
	if !ok {
		t.Fatalf("%s is not an architecture", machine)
	}
	made, err := ruleset.Build(t.Context(), &ruleset.Set{
		Default: unix.SECCOMP_RET_ALLOW, Archs: []ruleset.Arch{{Name: a.name, Token: a.token()}},
		Rules: []ruleset.Rule{{Names: []string{name}, Action: unix.SECCOMP_RET_ALLOW}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range made.Named {
		if n.Token == a.token() && len(n.Numbers) == 1 {
			return n.Numbers[0], true
		}
	}
	return 0, false
}

// compare checks a program against its profile, call by call.
func compare(t *testing.T, p *specs.LinuxSeccomp, names []string) (calls int) {
	t.Helper()
	f := compileOK(t, p)
	for _, name := range names {
		for _, m := range machines {
			nr, ok := numberOn(t, name, m.name)
			if !ok || (m.name != specs.ArchX86_64 && !slices.Contains(p.Architectures, m.name)) {
				continue
			}
			for _, args := range vectors(p, name) {
				calls++
				want := expect(t, p, name, args, m.mask)
				if got := run(t, f.Program, call{nr, m.audit, args}); !slices.Contains(want, got) {
					t.Errorf("%s on %s with %#x: %#x; want %#x", name, m.name, args, got, want)
				}
			}
		}
	}
	return calls
}

func TestProfilesSayWhatProgramsDo(t *testing.T) {
	needX86(t)
	for file, raw := range profiles(t) {
		p := decodeProfile(t, raw)
		names := []string{"bpf", "mount", "ptrace", "keyctl", "kexec_load", "unshare", "setns"}
		for _, rule := range p.Syscalls {
			names = append(names, rule.Names...)
		}
		t.Logf("%s: %d calls", file, compare(t, p, names))
	}
}

// Old syscalls that no profile names get the default action. Syscalls beyond the
// newest one that is named get ENOSYS, for each architecture by itself.
func TestProfilesAnswerNewSyscalls(t *testing.T) {
	needX86(t)
	for file, raw := range profiles(t) {
		p := decodeProfile(t, raw)
		p.DefaultErrnoRet = number(1) // also where it is ENOSYS, which needs no tail
		f := compileOK(t, p)
		for _, m := range machines {
			newest := uint32(0)
			for _, rule := range p.Syscalls {
				for _, name := range rule.Names {
					if nr, ok := numberOn(t, name, m.name); ok && nr&^x32Bit < 512 {
						newest = max(newest, nr)
					}
				}
			}
			for _, nr := range []uint32{newest + 1, newest + 20, newest&x32Bit + 2000} {
				if got := run(t, f.Program, call{nr: nr, arch: m.audit}); got != retENOSYS {
					t.Errorf("%s: syscall %#x of %s: %#x; want ENOSYS", file, nr, m.name, got)
				}
			}
			denied := unix.SECCOMP_RET_ERRNO | uint32(*p.DefaultErrnoRet)
			if nr, ok := numberOn(t, "putpmsg", m.name); ok {
				if got := run(t, f.Program, call{nr: nr, arch: m.audit}); got != denied {
					t.Errorf("%s: putpmsg of %s: %#x; want %#x", file, m.name, got, denied)
				}
			}
		}
	}
}

// Random rules. Each syscall has one action, so that a call has one answer, and
// one rule or a choice of equalities. The program that libseccomp makes of more
// does not always do as written (doc.go).
func TestRandomProfiles(t *testing.T) {
	needX86(t)
	const seed = 20220322
	r := rand.New(rand.NewPCG(seed, seed))
	names := []string{"read", "ioctl", "clone", "personality", "prctl", "fcntl"}
	for i := range 200 {
		p := randomProfile(r, names)
		if compare(t, p, append(names, "getpid")); t.Failed() {
			t.Fatalf("profile %d: %+v", i, p)
		}
	}
}

func randomProfile(r *rand.Rand, names []string) *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: number(uint(1 + r.IntN(30)))}
	for _, arch := range []specs.Arch{specs.ArchX86, specs.ArchX32} {
		if r.IntN(2) == 0 {
			p.Architectures = append(p.Architectures, arch)
		}
	}
	// More names, so that some of the programs are trees.
	p.Syscalls = append(p.Syscalls, rule(specs.ActAllow, filler[:r.IntN(len(filler))]...), rule(specs.ActLog, "openat2"))
	if len(p.Syscalls[0].Names) == 0 {
		p.Syscalls = p.Syscalls[1:]
	}
	for _, name := range names {
		action := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActTrap, specs.ActKillProcess}[r.IntN(3)]
		rule := rule(action, name)
		rule.Args = randomArgs(r)
		p.Syscalls = append(p.Syscalls, rule)
	}
	return p
}

var filler = []string{
	"write", "open", "close", "stat", "fstat", "lstat", "poll", "lseek", "mmap", "mprotect", "munmap", "brk",
	"pread64", "pwrite64", "readv", "writev", "access", "pipe", "select", "sched_yield", "mremap", "msync", "mincore",
	"madvise", "dup", "dup2", "pause", "nanosleep", "alarm", "sendfile", "uname", "getcwd", "chdir", "rename", "mkdir",
}

func randomArgs(r *rand.Rand) []specs.LinuxSeccompArg {
	var args []specs.LinuxSeccompArg
	choice := r.IntN(4) == 0
	for index := range uint(r.IntN(4)) {
		value := []uint64{0, 1, 0x7fffffff, 0xffffffff, 1 << 32, 0x7e020000, r.Uint64(), r.Uint64() & 0xff}[r.IntN(8)]
		arg := specs.LinuxSeccompArg{
			Index:    index,
			Op:       specs.LinuxSeccompOperator(operators[r.IntN(len(operators))]),
			Value:    value,
			ValueTwo: value & r.Uint64(),
		}
		if choice {
			arg.Index, arg.Op = 0, specs.OpEqualTo
		}
		args = append(args, arg)
	}
	return args
}

// TestCompileArchitectures checks that every architecture of libseccomp with this
// machine's byte order compiles, and that its ENOSYS tail has its own numbers.
func TestCompileArchitectures(t *testing.T) {
	needBuilder(t)
	compiled := 0
	for _, a := range archs {
		p := &specs.LinuxSeccomp{
			DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.Arch(a.name)},
			Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "read", "openat2")},
		}
		f, err := Compile(t.Context(), p)
		if err != nil {
			t.Logf("%v", err)
			continue
		}
		compiled++
		nr := openat2(a.name)
		for number, want := range map[uint32]uint32{nr: unix.SECCOMP_RET_ALLOW, nr - 1: eperm, nr + 1: retENOSYS} {
			if got := run(t, f.Program, call{nr: number, arch: a.audit}); got != want {
				t.Errorf("%s: syscall %d: %#x; want %#x", a.name, number, got, want)
			}
		}
	}
	if compiled < 6 {
		t.Errorf("%d architectures compile; want x86_64, x86, x32, arm, aarch64 and riscv64 at least", compiled)
	}
}

// openat2 returns the number of openat2. It is the same everywhere, but for the
// base from which an architecture counts.
func openat2(arch string) uint32 {
	const nr = 437
	switch arch {
	case "SCMP_ARCH_X32":
		return x32Bit + nr
	case "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPSEL":
		return 4000 + nr
	case "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPSEL64":
		return 5000 + nr
	case "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL64N32":
		return 6000 + nr
	}
	return nr
}

func ExampleKnownFlags() {
	fmt.Println(KnownFlags())
	// Output: [SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV]
}

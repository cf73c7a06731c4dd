package seccomp

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper"
)

// needBuilder skips a test in a build that cannot compile profiles.
func needBuilder(t testing.TB) {
	t.Helper()
	if helper.Identity() == "none" {
		t.Skip("built without libseccomp: neither cgo nor the tag onggi_helper")
	}
}

// profiles returns the linux.seccomp sections of configurations that engines wrote.
func profiles(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no profiles in testdata: %v", err)
	}
	all := make(map[string][]byte)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = raw
	}
	return all
}

func decodeProfile(t testing.TB, raw []byte) *specs.LinuxSeccomp {
	t.Helper()
	profile := new(specs.LinuxSeccomp)
	if err := json.Unmarshal(raw, profile); err != nil {
		t.Fatal(err)
	}
	return profile
}

func compileOK(t testing.TB, profile *specs.LinuxSeccomp) Filter {
	t.Helper()
	f, err := Compile(context.Background(), profile)
	if err != nil {
		t.Fatalf("Compile() = %v", err)
	}
	return f
}

func rule(action specs.LinuxSeccompAction, names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: action}
}

func TestCompileEnginesProfiles(t *testing.T) {
	needBuilder(t)
	for name, raw := range profiles(t) {
		f := compileOK(t, decodeProfile(t, raw))
		if n := len(f.Program) / unix.SizeofSockFilter; n < 100 || n > unix.BPF_MAXINSNS {
			t.Errorf("%s: %d instructions", name, n)
		}
		if f.Listener || f.Flags != unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW {
			t.Errorf("%s: flags %#x, listener %v; want SPEC_ALLOW", name, f.Flags, f.Listener)
		}
	}
}

func TestCompileActions(t *testing.T) {
	needBuilder(t)
	for _, a := range actions {
		profile := &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, ListenerPath: "/listener",
			Syscalls: []specs.LinuxSyscall{rule(specs.LinuxSeccompAction(a.name), "getcwd")},
		}
		want := a.ret
		if a.errno {
			profile.Syscalls[0].ErrnoRet = number(77)
			want |= 77
		}
		f := compileOK(t, profile)
		if got := run(t, f.Program, native(t, "getcwd")); got != want {
			t.Errorf("%s for a syscall: %#x; want %#x", a.name, got, want)
		}
		if want := a.name == "SCMP_ACT_NOTIFY"; f.Listener != want || (f.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0) != want {
			t.Errorf("%s: listener %v, flags %#x; want %v", a.name, f.Listener, f.Flags, want)
		}
		if a.name == "SCMP_ACT_NOTIFY" {
			continue
		}
		inverse := &specs.LinuxSeccomp{
			DefaultAction: specs.LinuxSeccompAction(a.name), DefaultErrnoRet: profile.Syscalls[0].ErrnoRet,
			Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "exit_group")},
		}
		if got := run(t, compileOK(t, inverse).Program, native(t, "getcwd")); got != want {
			t.Errorf("%s by default: %#x; want %#x", a.name, got, want)
		}
	}
}

// native returns a call on this machine.
func native(t testing.TB, name string) call {
	t.Helper()
	numbers := map[string]uint32{"getcwd": unix.SYS_GETCWD, "exit_group": unix.SYS_EXIT_GROUP, "read": unix.SYS_READ}
	nr, ok := numbers[name]
	if !ok {
		t.Fatalf("no number for %s", name)
	}
	return call{nr: nr, arch: nativeAudit(t)}
}

func nativeAudit(t testing.TB) uint32 {
	t.Helper()
	var host unix.Utsname
	if err := unix.Uname(&host); err != nil {
		t.Fatal(err)
	}
	switch machine := unix.ByteSliceToString(host.Machine[:]); machine {
	case "x86_64":
		return unix.AUDIT_ARCH_X86_64
	case "aarch64":
		return unix.AUDIT_ARCH_AARCH64
	default:
		t.Skipf("no AUDIT_ARCH for %s in this test", machine)
		return 0
	}
}

func TestCompileUnknownNames(t *testing.T) {
	needBuilder(t)
	f := compileOK(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, ListenerPath: "/listener", Syscalls: []specs.LinuxSyscall{
		rule(specs.ActAllow, "read", "frobnicate"),
		rule(specs.ActNotify, "twiddle"),
	}})
	if want := []string{"frobnicate", "twiddle"}; !slices.Equal(f.Unknown, want) {
		t.Errorf("Unknown = %q; want %q", f.Unknown, want)
	}
	if f.Listener {
		t.Error("Listener is set; want it clear: the one rule that notifies is for a syscall that does not exist")
	}
}

// A binary tree without rules loses the default action (libseccomp issue 370).
func TestCompileWithoutRules(t *testing.T) {
	needBuilder(t)
	for _, action := range []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno} {
		f := compileOK(t, &specs.LinuxSeccomp{DefaultAction: action})
		want := uint32(unix.SECCOMP_RET_ALLOW)
		if action == specs.ActErrno {
			want = eperm
		}
		if got := run(t, f.Program, native(t, "read")); got != want {
			t.Errorf("%s alone: %#x; want %#x", action, got, want)
		}
	}
}

// Compile does not give libseccomp a rule that repeats the default action,
// because libseccomp would refuse it. The name still counts as known to the author.
func TestCompileRedundantRule(t *testing.T) {
	needBuilder(t)
	f := compileOK(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
		rule(specs.ActAllow, "read"),
		rule(specs.ActErrno, "openat2"),
	}})
	for nr, want := range map[uint32]uint32{unix.SYS_OPENAT2: eperm, unix.SYS_OPENAT2 + 1: retENOSYS} {
		if got := run(t, f.Program, call{nr: nr, arch: nativeAudit(t)}); got != want {
			t.Errorf("syscall %d: %#x; want %#x", nr, got, want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	needBuilder(t)
	many := specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow}
	for i := range uint64(3000) {
		many.Args = append(many.Args, specs.LinuxSeccompArg{Index: 0, Value: i << 32, Op: specs.OpEqualTo})
	}
	tests := []struct {
		name    string
		profile *specs.LinuxSeccomp
		want    string
	}{
		{"profile", &specs.LinuxSeccomp{DefaultAction: "?"}, "/linux/seccomp/defaultAction: "},
		{"architecture of the other byte order", &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchS390X}}, "/linux/seccomp/architectures/1: SCMP_ARCH_S390X: libseccomp "},
		{"too long", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{many}}, "/linux/seccomp: "},
	}
	for _, tt := range tests {
		_, err := Compile(context.Background(), tt.profile)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: Compile() = %v; want %s...", tt.name, err, tt.want)
			continue
		}
		t.Logf("%s: %v", tt.name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Compile(ctx, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}); !errors.Is(err, context.Canceled) {
		t.Errorf("Compile() with a cancelled context = %v; want %v", err, context.Canceled)
	}
}

func TestCompileWithoutBuilder(t *testing.T) {
	if helper.Identity() != "none" {
		t.Skip("built with libseccomp")
	}
	_, err := Compile(context.Background(), &specs.LinuxSeccomp{DefaultAction: specs.ActAllow})
	if err == nil || !strings.Contains(err.Error(), "/linux/seccomp: this program was built without libseccomp") {
		t.Errorf("Compile() = %v; want an error that says why", err)
	}
}

func TestLibraryVersion(t *testing.T) {
	needBuilder(t)
	got, err := LibraryVersion(context.Background())
	if err != nil || strings.Count(got, ".") != 2 {
		t.Errorf("LibraryVersion() = %q, %v; want x.y.z", got, err)
	}
}

func BenchmarkCompile(b *testing.B) {
	needBuilder(b)
	profile := decodeProfile(b, profiles(b)["docker-29"])
	for b.Loop() {
		compileOK(b, profile)
	}
}

// An architecture counts once, however often a profile names it. The ENOSYS tail
// jumps over the part of each architecture, and a jump reaches 255 instructions.
func TestCompileRepeatedArchitectures(t *testing.T) {
	needBuilder(t)
	compile := func(times int) []byte {
		list := []specs.Arch{specs.ArchX86_64}
		for range times {
			list = append(list, specs.ArchX86, specs.ArchAARCH64)
		}
		return compileOK(t, &specs.LinuxSeccomp{
			DefaultAction: specs.ActKillProcess, Architectures: list,
			Syscalls: []specs.LinuxSyscall{rule(specs.ActAllow, "read", "write", "execve")},
		}).Program
	}
	if once, often := compile(1), compile(100); !slices.Equal(once, often) {
		t.Errorf("the program has %d bytes, and %d where each architecture is there 100 times", len(once), len(often))
	}
}

func TestCompileNothing(t *testing.T) {
	if _, err := Compile(context.Background(), nil); err == nil || err.Error() != "/linux/seccomp: there is none" {
		t.Errorf("Compile(nil) = %v; want an error", err)
	}
}

// The error names the mistake of the profile's author, not libseccomp's view of it.
func TestCompileConflict(t *testing.T) {
	needBuilder(t)
	when := func(action specs.LinuxSeccompAction) specs.LinuxSyscall {
		r := rule(action, "personality")
		r.Args = []specs.LinuxSeccompArg{{Index: 0, Value: 8, Op: specs.OpEqualTo}}
		return r
	}
	profile := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{when(specs.ActAllow), when(specs.ActAllow), when(specs.ActLog)}}
	_, err := Compile(context.Background(), profile)
	if err == nil || !strings.HasPrefix(err.Error(), "/linux/seccomp/syscalls/2/names/0: personality: libseccomp ") || !strings.HasSuffix(err.Error(), ": an earlier rule has another action for the same arguments") {
		t.Errorf("Compile() = %v; want the rule, and why", err)
	}
}

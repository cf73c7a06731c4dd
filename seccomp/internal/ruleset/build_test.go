package ruleset

import (
	"context"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper"
)

// example returns a set with a name in two rules, a rule that repeats the default
// action, and a rule with two alternatives.
func example() *Set {
	always := [][]Condition{nil}
	return &Set{
		Default: unix.SECCOMP_RET_ERRNO | 1,
		Archs:   []Arch{{"/linux/seccomp/architectures/0", "SCMP_ARCH_X86_64", unix.AUDIT_ARCH_X86_64}, {"/linux/seccomp/architectures/1", "SCMP_ARCH_AARCH64", unix.AUDIT_ARCH_AARCH64}},
		Rules: []Rule{
			{Pointer: "/0", Names: []string{"read", "nothing"}, Action: unix.SECCOMP_RET_ALLOW, Match: always},
			{Pointer: "/1", Names: []string{"openat2"}, Action: unix.SECCOMP_RET_ERRNO | 1, Match: always},
			{Pointer: "/2", Names: []string{"personality", "read"}, Action: unix.SECCOMP_RET_LOG, Match: [][]Condition{
				{{Arg: 0, Op: 4, Value: 1<<64 - 1}}, {{Arg: 0, Op: 7, Value: 1 << 63, Two: 1 << 63}},
			}},
		},
	}
}

func TestQuestion(t *testing.T) {
	q := newQuestion(example())
	if want := []string{"read", "nothing", "openat2", "personality"}; !slices.Equal(q.names, want) {
		t.Errorf("names = %q; want %q", q.names, want)
	}
	if want := []place{{0, 0, 0}, {0, 1, 0}, {2, 0, 0}, {2, 0, 1}, {2, 1, 0}, {2, 1, 1}}; !slices.Equal(q.rules, want) {
		t.Errorf("rules = %v; want %v", q.rules, want)
	}
}

func TestRequest(t *testing.T) {
	q := newQuestion(&Set{
		Default: 1, Archs: []Arch{{"/linux/seccomp/architectures/0", "x", 2}},
		Rules: []Rule{{Names: []string{"read"}, Action: 3, Match: [][]Condition{{{Arg: 4, Op: 5, Value: 6, Two: 7}}}}},
	})
	var want helper.Request
	for _, n := range []uint32{helper.Filter, 1, 1, 2, 1} {
		want.Number(n)
	}
	want.Text("read")
	for _, n := range []uint32{1, 3, 0, 1, 4, 5} {
		want.Number(n)
	}
	want.Value(6)
	want.Value(7)
	if got := q.request(); !slices.Equal(got, want) {
		t.Errorf("request() = %x; want %x", got, want)
	}
}

func TestBuild(t *testing.T) {
	if helper.Identity() == "none" {
		t.Skip("built without a helper: neither cgo nor the tag onggi_helper")
	}
	p, err := Build(context.Background(), example())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"nothing"}; !slices.Equal(p.Unknown, want) {
		t.Errorf("unknown names = %q; want %q", p.Unknown, want)
	}
	got := map[uint32][]uint32{}
	for _, n := range p.Named {
		got[n.Token] = n.Numbers
	}
	want := map[uint32][]uint32{unix.AUDIT_ARCH_X86_64: {0, 437, 135}, unix.AUDIT_ARCH_AARCH64: {63, 437, 92}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("numbers = %v; want %v", got, want)
	}
	if strings.Count(p.Library, ".") != 2 || len(p.Code) < 10*unix.SizeofSockFilter {
		t.Errorf("Build() = version %s, %d bytes", p.Library, len(p.Code))
	}
}

// words returns numbers in the form of a reply.
func words(numbers ...int64) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.NativeEndian.AppendUint32(b, uint32(n))
	}
	return b
}

var version = words(2, 5, 4, unix.AUDIT_ARCH_X86_64)

func TestProgram(t *testing.T) {
	table := words(0, -1, 437, 135, 0, -1, 437, 135, 63, 5, -10001, 92)
	body := slices.Concat(version, table, make([]byte, 16))
	got, err := newQuestion(example()).program(helper.Reply{Body: body})
	want := &Program{
		Code:    make([]byte, 16),
		Named:   []Named{{unix.AUDIT_ARCH_X86_64, []uint32{0, 437, 135}}, {unix.AUDIT_ARCH_AARCH64, []uint32{63, 92}}},
		Unknown: []string{"nothing"},
		Library: "2.5.4",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("program() = %+v, %v; want %+v", got, err, want)
	}
}

func TestProgramRefused(t *testing.T) {
	tests := []struct {
		name  string
		reply helper.Reply
		want  string
	}{
		{"nothing", helper.Reply{}, "/linux/seccomp: helper: reply: 0 bytes"},
		{"no table", helper.Reply{Body: version}, "/linux/seccomp: helper: reply: 0 bytes for 4 names"},
		{"no program", helper.Reply{Body: append(version, make([]byte, 48)...)}, "libseccomp made a program of 0 bytes"},
		{"half an instruction", helper.Reply{Body: append(version, make([]byte, 52)...)}, "libseccomp made a program of 4 bytes"},
		{"too many", helper.Reply{Body: append(version, make([]byte, 48+8*4097)...)}, "/linux/seccomp: the filter has 4097 instructions, more than the 4096 that the kernel loads"},
		{"default", helper.Reply{Status: helper.BadDefault, Errno: unix.EINVAL, Body: version}, "/linux/seccomp/defaultAction: libseccomp 2.5.4: invalid argument"},
		{"byte order", helper.Reply{Status: helper.BadArchitecture, Index: 1, Errno: unix.EDOM, Body: version}, "/linux/seccomp/architectures/1: SCMP_ARCH_AARCH64: libseccomp 2.5.4: its byte order is not this machine's"},
		{"architecture", helper.Reply{Status: helper.BadArchitecture, Errno: unix.EINVAL, Body: version}, "/linux/seccomp/architectures/0: SCMP_ARCH_X86_64: libseccomp 2.5.4: it does not have this architecture"},
		{"no such architecture", helper.Reply{Status: helper.BadArchitecture, Index: 2, Body: version}, "/linux/seccomp: helper: reply: status 3, index 2"},
		{"rule", helper.Reply{Status: helper.BadRule, Index: 4, Errno: unix.ENOMEM, Body: version}, "/2/names/1: read: libseccomp 2.5.4: cannot allocate memory"},
		{"no such rule", helper.Reply{Status: helper.BadRule, Index: 1 << 31, Body: version}, "/linux/seccomp: helper: reply: status 4, index 2147483648"},
		{"filter", helper.Reply{Status: helper.BadFilter, Errno: unix.ENOMEM, Body: version}, "/linux/seccomp: libseccomp 2.5.4: cannot allocate memory"},
		{"another question's", helper.Reply{Status: helper.BadPattern, Body: version}, "/linux/seccomp: helper: reply: status 6, index 0"},
	}
	for _, tt := range tests {
		if _, err := newQuestion(example()).program(tt.reply); err == nil || err.Error() != tt.want {
			t.Errorf("%s: program() = %v; want %s", tt.name, err, tt.want)
		}
	}
}

// FuzzProgram checks that any reply gives an error on one line, or a program that
// could be loaded, with numbers for the requested architectures and names only.
func FuzzProgram(f *testing.F) {
	f.Add(uint32(0), uint32(0), uint32(0), slices.Concat(version, make([]byte, 48+16)))
	f.Add(uint32(4), uint32(3), uint32(22), version)
	f.Fuzz(func(t *testing.T, status, index, errno uint32, body []byte) {
		set := example()
		p, err := newQuestion(set).program(helper.Reply{Status: helper.Status(status), Index: index, Errno: unix.Errno(errno), Body: body})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("program() = %q; want one line", err)
			}
			return
		}
		if err := p.Check(); err != nil || len(p.Named) == 0 || len(p.Named) > 1+len(set.Archs) || len(p.Unknown) > 4 {
			t.Errorf("program() = %+v, Check() = %v", p, err)
		}
		for _, n := range p.Named {
			if len(n.Numbers) > 4 {
				t.Errorf("%d numbers for 4 names", len(n.Numbers))
			}
		}
	})
}

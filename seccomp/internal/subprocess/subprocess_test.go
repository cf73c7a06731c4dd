//go:build cgo

package subprocess

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/libseccomp"
	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

func pack(t testing.TB, image []byte) string {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

// helper builds the real one.
func helper(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "helper")
	out, err := exec.Command("go", "build", "-o", file, "github.com/onggi-dev/onggi/seccomp/helper").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	image, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, image)
}

func set() *ruleset.Set {
	always := [][]ruleset.Condition{nil}
	return &ruleset.Set{
		Default: unix.SECCOMP_RET_ERRNO | 1,
		Archs:   []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"},
		Rules: []ruleset.Rule{
			{Pointer: "/0", Names: []string{"read", "write", "close", "nothing"}, Action: unix.SECCOMP_RET_ALLOW, Match: always},
			{Pointer: "/1", Names: []string{"personality"}, Action: unix.SECCOMP_RET_LOG, Match: [][]ruleset.Condition{
				{{Arg: 0, Op: "SCMP_CMP_EQ", Value: 1<<64 - 1}}, {{Arg: 0, Op: "SCMP_CMP_MASKED_EQ", Value: 1 << 63, Two: 1 << 63}},
			}},
		},
	}
}

// sorted makes programs comparable: the numbers come in any order.
func sorted(p *ruleset.Program) *ruleset.Program {
	for _, n := range p.Named {
		slices.Sort(n.Numbers)
	}
	return p
}

func TestBuildIsWhatLibseccompBuilds(t *testing.T) {
	want, err := libseccomp.Build(set())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Build(context.Background(), helper(t), set())
	if err != nil {
		t.Fatalf("Build() = %v", err)
	}
	if !reflect.DeepEqual(sorted(got), sorted(want)) {
		t.Errorf("Build() = %+v; want %+v", got, want)
	}
}

func TestBuildReportsLibseccompsErrors(t *testing.T) {
	bad := set()
	bad.Archs = []string{"SCMP_ARCH_S390X"}
	_, want := libseccomp.Build(bad)
	_, got := Build(context.Background(), helper(t), bad)
	if want == nil || got == nil || got.Error() != want.Error() {
		t.Errorf("Build() = %v; want %v", got, want)
	}
}

func TestBuildBadHelper(t *testing.T) {
	script := func(line string) string { return pack(t, []byte("#!/bin/sh\n"+line+"\n")) }
	tests := []struct {
		name, image, want string
	}{
		{"none", "", "seccomp helper: embedded executable: not what gzip -n writes"},
		{"damaged", pack(t, []byte("helper"))[:25], "seccomp helper: embedded executable: unexpected EOF"},
		{"not executable", pack(t, []byte("text")), "seccomp helper: fork/exec /proc/self/fd/3: exec format error"},
		{"fails", script("echo no luck >&2; echo at all >&2; exit 3"), "seccomp helper: exit status 3: no luck"},
		{"fails silently", script("exit 3"), "seccomp helper: exit status 3"},
		{"dies", script("kill -SEGV $$"), "seccomp helper: signal: segmentation fault"},
		{"says nothing", script(":"), "seccomp helper: reply: "},
		{"says something else", script("echo []"), "seccomp helper: reply: "},
		{"has no program", script("echo '{}'"), "seccomp helper: reply: no program"},
		{"has an empty program", script(`echo '{"program":{}}'`), "libseccomp made a program of 0 bytes"},
		{"talks without end", script("exec yes '      '"), "seccomp helper: "},
		{"complains without end", script("yes >&2; exit 1"), "seccomp helper: exit status 1: y"},
		{"is denied", script(`echo '{"error":"/linux/seccomp: no"}'`), "/linux/seccomp: no"},
	}
	for _, tt := range tests {
		_, err := Build(context.Background(), tt.image, set())
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: Build() = %v; want %s", tt.name, err, tt.want)
		}
	}
}

func TestBuildDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Build(ctx, pack(t, []byte("#!/bin/sh\nexec sleep 60\n")), set())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Build() = %v; want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Build() took %v", took)
	}
}

// The helper's executable cannot be changed, by itself or anybody else, and it
// gets nothing from this process but its streams.
func TestBuildConfinesHelper(t *testing.T) {
	t.Setenv("SECRET", "1")
	_, err := Build(context.Background(), pack(t, []byte(`#!/bin/sh
test -z "$SECRET" || { echo environment >&2; exit 1; }
test "$PWD" = / || { echo directory >&2; exit 1; }
for fd in /proc/self/fd/*; do case ${fd##*/} in [4-9]) test ! -e $fd || { echo $fd >&2; exit 1; } ;; esac; done # a shell has its own from 10 on
(echo >/proc/self/fd/3) 2>/dev/null && { echo writable >&2; exit 1; }
echo '{"error":"fine"}'
`)), set())
	if err == nil || err.Error() != "fine" {
		t.Errorf("Build() = %v; want fine", err)
	}
}

func TestBuildLeavesNothing(t *testing.T) {
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	image := pack(t, []byte("#!/bin/sh\nexit 1\n"))
	Build(context.Background(), image, set()) // the runtime's own descriptors appear
	before := count()
	for range 5 {
		Build(context.Background(), image, set())
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors; want %d", after, before)
	}
}

func BenchmarkBuild(b *testing.B) {
	image := helper(b)
	for b.Loop() {
		if _, err := Build(context.Background(), image, set()); err != nil {
			b.Fatal(err)
		}
	}
}

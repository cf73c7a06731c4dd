package main

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestCountThread(t *testing.T) {
	tests := []struct {
		name, trace string
		want        callCounts
	}{
		{"the runtime's process", `execve("/usr/bin/onggi", ["onggi", "run", "c"], 0x7ffc /* 3 vars */) = 0
openat(AT_FDCWD, "/run", O_RDONLY) = 3
futex(0xae, FUTEX_WAKE_PRIVATE, 1) = 1
--- SIGURG {si_signo=SIGURG} ---
close(3) = 0
+++ exited with 0 +++
`, callCounts{runtime: 3}},
		{"a thread of it", "gettid() = 7\nread(3, \"x\", 1) = 1\n", callCounts{runtime: 1}},
		{"the stub", `rt_sigaction(SIGHUP, {}, NULL, 8) = 0
execveat(12, "", ["onggi:c"], 0x1a /* 0 vars */, AT_EMPTY_PATH) = 0
recvfrom(3, "", 65536, 0, NULL, NULL) = 10
mount("", "/", "", 0, NULL) = 0
recvfrom(3, "", 65536, 0, NULL, NULL) = 10
execve("/bin/true", ["/bin/true"], 0x20 /* 1 var */) = -1 ENOENT (No such file or directory)
execve("/usr/bin/true", ["/bin/true"], 0x20 /* 1 var */) = 0
brk(NULL) = 0x1000
`, callCounts{container: 5, trips: 2}},
		{"what the stub has cloned", "close(3) = 0\nexecve(\"/bin/true\", [\"/bin/true\"], 0x20 /* 1 var */) = 0\nbrk(NULL) = 0\n", callCounts{container: 2}},
		{"nothing", "", callCounts{}},
	}
	for _, test := range tests {
		if got := countThread(test.trace); got != test.want {
			t.Errorf("countThread(%s) = %+v; want %+v", test.name, got, test.want)
		}
	}
}

func TestHistory(t *testing.T) {
	var h history
	h.figures = map[string][]string{}
	h.record("a1", "6.18", "go1", map[string]float64{"run/runtime": 100, "gone/trips": 1})
	h.record("b2", "6.18", "go1", map[string]float64{"run/runtime": 90.5, "new/trips": 3})
	text := "figure\ta1\tb2\nkernel\t6.18\t6.18\ngo\tgo1\tgo1\ngone/trips\t1\t-\nnew/trips\t-\t3\nrun/runtime\t100\t90.5\n"
	if got := h.String(); got != text {
		t.Fatalf("history = %q; want %q", got, text)
	}
	again, err := parseHistory(text)
	if err != nil || again.String() != text {
		t.Errorf("parseHistory = %q, %v; want what was written", again, err)
	}
	want := map[string]float64{"run/runtime": 90.5, "new/trips": 3}
	if got := again.last(); !maps.Equal(got, want) {
		t.Errorf("last() = %v; want %v", got, want)
	}
	if _, err := parseHistory("figure\ta1\tb2\nx\t1\n"); err == nil {
		t.Error("a line that is too short is no error")
	}
}

func TestCompare(t *testing.T) {
	before := map[string]float64{"a/runtime": 100, "b/runtime": 100, "c/container": 200, "d/trips": 3, "e/faults": 400, "f/faults": 400, "g/bytes": 1000, "h/bytes": 1000, "j/switches": 20, "k/futex": 20, "l/made": 30, "m/calls": 500}
	now := map[string]float64{"a/runtime": 105, "b/runtime": 106, "c/container": 201, "d/trips": 2, "e/faults": 440, "f/faults": 441, "g/bytes": 1010, "h/bytes": 1011, "i/new": 1, "j/switches": 38, "k/futex": 39, "l/made": 31, "m/calls": 540}
	var changed, worse, noise []string
	for _, c := range compare(before, now) {
		changed = append(changed, c.name)
		if c.worse {
			worse = append(worse, c.name)
		}
		if c.noise {
			noise = append(noise, c.name)
		}
	}
	if want := strings.Fields("a/runtime e/faults g/bytes j/switches m/calls"); !slices.Equal(noise, want) {
		t.Errorf("noise %v; want %v", noise, want)
	}
	if want := strings.Fields("a/runtime b/runtime c/container d/trips e/faults f/faults g/bytes h/bytes j/switches k/futex l/made m/calls"); !slices.Equal(changed, want) {
		t.Errorf("changed %v; want %v", changed, want)
	}
	if want := strings.Fields("b/runtime c/container f/faults h/bytes k/futex l/made"); !slices.Equal(worse, want) {
		t.Errorf("worse %v; want %v", worse, want)
	}
	c := change{"run/runtime", 100, 104, true, false}
	if got, want := c.String(), "run/runtime: 104, was 100 (+4, +4.0%): WORSE"; got != want {
		t.Errorf("change = %q; want %q", got, want)
	}
}

func TestJudge(t *testing.T) {
	h := history{figures: map[string][]string{}}
	if judge(h, nil) == nil {
		t.Error("an empty history is judged")
	}
	h.record("a1", kernel(), runtime.Version(), map[string]float64{"d/trips": 3})
	if err := judge(h, map[string]float64{"d/trips": 3}); err != nil {
		t.Error(err)
	}
	if judge(h, map[string]float64{"d/trips": 4}) == nil {
		t.Error("a round trip more is not worse")
	}
	h.kernels[0] = "0.1"
	if err := judge(h, map[string]float64{"d/trips": 4}); err != nil {
		t.Errorf("recorded on another kernel, and yet: %v", err)
	}
}

func TestReadAllocations(t *testing.T) {
	out := "goos: linux\nBenchmarkParse-2   200   12345 ns/op   3.4 MB/s   74132 B/op   230 allocs/op\nBenchmarkValidate \t200\t 9 ns/op\t 96 B/op\t 2 allocs/op\nPASS\n"
	got := map[string]float64{}
	if err := readAllocations(strings.NewReader(out), "specconv", got); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"specconv/parse/bytes": 74132, "specconv/parse/allocations": 230, "specconv/validate/bytes": 96, "specconv/validate/allocations": 2}
	if !maps.Equal(got, want) {
		t.Errorf("readAllocations = %v; want %v", got, want)
	}
}

//go:build cgo

package native

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// words is a request of numbers, texts and values, as package helper draws it.
func words(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch part := part.(type) {
		case int:
			b = binary.NativeEndian.AppendUint32(b, uint32(part))
		case uint64:
			b = binary.NativeEndian.AppendUint64(b, part)
		case string:
			b = binary.NativeEndian.AppendUint32(b, uint32(len(part)))
			b = append(append(b, part...), 0)
		}
	}
	return b
}

const (
	filter  = 1
	pattern = 2

	equal = 4

	done = iota - 3
	badRequest
	badDefault
	badArchitecture
	badRule
	badFilter
	badPattern
)

// profile is a request that has everything; names with it are enough for a tree.
func profile(names ...string) []byte {
	parts := []any{filter, unix.SECCOMP_RET_ERRNO | 1, 2, unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, 2 + len(names), "personality", "nothing"}
	for _, name := range names {
		parts = append(parts, name)
	}
	parts = append(
		parts, 3+len(names),
		unix.SECCOMP_RET_ALLOW, 1, 0,
		unix.SECCOMP_RET_LOG, 0, 1, 0, equal, uint64(1<<63), uint64(0),
		unix.SECCOMP_RET_LOG, 0, 2, 0, 7, uint64(15), uint64(1), 1, 1, uint64(7), uint64(0),
	)
	for i := range names {
		parts = append(parts, unix.SECCOMP_RET_ALLOW, 2+i, 0)
	}
	return words(parts...)
}

var bush = strings.Fields("read write open close stat fstat lstat poll lseek mmap mprotect munmap brk ioctl access pipe select dup")

var requests = []struct {
	name   string
	bytes  []byte
	status uint32
}{
	{"nothing", nil, badRequest},
	{"half a number", []byte{1, 0}, badRequest},
	{"no kind of request", words(3), badRequest},
	{"a profile", profile(), done},
	{"a tree", profile(bush...), done},
	{"a profile and more", append(profile(), 0), badRequest},
	{"an action that is none", words(filter, 0x12340000, 0, 0, 0), badDefault},
	{"an architecture that is none", words(filter, unix.SECCOMP_RET_ALLOW, 1, 5, 0, 0), badArchitecture},
	{"more architectures than bytes", words(filter, unix.SECCOMP_RET_ALLOW, 1<<30, 0, 0), badRequest},
	{"more names than bytes", words(filter, unix.SECCOMP_RET_ALLOW, 0, -1, 0), badRequest},
	{"a rule's action that is none", words(filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0x12340000, 0, 0), badRule},
	{"a rule for a name that is not there", words(filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 1, 0), badRequest},
	{"seven comparisons", words(filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 0, 7), badRequest},
	{"a seventh argument", words(filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 0, 1, 6, equal, uint64(0), uint64(0)), badRequest},
	{"operator 0", words(filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 0, 1, 0, 0, uint64(0), uint64(0)), badRequest},
	{"operator 8", words(filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 0, 1, 0, 8, uint64(0), uint64(0)), badRequest},
	{"a NUL in a name", words(filter, unix.SECCOMP_RET_ALLOW, 0, 1, "re\x00d", 0), badRequest},
	{"a name without NUL", append(words(filter, unix.SECCOMP_RET_ALLOW, 0, 1, 1), "xxxxxxxx"...), badRequest},
	{"patterns", words(pattern, "^a+(b|c)[[:digit:]]{2}$", 3, "aab12", "ad12", ""), done},
	{"as deep a pattern as can be", words(pattern, strings.Repeat("(", 2047)+"a+"+strings.Repeat(")", 2047), 0), done},
	{"a pattern too deep", words(pattern, strings.Repeat("(", 1<<16)+strings.Repeat(")", 1<<16), 0), badPattern},
	{"no pattern", words(pattern), badRequest},
	{"half a pattern", words(pattern, "[", 0), badPattern},
	{"a pattern with NUL", words(pattern, "a\x00", 0), badRequest},
	{"a pattern and more", words(pattern, "a", 0, 0), badRequest},
	{"fewer texts than said", words(pattern, "a", 2, "a"), badRequest},
}

func TestAnswer(t *testing.T) {
	for _, tt := range requests {
		reply, err := Answer(tt.bytes)
		if err != nil || len(reply) < 16 {
			t.Errorf("%s: Answer() = %d bytes, %v", tt.name, len(reply), err)
			continue
		}
		if size := binary.NativeEndian.Uint32(reply); int(size) != len(reply) {
			t.Errorf("%s: the reply has %d bytes, and says %d", tt.name, len(reply), size)
		}
		if got := binary.NativeEndian.Uint32(reply[4:]); got != tt.status {
			t.Errorf("%s: status %d; want %d", tt.name, got, tt.status)
		}
	}
}

// alone is a copy in memory of its own, beyond whose end a sanitizer sees.
func alone(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c
}

func TestAnswerTruncated(t *testing.T) {
	for _, whole := range [][]byte{profile(bush...), words(pattern, "^a", 2, "a", "b")} {
		for n := range len(whole) {
			reply, err := Answer(alone(whole[:n]))
			if err != nil || binary.NativeEndian.Uint32(reply[4:]) != badRequest {
				t.Errorf("Answer() of %d bytes = %x, %v; want status %d", n, reply, err, badRequest)
			}
		}
	}
}

// build makes the program as the Makefile does, but for what makes it small.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "helper")
	cc, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatalf("go env CC: %v", err)
	}
	sources, err := filepath.Glob("*.c")
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Join(append([]string{strings.TrimSpace(string(cc)), "-o", file}, sources...), " ") + " $(pkg-config --cflags --libs libseccomp)"
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return file
}

// in is a request as a file, which is how the program gets it.
func in(t *testing.T, request []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "request")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(request, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestProgramAnswersTheSame(t *testing.T) {
	program := build(t)
	for _, tt := range requests {
		if len(tt.bytes) == 0 { // nothing can be mapped
			continue
		}
		want, err := Answer(tt.bytes)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program)
		cmd.Stdin = in(t, tt.bytes)
		if got, err := cmd.Output(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the program replies %x, %v; want %x", tt.name, got, err, want)
		}
	}
}

// What the program cannot work with, it says in one line.
func TestProgramFails(t *testing.T) {
	program := build(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer other.Close()
	for _, tt := range []struct {
		name    string
		in, out *os.File
		want    string
	}{
		{"an empty request", in(t, nil), full, "request: Invalid argument\n"},
		{"a pipe", pipe, full, "request: Invalid argument\n"},
		{"nowhere to reply to", in(t, profile()), full, "write: No space left on device\n"},
	} {
		var complaint bytes.Buffer
		cmd := exec.Command(program)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tt.in, tt.out, &complaint
		if err := cmd.Run(); err == nil || complaint.String() != tt.want {
			t.Errorf("%s: %v, %q; want %q", tt.name, err, complaint.String(), tt.want)
		}
	}
}

var long = words(pattern, "((((a{1,250}){1,250}){1,250}){1,250})", 1, "a")

// An expression that would take gigabytes ends in an answer or in the helper's
// end, in time; which of them is the C library's choice.
func TestProgramIsBounded(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), build(t))
	cmd.Stdin = in(t, long)
	out, err := cmd.Output()
	if err == nil && binary.NativeEndian.Uint32(out[4:]) != badPattern {
		t.Errorf("a reply of %d bytes with status %d; want %d", len(out), binary.NativeEndian.Uint32(out[4:]), badPattern)
	}
	const limit = 640 << 10 // KiB
	if used := cmd.ProcessState.SysUsage().(*syscall.Rusage); used.Maxrss > limit {
		t.Errorf("the program used %d KiB", used.Maxrss)
	}
	t.Logf("%v, %v", cmd.ProcessState, err)
}

// Who may use less than the program allows itself cannot raise that.
func TestProgramUnderLimits(t *testing.T) {
	cmd := exec.Command("sh", "-c", `ulimit -t 5 && ulimit -v 200000 && exec "$0"`, build(t))
	cmd.Stdin = in(t, profile(bush...))
	want, err := Answer(profile(bush...))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the program replies %x, %v; want %x", got, err, want)
	}
}

// The program keeps nothing that it inherits: the other end of a pipe says so
// while it is still at work.
func TestProgramClosesDescriptors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(build(t))
	cmd.Stdin, cmd.ExtraFiles = in(t, long), []*os.File{nil, w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v; want %v", err, io.EOF)
	}
	if pid, err := unix.Wait4(cmd.Process.Pid, nil, unix.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("wait4 = %d, %v; want the program at work", pid, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
}

// To look for more than a crash: CGO_CFLAGS="-fsanitize=undefined
// -fno-sanitize-recover=all" CGO_LDFLAGS=-fsanitize=undefined go test -asan.
func FuzzAnswer(f *testing.F) {
	for _, tt := range requests {
		f.Add(tt.bytes)
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		// libseccomp can be kept busy with more rules, and regcomp with repetitions
		// of repetitions: the program has its limits for that.
		if len(request) > 400 || len(request) > 0 && request[0] == pattern && bytes.Count(request, []byte("{")) > 1 {
			return
		}
		reply, err := Answer(alone(request))
		if err != nil {
			return
		}
		if len(reply) < 16 || int(binary.NativeEndian.Uint32(reply)) != len(reply) || binary.NativeEndian.Uint32(reply[4:]) > badPattern {
			t.Errorf("Answer(%x) = %x", request, reply)
		}
	})
}

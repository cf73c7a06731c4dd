//go:build cgo

package answer

import (
	"encoding/binary"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/wire"
)

// words returns a request of numbers, texts and values, in the layout of package wire.
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

const equal = 4

// request returns a request with every kind of part. With enough names, its filter is a tree.
func request(names ...string) []byte {
	parts := []any{wire.Filter, unix.SECCOMP_RET_ERRNO | 1, 2, unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, 2 + len(names), "personality", "nothing"}
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
	status wire.Status
}{
	{"nothing", nil, wire.BadRequest},
	{"half a number", []byte{1, 0}, wire.BadRequest},
	{"no kind of request", words(3), wire.BadRequest},
	{"a profile", request(), wire.Done},
	{"a tree", request(bush...), wire.Done},
	{"a profile and more", append(request(), 0), wire.BadRequest},
	{"an action that is none", words(wire.Filter, 0x12340000, 0, 0, 0), wire.BadDefault},
	{"an architecture that is none", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 1, 5, 0, 0), wire.BadArchitecture},
	{"more architectures than bytes", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 1<<30, 0, 0), wire.BadRequest},
	{"more names than bytes", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, -1, 0), wire.BadRequest},
	{"a rule's action that is none", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0x12340000, 0, 0), wire.BadRule},
	{"a rule for a name that is not there", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 1, 0), wire.BadRequest},
	{"seven comparisons", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 0, 7), wire.BadRequest},
	{"a seventh argument", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 0, 1, 6, equal, uint64(0), uint64(0)), wire.BadRequest},
	{"operator 0", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 0, 1, 0, 0, uint64(0), uint64(0)), wire.BadRequest},
	{"operator 8", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, 1, "read", 1, 0, 0, 1, 0, 8, uint64(0), uint64(0)), wire.BadRequest},
	{"a NUL in a name", words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, 1, "re\x00d", 0), wire.BadRequest},
	{"a name without NUL", append(words(wire.Filter, unix.SECCOMP_RET_ALLOW, 0, 1, 1), "xxxxxxxx"...), wire.BadRequest},
	{"patterns", words(wire.Pattern, "^a+(b|c)[[:digit:]]{2}$", 3, "aab12", "ad12", ""), wire.Done},
	{"a deep pattern", words(wire.Pattern, strings.Repeat("(", 900)+"a+"+strings.Repeat(")", 900), 0), wire.Done},
	{"a pattern too deep", words(wire.Pattern, strings.Repeat("(", 1<<16)+strings.Repeat(")", 1<<16), 0), wire.BadPattern},
	{"no pattern", words(wire.Pattern), wire.BadRequest},
	{"half a pattern", words(wire.Pattern, "[", 0), wire.BadPattern},
	{"a pattern with NUL", words(wire.Pattern, "a\x00", 0), wire.BadRequest},
	{"a pattern and more", words(wire.Pattern, "a", 0, 0), wire.BadRequest},
	{"fewer texts than said", words(wire.Pattern, "a", 2, "a"), wire.BadRequest},
}

func TestAnswer(t *testing.T) {
	for _, tt := range requests {
		reply, err := wire.Parse(Answer(tt.bytes))
		if err != nil || reply.Status != tt.status {
			t.Errorf("%s: Answer() = status %d, %v; want %d", tt.name, reply.Status, err, tt.status)
		}
	}
}

func TestAnswerTruncated(t *testing.T) {
	for _, whole := range [][]byte{request(bush...), words(wire.Pattern, "^a", 2, "a", "b")} {
		for n := range len(whole) {
			reply, err := wire.Parse(Answer(whole[:n]))
			if err != nil || reply.Status != wire.BadRequest {
				t.Errorf("Answer() of %d bytes = %+v, %v; want status %d", n, reply, err, wire.BadRequest)
			}
		}
	}
}

// TestAnswerLargeTable checks that a few bytes cannot ask for a table of gigabytes.
func TestAnswerLargeTable(t *testing.T) {
	parts := []any{wire.Filter, unix.SECCOMP_RET_ALLOW, 6000}
	for range 6000 {
		parts = append(parts, unix.AUDIT_ARCH_AARCH64)
	}
	parts = append(parts, 6000)
	for range 6000 {
		parts = append(parts, "")
	}
	reply, err := wire.Parse(Answer(words(append(parts, 0)...)))
	if err != nil || reply.Status != wire.BadFilter || reply.Errno != unix.EMSGSIZE {
		t.Errorf("Answer() = status %d, %v, %v; want %d, %v", reply.Status, reply.Errno, err, wire.BadFilter, unix.EMSGSIZE)
	}
}

// TestNumbersAreLibseccomps compares a number with the output of scmp_sys_resolver,
// which is libseccomp's own program.
func TestNumbersAreLibseccomps(t *testing.T) {
	if _, err := exec.LookPath("scmp_sys_resolver"); err != nil {
		t.Skip("no scmp_sys_resolver: ", err)
	}
	out, err := exec.Command("scmp_sys_resolver", "-a", "aarch64", "personality").Output()
	reply, _ := wire.Parse(Answer(request()))
	const head, row = 16, 8
	if got := binary.NativeEndian.Uint32(reply.Body[head+2*row:]); err != nil || strings.TrimSpace(string(out)) != "92" || got != 92 {
		t.Errorf("personality on aarch64 is %d; want %s, %v", got, out, err)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, tt := range requests {
		f.Add(tt.bytes)
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		if len(request) > 400 { // more rules can keep libseccomp busy; the program has limits for that
			return
		}
		if reply := Answer(request); len(reply) > wire.MaxReply {
			t.Errorf("Answer(%x) = %d bytes", request, len(reply))
		} else if _, err := wire.Parse(reply); err != nil {
			t.Errorf("Answer(%x) = %x: %v", request, reply, err)
		}
	})
}

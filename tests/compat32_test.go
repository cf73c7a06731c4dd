package tests

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// machine32 is a 32-bit machine whose programs a 64-bit kernel executes. The numbers of its system calls are those of i386.
type machine32 struct {
	number  uint16 // e_machine
	flags   uint32 // e_flags
	call    func(text []byte, nr uint32, args ...uint32) []byte
	negate  []byte    // instructions: the first argument is the negated result
	names   [2]string // of the 64-bit machine and of this one in uname(2), 6 bytes
	seccomp [2]specs.Arch
}

var machines32 = map[string]machine32{
	"amd64": {3, 0, callI386, []byte{0xf7, 0xd8, 0x89, 0xc3}, [2]string{"x86_64", "i686"}, [2]specs.Arch{specs.ArchX86_64, specs.ArchX86}},
	"arm64": {40, 5 << 24, callARM, []byte{0x00, 0x00, 0x60, 0xe2}, [2]string{"aarch6", "armv8l"}, [2]specs.Arch{specs.ArchAARCH64, specs.ArchARM}},
}

// callI386 appends mov to eax, ebx, ecx and edx, and int 0x80.
func callI386(text []byte, nr uint32, args ...uint32) []byte {
	for i, a := range append([]uint32{nr}, args...) {
		text = binary.LittleEndian.AppendUint32(append(text, []byte{0xb8, 0xbb, 0xb9, 0xba}[i]), a)
	}
	return append(text, 0xcd, 0x80)
}

// callARM appends movw and movt to r7, r0, r1 and r2, and svc 0.
func callARM(text []byte, nr uint32, args ...uint32) []byte {
	u32 := binary.LittleEndian.AppendUint32
	for i, a := range append([]uint32{nr}, args...) {
		to := []uint32{7, 0, 1, 2}[i] << 12
		move := func(opcode, half uint32) { text = u32(text, opcode|to|half>>12<<16|half&0xfff) }
		move(0xe3000000, a&0xffff)
		move(0xe3400000, a>>16)
	}
	return u32(text, 0xef000000)
}

// program returns an ELF image. It prints the machine of uname(2), calls mkdir("/tmp"), and exits with the errno of that.
func (m machine32) program() []byte {
	const base, head, file, memory = 0x08050000, 52 + 32, 512, 1024
	const path, uts = base + file - 8, base + file
	text := m.call(nil, 122, uts)               // uname
	text = m.call(text, 4, 1, uts+4*65, 6)      // write the first 6 bytes of the machine
	text = m.call(text, 39, path, 0o700)        // mkdir
	text = m.call(append(text, m.negate...), 1) // exit

	var b bytes.Buffer
	write := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	b.WriteString("\x7fELF\x01\x01\x01")
	write([9]byte{})
	write([]uint16{2, m.number}) // ET_EXEC
	write([]uint32{1, base + head, 52, 0, m.flags})
	write([]uint16{52, 32, 1, 0, 0, 0})
	write([]uint32{1, 0, base, base, file, memory, 7, 1 << 16}) // PT_LOAD, rwx
	b.Write(text)
	b.Write(make([]byte, file-8-b.Len()))
	b.WriteString("/tmp\x00\x00\x00\x00")
	return b.Bytes()
}

// TestPrograms32 runs a 32-bit program on a 64-bit kernel: its personality, and its calls in seccomp profiles.
func TestPrograms32(t *testing.T) {
	m, ok := machines32[runtime.GOARCH]
	if !ok {
		t.Skip("no program for a 32-bit machine")
	}
	program := filepath.Join(t.TempDir(), "program32")
	if err := os.WriteFile(program, m.program(), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	out, _ := cmd.Output()
	if cmd.ProcessState == nil {
		t.Skip("this kernel executes no 32-bit programs")
	}
	is64, is32 := m.names[0], m.names[1]
	if code := cmd.ProcessState.ExitCode(); code != int(unix.EEXIST) || !strings.HasPrefix(string(out), is64) {
		t.Fatalf("outside a container: %q, exit status %d; want %s, %d", out, code, is64, unix.EEXIST)
	}
	mkdir := specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.EXDEV))}
	profile := func(archs ...specs.Arch) edit {
		return func(s *specs.Spec) {
			seccomp(mkdir)(s)
			s.Linux.Seccomp.Architectures = archs
		}
	}
	for _, tt := range []struct {
		name string
		edit edit
		out  string
		code int
	}{
		{"no profile", func(*specs.Spec) {}, is64, int(unix.EEXIST)},
		{"LINUX32", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} }, is32, int(unix.EEXIST)},
		{"both architectures in the profile", profile(m.seccomp[:]...), is64, int(unix.EXDEV)},
		{"only the 32-bit one", profile(m.seccomp[1]), is64, int(unix.EXDEV)},
		{"only the 64-bit one", profile(m.seccomp[0]), "", 128 + int(unix.SIGSYS)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t, tt.edit, args("/program32"))
			if err := os.WriteFile(filepath.Join(c.rootfs, "program32"), m.program(), 0o755); err != nil {
				t.Fatal(err)
			}
			r := c.run()
			if r.code != tt.code || !strings.HasPrefix(r.out, tt.out) {
				t.Errorf("want exit status %d and %q\n%v", tt.code, tt.out, r)
			}
		})
	}
}

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

// program32 returns an ELF image for i386. It prints the machine of uname(2), calls mkdir("/tmp"), and exits with the
// errno of that. All calls are made by int 0x80.
func program32() []byte {
	const base, head, file, memory = 0x08048000, 52 + 32, 256, 1024
	const path, uts = base + 192, base + file
	u32 := binary.LittleEndian.AppendUint32
	var text []byte
	register := func(opcode byte, value uint32) { text = u32(append(text, opcode), value) }
	call := func(nr uint32, args ...uint32) {
		register(0xb8, nr) // eax
		for i, a := range args {
			register([]byte{0xbb, 0xb9, 0xba}[i], a) // ebx, ecx, edx
		}
		text = append(text, 0xcd, 0x80)
	}
	call(122, uts)                              // uname
	call(4, 1, uts+4*65, 6)                     // write the first 6 bytes of the machine
	call(39, path, 0o700)                       // mkdir
	text = append(text, 0xf7, 0xd8, 0x89, 0xc3) // ebx = -eax
	call(1)                                     // exit

	var b bytes.Buffer
	write := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	b.WriteString("\x7fELF\x01\x01\x01")
	write([9]byte{})
	write([]uint16{2, 3}) // ET_EXEC, EM_386
	write([]uint32{1, base + head, 52, 0, 0})
	write([]uint16{52, 32, 1, 0, 0, 0})
	write([]uint32{1, 0, base, base, file, memory, 7, 4096}) // PT_LOAD, rwx
	b.Write(text)
	b.Write(make([]byte, 192-b.Len()))
	b.WriteString("/tmp\x00")
	b.Write(make([]byte, file-b.Len()))
	return b.Bytes()
}

// TestPrograms32 runs a 32-bit program on a 64-bit kernel: its personality, and its calls in seccomp profiles.
func TestPrograms32(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is for i386")
	}
	program := filepath.Join(t.TempDir(), "program32")
	if err := os.WriteFile(program, program32(), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	out, _ := cmd.Output()
	if cmd.ProcessState == nil {
		t.Skip("this kernel executes no 32-bit programs")
	}
	if code := cmd.ProcessState.ExitCode(); code != int(unix.EEXIST) || !strings.HasPrefix(string(out), "x86_64") {
		t.Fatalf("outside a container: %q, exit status %d; want x86_64, %d", out, code, unix.EEXIST)
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
		{"no profile", func(*specs.Spec) {}, "x86_64", int(unix.EEXIST)},
		{"LINUX32", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} }, "i686", int(unix.EEXIST)},
		{"both architectures in the profile", profile(specs.ArchX86_64, specs.ArchX86), "x86_64", int(unix.EXDEV)},
		{"only the 32-bit one", profile(specs.ArchX86), "x86_64", int(unix.EXDEV)},
		{"only the 64-bit one", profile(specs.ArchX86_64), "", 128 + int(unix.SIGSYS)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t, tt.edit, args("/program32"))
			if err := os.WriteFile(filepath.Join(c.rootfs, "program32"), program32(), 0o755); err != nil {
				t.Fatal(err)
			}
			r := c.run()
			if r.code != tt.code || !strings.HasPrefix(r.out, tt.out) {
				t.Errorf("want exit status %d and %q\n%v", tt.code, tt.out, r)
			}
		})
	}
}

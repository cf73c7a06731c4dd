package engine

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"strings"
	"testing"
)

// image returns an ELF header with the program headers behind it.
func image(class elf.Class, order binary.ByteOrder, machine elf.Machine, progs ...elf.ProgType) []byte {
	var b bytes.Buffer
	ident := [16]byte{0x7f, 'E', 'L', 'F', byte(class), byte(elf.ELFDATA2LSB), 1}
	if order == binary.BigEndian {
		ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	n := uint16(len(progs))
	if class == elf.ELFCLASS64 {
		binary.Write(&b, order, elf.Header64{Ident: ident, Type: 3, Machine: uint16(machine), Phoff: 64, Phentsize: 56, Phnum: n})
		for _, p := range progs {
			binary.Write(&b, order, elf.Prog64{Type: uint32(p), Off: 0x318, Filesz: 28})
		}
		return b.Bytes()
	}
	binary.Write(&b, order, elf.Header32{Ident: ident, Type: 3, Machine: uint16(machine), Phoff: 52, Phentsize: 32, Phnum: n})
	for _, p := range progs {
		binary.Write(&b, order, elf.Prog32{Type: uint32(p), Off: 0x154, Filesz: 19})
	}
	return b.Bytes()
}

func nativeOrder() binary.ByteOrder {
	if ownOrder() == 2 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// own returns an image for this machine.
func own(progs ...elf.ProgType) []byte {
	for _, m := range machines {
		if foreign(m.number, 2, ownOrder()) == "" {
			return image(elf.ELFCLASS64, nativeOrder(), elf.Machine(m.number), progs...)
		}
	}
	panic("this machine is not in the table")
}

func TestReadExecutable(t *testing.T) {
	far := own(elf.PT_LOAD, elf.PT_INTERP)
	binary.NativeEndian.PutUint64(far[32:], 1<<62)
	wrong := own(elf.PT_INTERP)
	binary.NativeEndian.PutUint16(wrong[54:], 0)
	tests := []struct {
		name string
		head []byte
		want executable
	}{
		{"empty", nil, executable{problem: "is empty"}},
		{"text", []byte("echo hello\n"), executable{problem: "is neither an ELF image nor a script with a #! line"}},
		{"script", []byte("#!/bin/sh\n"), executable{script: true, interpreter: "/bin/sh"}},
		{"blanks", []byte("#! \t/bin/sh -e x\nmore"), executable{script: true, interpreter: "/bin/sh"}},
		{"no line end", []byte("#!/bin/sh"), executable{script: true, interpreter: "/bin/sh"}},
		{"no name", []byte("#! \n/bin/sh"), executable{script: true, problem: "has a #! line that names no program"}},
		{"a return behind an option is the option's", []byte("#!/bin/sh -e\r\n"), executable{script: true, interpreter: "/bin/sh"}},
		{"long line", []byte("#!/" + strings.Repeat("x", 300)), executable{script: true, interpreter: "/" + strings.Repeat("x", 253)}},
		{"static", own(elf.PT_LOAD), executable{}},
		{"dynamic", own(elf.PT_PHDR, elf.PT_INTERP, elf.PT_LOAD), executable{interpAt: 0x318, interpLen: 28}},
		{"short", own()[:40], executable{problem: "is a damaged ELF image"}},
		{"no class", append([]byte("\x7fELF\x07"), make([]byte, 60)...), executable{problem: "is a damaged ELF image"}},
		{"headers elsewhere", far, executable{}},
		{"headers without a size", wrong, executable{}},
	}
	for _, tt := range tests {
		if got := readExecutable(tt.head); got != tt.want {
			t.Errorf("%s: readExecutable(%.40q) = %+v; want %+v", tt.name, tt.head, got, tt.want)
		}
	}
}

func TestReadExecutableCarriageReturn(t *testing.T) {
	got := readExecutable([]byte("#!/bin/sh\r\necho\r\n"))
	if !strings.Contains(got.problem, "carriage return (CR LF") {
		t.Errorf("problem = %q; want one about the carriage return", got.problem)
	}
}

func TestReadExecutableOfAnotherMachine(t *testing.T) {
	tests := []struct {
		head []byte
		want string
	}{
		{image(elf.ELFCLASS64, binary.LittleEndian, elf.EM_RISCV), "is a program for RISC-V, and this machine is "},
		{image(elf.ELFCLASS64, binary.BigEndian, elf.EM_S390), "is a program for S/390, "},
		{image(elf.ELFCLASS32, binary.LittleEndian, elf.EM_386, elf.PT_INTERP), "is a program for x86 (32 bits), "},
		{image(elf.ELFCLASS32, binary.BigEndian, elf.EM_MIPS), "is a program for MIPS, "},
		{image(elf.ELFCLASS64, binary.LittleEndian, 9999), "is a program for machine number 9999, "},
	}
	for _, tt := range tests {
		got := readExecutable(tt.head)
		if !strings.HasPrefix(got.problem, tt.want) {
			t.Errorf("readExecutable = %q; want %q", got.problem, tt.want)
		}
	}
	if got := readExecutable(image(elf.ELFCLASS32, binary.LittleEndian, elf.EM_386, elf.PT_LOAD, elf.PT_INTERP)); got.interpAt != 0x154 || got.interpLen != 19 {
		t.Errorf("interpreter of a 32 bit image at %#x, %d bytes; want 0x154, 19", got.interpAt, got.interpLen)
	}
}

// TestReadExecutableOfThisProgram: the test binary is a program for this machine.
func TestReadExecutableOfThisProgram(t *testing.T) {
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if got := readExecutable(data[:headSize]); got.problem != "" || got.script {
		t.Errorf("readExecutable(this program) = %+v; want no problem", got)
	}
}

func FuzzReadExecutable(f *testing.F) {
	f.Add([]byte("#!/bin/sh\n"))
	f.Add(own(elf.PT_INTERP))
	f.Add(image(elf.ELFCLASS32, binary.BigEndian, elf.EM_MIPS, elf.PT_INTERP))
	f.Fuzz(func(t *testing.T, head []byte) {
		got := readExecutable(head)
		if got.script && len(got.interpreter) > scriptLine {
			t.Errorf("the interpreter has %d bytes", len(got.interpreter))
		}
		if got.script && got.interpLen != 0 {
			t.Error("both a script and an ELF image")
		}
	})
}

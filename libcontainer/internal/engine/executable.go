package engine

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strconv"
	"strings"
)

// headSize is the number of bytes that are read of a file. They contain its ELF
// header and program headers, or its #! line.
const headSize = 4096

// executable holds the facts that the head of a file tells about its execution.
type executable struct {
	script      bool
	interpreter string // of the #! line; the ELF interpreter's name is at interpAt
	interpAt    uint64 // offset and length of the ELF interpreter's name, 0 for none
	interpLen   uint64
	problem     string // why the kernel refuses to execute it; "" if no reason is known
}

// readExecutable parses the head of a file as the kernel does (fs/exec.c,
// fs/binfmt_elf.c, fs/binfmt_script.c).
func readExecutable(head []byte) executable {
	switch {
	case len(head) == 0:
		return executable{problem: "is empty"}
	case bytes.HasPrefix(head, []byte("#!")):
		return readScript(head[2:])
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return readELF(head)
	}
	return executable{problem: "is neither an ELF image nor a script with a #! line"}
}

// scriptLine is the part of a #! line that the kernel reads (BINPRM_BUF_SIZE).
const scriptLine = 256 - len("#!")

func readScript(rest []byte) executable {
	line, _, _ := bytes.Cut(rest[:min(len(rest), scriptLine)], []byte("\n"))
	name := bytes.TrimLeft(line, " \t")
	if end := bytes.IndexAny(name, " \t\x00"); end >= 0 {
		name = name[:end]
	}
	e := executable{script: true, interpreter: string(name)}
	switch {
	case len(name) == 0:
		e.problem = "has a #! line that names no program"
	case bytes.HasSuffix(name, []byte("\r")):
		e.problem = "has a #! line that ends in a carriage return (CR LF line ends): the kernel takes that for a part of the name"
	}
	return e
}

// elfLayout holds offsets in the ELF header and in a program header, for files of
// 64 or 32 bits (elf(5)).
type elfLayout struct {
	header, phoff, phentsize, phnum int
	phsize, offset, filesz          int
	word                            func(binary.ByteOrder, []byte) uint64
}

func layoutELF(class byte) (elfLayout, bool) {
	switch class {
	case 1:
		return elfLayout{52, 28, 42, 44, 32, 4, 16, func(o binary.ByteOrder, b []byte) uint64 { return uint64(o.Uint32(b)) }}, true
	case 2:
		return elfLayout{64, 32, 54, 56, 56, 8, 32, func(o binary.ByteOrder, b []byte) uint64 { return o.Uint64(b) }}, true
	}
	return elfLayout{}, false
}

func readELF(head []byte) executable {
	const damaged = "is a damaged ELF image"
	const classAt, orderAt, machineAt = 4, 5, 18
	if len(head) < 52 {
		return executable{problem: damaged}
	}
	l, ok := layoutELF(head[classAt])
	var order binary.ByteOrder = binary.LittleEndian
	if head[orderAt] == 2 {
		order = binary.BigEndian
	}
	if !ok || len(head) < l.header {
		return executable{problem: damaged}
	}
	e := executable{problem: foreign(order.Uint16(head[machineAt:]), head[classAt], head[orderAt])}
	e.findInterpreter(head, l, order)
	return e
}

func (e *executable) findInterpreter(head []byte, l elfLayout, order binary.ByteOrder) {
	const ptInterp = 3
	at, size := l.word(order, head[l.phoff:]), uint64(order.Uint16(head[l.phentsize:]))
	for range order.Uint16(head[l.phnum:]) {
		if size < uint64(l.phsize) || at > uint64(len(head)-l.phsize) {
			return // the headers are damaged, or farther from the start than any linker puts them
		}
		ph := head[at:]
		if order.Uint32(ph) == ptInterp {
			e.interpAt, e.interpLen = l.word(order, ph[l.offset:]), l.word(order, ph[l.filesz:])
			return
		}
		at += size
	}
}

// machines lists the common values of e_machine (<linux/elf-em.h>).
var machines = [...]struct {
	number uint16
	name   string
	goarch string // of the 64-bit variant
}{
	{3, "x86 (32 bits)", ""},
	{8, "MIPS", ""},
	{20, "PowerPC (32 bits)", ""},
	{21, "PowerPC (64 bits)", "ppc64le"},
	{22, "S/390", "s390x"},
	{40, "ARM (32 bits)", ""},
	{42, "SuperH", ""},
	{43, "SPARC", ""},
	{62, "x86-64", "amd64"},
	{183, "arm64", "arm64"},
	{243, "RISC-V", "riscv64"},
	{258, "LoongArch", "loong64"},
}

func machineName(number uint16) string {
	for _, m := range machines {
		if m.number == number {
			return m.name
		}
	}
	return "machine number " + strconv.Itoa(int(number))
}

// foreign returns a clause if an image is for another machine than this one,
// otherwise "".
func foreign(machine uint16, class, order byte) string {
	own := ""
	for _, m := range machines {
		if m.goarch == runtime.GOARCH {
			own = m.name
			if m.number == machine && class == 2 && order == ownOrder() {
				return ""
			}
		}
	}
	if own == "" {
		return ""
	}
	return "is a program for " + machineName(machine) + ", and this machine is " + own
}

// ownOrder returns this machine's byte order, as the ELF header has it (EI_DATA).
func ownOrder() byte {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return 2
	}
	return 1
}

// interpreterName returns the name in the bytes at interpAt.
func interpreterName(p []byte) string {
	name, _, _ := strings.Cut(string(p), "\x00")
	return name
}

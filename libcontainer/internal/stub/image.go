package stub

import (
	"encoding/binary"
	"unsafe"
)

// ne is the byte order of the machine, of the image, and of the stub's input.
var ne = binary.NativeEndian

// The image is at most one page: ELF header, three program headers, the number of the
// control descriptor, and the code.
//
//	  0  ELF header          64
//	 64  PT_LOAD   r-x  the image itself, at ImageBase
//	120  PT_LOAD   rw-  the arena: no bytes in the file, zeroes at ArenaBase
//	176  PT_GNU_STACK rw-   no executable stack
//	232  control descriptor  u32
//	240  code
const (
	ehSize     = 64
	phSize     = 56
	ctlOffset  = ehSize + 3*phSize
	codeOffset = ctlOffset + 8

	ptLoad, ptGNUStack = 1, 0x6474e551
	pfX, pfW, pfR      = 1, 2, 4

	controlWord = ImageBase + ctlOffset
)

// endMark follows the last instruction of the loop.
const endMark = 0x1dea11ed0ff1ce5a

// code returns the machine code of the loop. The end mark follows it, at an offset that
// is a multiple of 2, the shortest instruction of riscv64 and s390x. The bound is far
// above the length of the loop.
func code(begin unsafe.Pointer) []byte {
	const bound = 2048
	text := unsafe.Slice((*byte)(begin), bound)
	for n := 0; n+8 <= bound; n += 2 {
		if ne.Uint64(text[n:]) == endMark {
			return text[:n:n]
		}
	}
	panic("BUG: the stub's code has no end mark")
}

// Image returns the executable: an ET_EXEC file for this machine. Its control socket is
// descriptor control.
func Image(control int, t Timing) []byte {
	text := code(t.text())
	b := make([]byte, codeOffset+len(text))
	copy(b[codeOffset:], text)
	ne.PutUint32(b[ctlOffset:], uint32(control))

	copy(b, "\x7fELF\x02")  // 64-bit
	b[5], b[6] = elfData, 1 // byte order, version
	ne.PutUint16(b[16:], 2) // ET_EXEC
	ne.PutUint16(b[18:], machine)
	ne.PutUint32(b[20:], 1)
	ne.PutUint64(b[24:], ImageBase+codeOffset) // e_entry
	ne.PutUint64(b[32:], ehSize)               // e_phoff
	ne.PutUint32(b[48:], elfFlags)
	ne.PutUint16(b[52:], ehSize)
	ne.PutUint16(b[54:], phSize)
	ne.PutUint16(b[56:], 3)

	putSegment(b[ehSize:], ptLoad, pfR|pfX, ImageBase, len(b), len(b))
	putSegment(b[ehSize+phSize:], ptLoad, pfR|pfW, ArenaBase, 0, ArenaSize)
	putSegment(b[ehSize+2*phSize:], ptGNUStack, pfR|pfW, 0, 0, 0)
	return b
}

func putSegment(b []byte, typ, flags uint32, addr uint64, file, mem int) {
	ne.PutUint32(b, typ)
	ne.PutUint32(b[4:], flags)
	ne.PutUint64(b[16:], addr)
	ne.PutUint64(b[24:], addr)
	ne.PutUint64(b[32:], uint64(file))
	ne.PutUint64(b[40:], uint64(mem))
	ne.PutUint64(b[48:], 1<<16) // p_align: 64 KiB suits every page size of arm64, ppc64le and loong64
}

package cgroup

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// This file prints programs like bpftool(8): one numbered line for each instruction; jumps show their target.

func programText(prog []instruction) string {
	var b strings.Builder
	for at := 0; at < len(prog); at++ {
		i := prog[at]
		fmt.Fprintf(&b, "%3d: ", at)
		if i.opcode == wideImm {
			at++
			fmt.Fprintln(&b, wideText(i, prog[at]))
			continue
		}
		fmt.Fprintln(&b, i.text(at))
	}
	return b.String()
}

func wideText(i, next instruction) string {
	if i.src == unix.BPF_PSEUDO_MAP_VALUE {
		return fmt.Sprintf("r%d = map value", i.dst)
	}
	return fmt.Sprintf("r%d = %d ll", i.dst, uint64(uint32(next.imm))<<32|uint64(uint32(i.imm)))
}

// sizes maps the size bits of loads and stores to their names.
var sizes = map[uint8]string{unix.BPF_B: "u8", unix.BPF_H: "u16", unix.BPF_W: "u32", unix.BPF_DW: "u64"}

func (i instruction) text(at int) string {
	switch i.opcode & 7 {
	case unix.BPF_LDX:
		return fmt.Sprintf("r%d = *(%s *)(r%d %+d)", i.dst, sizes[i.opcode&0x18], i.src, i.offset)
	case unix.BPF_STX:
		place := fmt.Sprintf("*(%s *)(r%d %+d)", sizes[i.opcode&0x18], i.dst, i.offset)
		switch {
		case i.opcode&0xe0 != unix.BPF_ATOMIC:
			return fmt.Sprintf("%s = r%d", place, i.src)
		case i.imm == unix.BPF_CMPXCHG:
			return fmt.Sprintf("r0 = cmpxchg(%s, r0, r%d)", place, i.src)
		}
		return fmt.Sprintf("lock %s += r%d", place, i.src)
	case unix.BPF_ALU, unix.BPF_ALU64:
		return i.arithmetic()
	}
	return i.jumpText(at)
}

func (i instruction) operand() string {
	if i.opcode&unix.BPF_X != 0 {
		return fmt.Sprintf("r%d", i.src)
	}
	return fmt.Sprintf("%#x", uint32(i.imm))
}

func (i instruction) arithmetic() string {
	operators := map[uint8]string{
		unix.BPF_MOV: "", unix.BPF_ADD: "+", unix.BPF_SUB: "-", unix.BPF_MUL: "*", unix.BPF_DIV: "/",
		unix.BPF_AND: "&", unix.BPF_LSH: "<<", unix.BPF_RSH: ">>",
	}
	register := "r"
	if i.opcode&7 == unix.BPF_ALU {
		register = "w"
	}
	return fmt.Sprintf("%s%d %s= %s", register, i.dst, operators[i.opcode&0xf0], i.operand())
}

func (i instruction) jumpText(at int) string {
	switch i.opcode & 0xf0 {
	case unix.BPF_EXIT:
		return "exit"
	case unix.BPF_CALL:
		return "call " + map[int32]string{helperNow: "ktime_get_ns", helperLoadBytes: "skb_load_bytes", helperMark: "skb_ecn_set_ce"}[i.imm]
	case unix.BPF_JA:
		return fmt.Sprintf("goto %d", at+1+int(i.offset))
	}
	conditions := map[uint8]string{
		unix.BPF_JEQ: "==", unix.BPF_JNE: "!=", unix.BPF_JGT: ">", unix.BPF_JLT: "<", unix.BPF_JLE: "<=", unix.BPF_JSET: "&",
	}
	register := "r"
	if i.opcode&7 == unix.BPF_JMP32 {
		register = "w"
	}
	return fmt.Sprintf("if %s%d %s %s goto %d", register, i.dst, conditions[i.opcode&0xf0], i.operand(), at+1+int(i.offset))
}

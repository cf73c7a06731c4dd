package cgroup

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// instruction is struct bpf_insn, in host byte order:
//
//	 0        8     12    16          32                      64
//	+--------+-----+-----+-----------+-----------------------+
//	| opcode | dst | src |  offset   |       immediate       |
//	+--------+-----+-----+-----------+-----------------------+
//
// dst and src are four bits each; which half of the byte is which follows the
// byte order too.
type instruction struct {
	opcode   uint8
	dst, src uint8
	offset   int16
	imm      int32
}

// Registers. r1 is the context at the start, r0 the answer at the end.
const (
	rAnswer  = 0
	rContext = 1
	rKind    = 2
	rAccess  = 3
	rMajor   = 4
	rMinor   = 5
)

// Opcodes: class | size or operation | source (linux/bpf_common.h).
const (
	loadWord  = unix.BPF_LDX | unix.BPF_W | unix.BPF_MEM
	moveImm   = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
	moveReg32 = unix.BPF_ALU | unix.BPF_MOV | unix.BPF_X
	andImm32  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	shrImm32  = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K
	jumpIf    = unix.BPF_JMP32 | unix.BPF_JEQ | unix.BPF_K
	jumpIfNot = unix.BPF_JMP32 | unix.BPF_JNE | unix.BPF_K
	jumpIfAny = unix.BPF_JMP32 | unix.BPF_JSET | unix.BPF_K
	jump      = unix.BPF_JMP | unix.BPF_JA
	exit      = unix.BPF_JMP | unix.BPF_EXIT
)

// The two kinds of nodes, BPF_DEVCG_DEV_*.
const (
	blockDevice = 1
	charDevice  = 2
)

// label is a place in the program that jumps go to.
type label int

const (
	standard label = iota // the policy's own answer
	opposite              // the other one
	blocks                // the rules for block devices
	counted               // of the bandwidth programs: the size is known
	waiting               // earlier packets have still to be paid for
	admit                 // the packet may pass
	free                  // the packet passes, and nobody counts it
	labels
)

// assembler builds a program with forward jumps to labels.
type assembler struct {
	code  []instruction
	jumps [labels][]int // where to put the distance to each label
}

func (a *assembler) emit(i ...instruction) { a.code = append(a.code, i...) }

func (a *assembler) jump(opcode, reg uint8, imm int32, to label) {
	a.jumps[to] = append(a.jumps[to], len(a.code))
	a.emit(instruction{opcode, reg, 0, 0, imm})
}

// mark puts a label here.
func (a *assembler) mark(l label) { a.land(a.jumps[l]) }

// land makes the jumps at those places come out here.
func (a *assembler) land(jumps []int) {
	for _, at := range jumps {
		a.code[at].offset = int16(len(a.code) - at - 1)
	}
}

// maxInstructions keeps every jump within its 16 bits.
const maxInstructions = 1 << 15

// program compiles a policy:
//
//	load kind, access, major, minor
//	character devices: rules from the last to the first, then the standard answer
//	block devices: likewise
//
// It is as short as it can be made: the kernel takes about 2 microseconds an
// instruction to check and translate it, which every start of a container waits
// for. Code that is never reached it refuses.
//
//	struct bpf_cgroup_dev_ctx { u32 access_type /* access << 16 | kind */, major, minor; }
func (p policy) program() []instruction {
	var a assembler
	char, block := p.byKind('c'), p.byKind('b')
	if len(p.rules) > 0 {
		a.emit(
			instruction{loadWord, rKind, rContext, 0, 0},
			instruction{moveReg32, rAccess, rKind, 0, 0},
			instruction{andImm32, rKind, 0, 0, 0xffff},
			instruction{shrImm32, rAccess, 0, 0, 16},
			instruction{loadWord, rMajor, rContext, 4, 0},
			instruction{loadWord, rMinor, rContext, 8, 0},
		)
	}
	if len(char) > 0 {
		a.jump(jumpIfNot, rKind, charDevice, blocks)
		if goesOn := a.rules(char, p.allow); goesOn && len(block) > 0 {
			a.jump(jump, 0, 0, standard)
		}
	}
	a.mark(blocks)
	goesOn := true
	if len(block) > 0 {
		// What is not a character device is a block device.
		if len(char) == 0 {
			a.jump(jumpIfNot, rKind, blockDevice, standard)
		}
		goesOn = a.rules(block, p.allow)
	}
	if goesOn || len(a.jumps[standard]) > 0 {
		a.mark(standard)
		a.emit(answer(p.allow)...)
	}
	if len(a.jumps[opposite]) > 0 {
		a.mark(opposite)
		a.emit(answer(!p.allow)...)
	}
	return a.code
}

// byKind are the rules for one kind of nodes, the last one first.
func (p policy) byKind(kind byte) []rule {
	var rs []rule
	for i := len(p.rules) - 1; i >= 0; i-- {
		if p.rules[i].kind == kind {
			rs = append(rs, p.rules[i])
		}
	}
	return rs
}

// rules compiles rules of one kind. False if one decides in any case; those
// before it do not count then.
func (a *assembler) rules(rs []rule, standardAllow bool) bool {
	for _, r := range rs {
		verdict := standard
		if r.allow != standardAllow {
			verdict = opposite
		}
		if !a.rule(r, verdict) {
			return false
		}
	}
	return true
}

// rule compiles one rule: an allowing one takes its bits out of the request, and
// grants it when none is left; a denying one refuses when it has a bit of the
// request. False if it does so for every device and access.
func (a *assembler) rule(r rule, verdict label) bool {
	var skips []int
	unless := func(reg uint8, value int64) {
		if value != wildcard {
			skips = append(skips, len(a.code))
			a.emit(instruction{jumpIfNot, reg, 0, 0, int32(uint32(value))})
		}
	}
	unless(rMajor, r.major)
	unless(rMinor, r.minor)
	switch {
	case r.access == allAccess && len(skips) > 0:
		// The last comparison decides: turn it around.
		last := &a.code[len(a.code)-1]
		last.opcode = jumpIf
		skips = skips[:len(skips)-1]
		a.jumps[verdict] = append(a.jumps[verdict], len(a.code)-1)
	case r.access == allAccess:
		a.jump(jump, 0, 0, verdict)
		return false
	case r.allow:
		a.emit(instruction{andImm32, rAccess, 0, 0, int32(allAccess &^ r.access)})
		a.jump(jumpIf, rAccess, 0, verdict)
	default:
		a.jump(jumpIfAny, rAccess, int32(r.access), verdict)
	}
	a.land(skips)
	return true
}

func answer(allow bool) []instruction {
	var v int32
	if allow {
		v = 1
	}
	return []instruction{{moveImm, rAnswer, 0, 0, v}, {exit, 0, 0, 0, 0}}
}

// encode is the program as the kernel takes it.
func encode(prog []instruction) []byte {
	order := binary.NativeEndian
	big := order.Uint16([]byte{0, 1}) == 1
	code := make([]byte, 0, len(prog)*8)
	for _, i := range prog {
		regs := i.src<<4 | i.dst
		if big {
			regs = i.dst<<4 | i.src
		}
		code = append(code, i.opcode, regs)
		code = order.AppendUint16(code, uint16(i.offset))
		code = order.AppendUint32(code, uint32(i.imm))
	}
	return code
}

// devicesHook is where the device rules are.
func devicesHook() hook {
	return hook{name: "onggi_devices", program: unix.BPF_PROG_TYPE_CGROUP_DEVICE, place: unix.BPF_CGROUP_DEVICE}
}

// attachDevices makes p the device policy of a cgroup2 cgroup: instead of our
// program from before in one step, or beside the programs of others, all of which
// must allow an access. The program lives as long as the cgroup.
func attachDevices(g group, p policy) error {
	code := p.program()
	if err := p.checkSize(code); err != nil {
		return err
	}
	fail := func(op string, err error) error {
		return &FileError{Field: resources + "/devices", Op: op, Path: g.path, Err: err}
	}
	h := devicesHook()
	prog, err := h.load(code)
	if err != nil {
		return fail("bpf(BPF_PROG_LOAD) of the device rules for", err)
	}
	defer unix.Close(prog)
	old, err := h.attached(g.fd)
	if err != nil {
		return fail("bpf(BPF_PROG_QUERY) on", err)
	}
	if old >= 0 {
		defer unix.Close(old)
	}
	if err := h.replace(g.fd, old, prog); err != nil {
		return fail("bpf(BPF_PROG_ATTACH) to", err)
	}
	return nil
}

func (p policy) checkSize(program []instruction) error {
	if len(program) > maxInstructions {
		return fmt.Errorf("%s/devices: %d rules are more than a device program can have", resources, len(p.rules))
	}
	return nil
}

package cgroup

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// instruction is struct bpf_insn, in host byte order:
//
//	 0        8     12    16          32                      64
//	+--------+-----+-----+-----------+-----------------------+
//	| opcode | dst | src |  offset   |       immediate       |
//	+--------+-----+-----+-----------+-----------------------+
//
// dst and src have four bits each. The host byte order also decides which of them
// is the low half of the byte.
type instruction struct {
	opcode   uint8
	dst, src uint8
	offset   int16
	imm      int32
}

// Registers. r1 is the context at the start, r0 the return value at the end.
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

// The two kinds of device nodes, BPF_DEVCG_DEV_*.
const (
	blockDevice = 1
	charDevice  = 2
)

// label is the target of forward jumps in a program.
type label int

const (
	standard label = iota // return the policy's default answer
	opposite              // return the opposite answer
	blocks                // the rules for block devices
	counted               // bandwidth programs: the size is known
	waiting               // bandwidth programs: earlier packets have not left yet
	admit                 // bandwidth programs: charge the packet and let it pass
	free                  // bandwidth programs: let the packet pass
	labels
)

// assembler builds a program with forward jumps to labels.
type assembler struct {
	code  []instruction
	jumps [labels][]int // per label: indices of the jumps that lead there
}

func (a *assembler) emit(i ...instruction) { a.code = append(a.code, i...) }

func (a *assembler) jump(opcode, reg uint8, imm int32, to label) {
	a.jumps[to] = append(a.jumps[to], len(a.code))
	a.emit(instruction{opcode, reg, 0, 0, imm})
}

// mark places a label at the current end of the code.
func (a *assembler) mark(l label) { a.land(a.jumps[l]) }

// land makes the given jumps lead to the current end of the code.
func (a *assembler) land(jumps []int) {
	for _, at := range jumps {
		a.code[at].offset = int16(len(a.code) - at - 1)
	}
}

// maxInstructions keeps every jump distance within its 16 bits.
const maxInstructions = 1 << 15

// The most instructions that a program has for each rule, and besides the rules. The code is
// allocated once: each size that a growing list passes touches new pages.
const (
	ruleCode  = 4 // two comparisons of numbers, the access, and a jump
	fixedCode = 16
)

// program compiles a policy:
//
//	load kind, access, major, minor
//	character devices: rules from the last to the first, then the default answer
//	block devices: likewise
//
// The program is as short as possible. The kernel takes about 2 microseconds to
// verify and translate one instruction, and every container start waits for that.
// The verifier refuses unreachable code, so program emits none.
//
//	struct bpf_cgroup_dev_ctx { u32 access_type /* access << 16 | kind */, major, minor; }
func (p policy) program() []instruction {
	a := assembler{code: make([]instruction, 0, fixedCode+ruleCode*len(p.rules))}
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
		// The char rules have excluded character devices already. Without them, check
		// the kind here.
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

// byKind returns the rules for one kind of device nodes, the last one first.
func (p policy) byKind(kind byte) []rule {
	rs := make([]rule, 0, len(p.rules))
	for i := len(p.rules) - 1; i >= 0; i-- {
		if p.rules[i].kind == kind {
			rs = append(rs, p.rules[i])
		}
	}
	return rs
}

// rules compiles rules of one kind, the last one of the policy first. It returns
// false if a rule decides in every case: code after it would be unreachable, and
// the remaining rules have no effect.
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

// rule compiles one rule. An allowing rule clears its access bits in the request
// and allows the request when no bit is left. A denying rule denies the request if
// they share a bit. rule returns false if the rule decides for every device and
// access.
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
		// The last comparison decides: invert it and jump to the verdict.
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

// encode returns the program in the kernel's binary form.
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

// devicesHook returns the hook of the device program.
func devicesHook() hook {
	return hook{name: "onggi_devices", program: unix.BPF_PROG_TYPE_CGROUP_DEVICE, place: unix.BPF_CGROUP_DEVICE}
}

// attachDevices makes p the device policy of a cgroup2 cgroup. It replaces our
// earlier program in one step. Programs of others stay attached beside it; the
// kernel allows an access only if all programs allow it. The program lives as long
// as the cgroup.
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
		return fieldError(resources+"/devices", "%d rules are more than a device program can have", len(p.rules))
	}
	return nil
}

package seccomp

import (
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// answerENOSYS changes a program so that new syscalls get ENOSYS. A profile that
// denies by default also denies the syscalls that its author could not know, and
// with the wrong errno: a libc that meets ENOSYS falls back to an older syscall,
// a libc that meets EPERM gives up. So a syscall with a higher number than any
// that the profile names gets ENOSYS instead of the default action.
//
// libseccomp has no rule for "all numbers above". So answerENOSYS replaces each
// `ret default` by a jump, in the same eight bytes, to a tail that compares the
// number once more. Syscalls that match a rule, and so all that are allowed, take
// exactly the path that libseccomp laid out.
//
//	ld  arch
//	jeq #arch1, next, skip          one block an architecture
//	ld  nr
//	jge #low, next, skip            one group a range of numbers
//	jgt #high, skip, next
//	ret ENOSYS
//	ret default
//	...
//	ret default
func answerENOSYS(code []byte, defaultAction uint32, named []ruleset.Named) []byte {
	blocks := newer(named)
	if !denies(defaultAction) || len(blocks) == 0 {
		return code
	}
	last := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: defaultAction}
	tail := len(code)
	for pc := 0; pc < tail; pc += unix.SizeofSockFilter {
		if decode(code[pc:]) == last {
			jump := uint32(tail-pc)/unix.SizeofSockFilter - 1
			encode(code[:pc], unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: jump})
		}
	}
	code = encode(code, load(offsetArch))
	for _, b := range blocks {
		code = append(code, b.assemble(last)...)
	}
	return encode(code, last)
}

// denies reports whether a default action denies, so that ENOSYS may take its
// place. TRACE does not: a tracer that sees every other syscall wants the new
// ones too.
func denies(defaultAction uint32) bool {
	switch defaultAction & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_KILL_PROCESS, unix.SECCOMP_RET_KILL_THREAD, unix.SECCOMP_RET_TRAP:
		return true
	case unix.SECCOMP_RET_ERRNO:
		return defaultAction != retENOSYS
	}
	return false
}

const retENOSYS = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)

// struct seccomp_data: int nr; __u32 arch; ...
const (
	offsetNumber = 0
	offsetArch   = 4
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// A block has the numbers of one AUDIT_ARCH_* that are newer than a profile.
type block struct {
	audit  uint32
	ranges []span
}

// A span is a range of syscall numbers, both ends included.
type span struct{ low, high uint32 }

func (b block) assemble(last unix.SockFilter) []byte {
	const perRange = 3
	skip := uint8(1 + perRange*len(b.ranges) + 1)
	code := encode(nil, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: skip, K: b.audit})
	code = encode(code, load(offsetNumber))
	for _, r := range b.ranges {
		code = encode(code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, Jf: 2, K: r.low})
		code = encode(code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, Jt: 1, K: r.high})
		code = encode(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: retENOSYS})
	}
	return encode(code, last)
}

// newer returns the numbers beyond those that a profile names. An architecture
// without any named syscall has no block.
func newer(named []ruleset.Named) []block {
	var blocks []block
	for _, n := range named {
		a, ok := archOf(n.Token)
		ranges := beyond(a.name, n.Numbers)
		if !ok || len(ranges) == 0 {
			continue
		}
		if i := blockOf(blocks, a.audit); i >= 0 {
			blocks[i].ranges = append(blocks[i].ranges, ranges...)
			continue
		}
		blocks = append(blocks, block{a.audit, ranges})
	}
	return blocks
}

func blockOf(blocks []block, audit uint32) int {
	for i := range blocks {
		if blocks[i].audit == audit {
			return i
		}
	}
	return -1
}

// These numbers do not follow the order in which syscalls were added.
const (
	// x32 shares AUDIT_ARCH_X86_64. Its numbers have bit 30 set
	// (arch/x86/include/uapi/asm/unistd.h).
	x32Bit = 0x40000000

	// x32 had 512 to 547 from its start. Its new numbers are below or above
	// them (arch/x86/entry/syscalls/syscall_64.tbl).
	x32OldLow  = x32Bit + 512
	x32OldHigh = x32Bit + 547

	// From here on are cacheflush and similar calls, as old as 32-bit ARM
	// (arch/arm/include/uapi/asm/unistd.h).
	armPrivate = 0x0f0000

	// All other numbers are below -1. A tracer writes -1, which is no syscall,
	// in place of the number of a syscall that it has answered itself.
	noNumber = 0xffffffff
)

// beyond returns the ranges of an architecture's numbers that are newer than
// the newest of those given.
func beyond(arch string, numbers []uint32) []span {
	switch arch {
	case "SCMP_ARCH_X86_64":
		return above(numbers, x32Bit)
	case "SCMP_ARCH_X32":
		ranges := above(numbers, x32OldLow)
		if len(ranges) == 0 {
			return nil
		}
		return append(ranges, span{x32OldHigh + 1, noNumber - 1})
	case "SCMP_ARCH_ARM":
		return above(numbers, armPrivate)
	}
	return above(numbers, noNumber)
}

// above returns the range from behind the largest number below a limit up to the limit.
func above(numbers []uint32, limit uint32) []span {
	found, newest := false, uint32(0)
	for _, n := range numbers {
		if n < limit {
			found, newest = true, max(newest, n)
		}
	}
	if !found || newest+1 == limit {
		return nil
	}
	return []span{{newest + 1, limit - 1}}
}

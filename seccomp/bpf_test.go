package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A call is struct seccomp_data without the instruction pointer.
type call struct {
	nr   uint32
	arch uint32
	args [6]uint64
}

// word returns four bytes of struct seccomp_data on a little-endian machine:
// nr, arch, instruction pointer, args.
func (c call) word(t testing.TB, offset uint32) uint32 {
	switch {
	case offset == offsetNumber:
		return c.nr
	case offset == offsetArch:
		return c.arch
	case offset >= 16 && offset < 64 && offset%4 == 0:
		return uint32(c.args[(offset-16)/8] >> (8 * (offset % 8)))
	}
	t.Fatalf("program loads offset %d", offset)
	return 0
}

// run interprets a program as the kernel does, with the instructions that
// libseccomp and enosys.go use (seccomp_check_filter in kernel/seccomp.c has the
// whole list).
func run(t testing.TB, code []byte, c call) uint32 {
	t.Helper()
	var a, x uint32
	var memory [16]uint32
	n := len(code) / unix.SizeofSockFilter
	for pc := 0; pc < n; pc++ {
		i := decode(code[pc*unix.SizeofSockFilter:])
		jump := func(taken bool) {
			if taken {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = c.word(t, i.K)
		case unix.BPF_LD | unix.BPF_MEM:
			a = memory[i.K]
		case unix.BPF_ST:
			memory[i.K] = a
		case unix.BPF_MISC | unix.BPF_TAX:
			x = a
		case unix.BPF_MISC | unix.BPF_TXA:
			a = x
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(i.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(a == i.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(a > i.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(a >= i.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(a&i.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		default:
			t.Fatalf("instruction %d: code %#x", pc, i.Code)
		}
	}
	t.Fatal("program without an end")
	return 0
}

// program returns the bytes of instructions.
func program(instructions ...unix.SockFilter) []byte {
	var code []byte
	for _, i := range instructions {
		code = encode(code, i)
	}
	return code
}

func TestEncodeDecode(t *testing.T) {
	want := unix.SockFilter{Code: 0x1234, Jt: 5, Jf: 6, K: 0x789abcde}
	if got := decode(encode(nil, want)); got != want {
		t.Errorf("decode(encode(%v)) = %v", want, got)
	}
}

func TestNotifies(t *testing.T) {
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	tests := []struct {
		name string
		code []byte
		want bool
	}{
		{"allow", program(ret(unix.SECCOMP_RET_ALLOW)), false},
		{"notify", program(ret(unix.SECCOMP_RET_ALLOW), ret(unix.SECCOMP_RET_USER_NOTIF)), true},
		{"a constant", program(unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF}, ret(0)), false},
	}
	for _, tt := range tests {
		if got := notifies(tt.code); got != tt.want {
			t.Errorf("notifies(%s) = %v; want %v", tt.name, got, tt.want)
		}
	}
}

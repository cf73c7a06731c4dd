#include "textflag.h"
#include "go_asm.h"

// ARG loads argument i of the call at R12 into reg. If bit i of the loads (BX) is set,
// the argument is an address, and ARG loads the u32 stored there.
#define ARG(i, reg) \
	MOVQ (const_offArgs+8*i)(R12), reg; \
	BTL  $i, BX; \
	JCC  2(PC); \
	MOVL (reg), reg

// func text()
//
// This program never calls it. It is copied into the image, and execve enters it with
// a stack that it does not use. loop_amd64.h is its body.
//
//	R15  control descriptor
//	R12  address of the call
//	R13  calls left
//	R14  address of the stamps, 0 for none
//	BX   loads of the call; after it, its result
//	BP   not 0: a call of the last batch has failed
//
//	for n = recvfrom(control, ArenaBase, ArenaSize, 0, 0, 0); n > 0 {
//		if n < HeaderSize || behind && failed { continue }
//		failed = false
//		stamps[0] = now
//		for each call {
//			*call.result = r = syscall(call.nr, args)
//			stamps[1 + index of the call] = now
//			switch {
//			case r < 0 && !tolerated: failed = true; break out
//			case r < 0:     skip call.onFail
//			case r == 0:    skip call.onZero
//			default:        skip call.onPos
//			}
//		}
//		if sendto(control, reply, MSG_NOSIGNAL) < 0 { break }
//	}
//	exit_group(ExitLost)
//	trap, if a seccomp filter has refused exit_group
//
// This variant has no stamps.
TEXT ·text(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_amd64.h"

// STAMP stores the time at SI. It may change AX, CX, DX, DI and R11.
#define STAMP \
	RDTSC; \
	SHLQ $32, DX; \
	ORQ  DX, AX; \
	MOVQ AX, (SI)

// func counterText()
//
// The loop with stamps of the time-stamp counter.
TEXT ·counterText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_amd64.h"

#undef STAMP
#define STAMP \
	MOVL $const_stampClock, DI; \
	MOVL $const_sysClockGettime, AX; \
	SYSCALL

// func clockText()
//
// The loop with stamps of clock_gettime(2). Each stamp is one more system call.
TEXT ·clockText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_amd64.h"

// func textAddr() unsafe.Pointer
TEXT ·textAddr(SB), NOSPLIT, $0-8
	LEAQ ·text(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func counterTextAddr() unsafe.Pointer
TEXT ·counterTextAddr(SB), NOSPLIT, $0-8
	LEAQ ·counterText(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func clockTextAddr() unsafe.Pointer
TEXT ·clockTextAddr(SB), NOSPLIT, $0-8
	LEAQ ·clockText(SB), AX
	MOVQ AX, ret+0(FP)
	RET

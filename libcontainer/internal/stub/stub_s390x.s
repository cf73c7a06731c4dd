#include "textflag.h"
#include "go_asm.h"

// ARG loads argument i of the call at R9 into reg. If bit i of the loads (R14) is set,
// the argument is an address, and ARG loads the u32 stored there.
#define ARG(i, reg) \
	MOVD    (const_offArgs+8*i)(R9), reg; \
	TMLL    R14, $(1<<i); \
	BEQ     2(PC); \
	MOVWZ   (reg), reg

// func text()
//
// This program never calls it. It is copied into the image, and execve enters it with
// a stack that it does not use. loop_s390x.h is its body. stub_amd64.s has the loop in
// pseudo-code.
//
//	R8   control descriptor
//	R9   address of the call
//	R12  calls left
//	R14  loads of the call; after it, its result
//	R1   number of the call, and scratch
//	R15  address of the stamps, 0 for none
//	g    not 0: a call of the last batch has failed (R13; the loop has no goroutine)
//
// This variant has no stamps.
TEXT ·text(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_s390x.h"

// STAMP stores the time at R3. It may change R1 to R7. The clock counts from 1900 and
// today has its highest bit set, so a stamp is half of it: an int64 that is not negative.
#define STAMP \
	STCKF (R3); \
	MOVD  (R3), R1; \
	SRD   $1, R1; \
	MOVD  R1, (R3)

// func counterText()
//
// The loop with stamps of the time-of-day clock.
TEXT ·counterText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_s390x.h"

#undef STAMP
#define STAMP \
	MOVD $const_stampClock, R2; \
	MOVD $const_sysClockGettime, R1; \
	SYSCALL

// func clockText()
//
// The loop with stamps of clock_gettime(2). Each stamp is one more system call.
TEXT ·clockText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_s390x.h"

// func textAddr() unsafe.Pointer
TEXT ·textAddr(SB), NOSPLIT, $0-8
	MOVD $·text(SB), R2
	MOVD R2, ret+0(FP)
	RET

// func counterTextAddr() unsafe.Pointer
TEXT ·counterTextAddr(SB), NOSPLIT, $0-8
	MOVD $·counterText(SB), R2
	MOVD R2, ret+0(FP)
	RET

// func clockTextAddr() unsafe.Pointer
TEXT ·clockTextAddr(SB), NOSPLIT, $0-8
	MOVD $·clockText(SB), R2
	MOVD R2, ret+0(FP)
	RET

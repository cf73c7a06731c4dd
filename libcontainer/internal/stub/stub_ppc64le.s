#include "textflag.h"
#include "go_asm.h"

// ARG loads argument i of the call at R15 into reg. If bit i of the loads (R17) is set,
// the argument is an address, and ARG loads the u32 stored there.
#define ARG(i, reg) \
	MOVD  (const_offArgs+8*i)(R15), reg; \
	ANDCC $(1<<i), R17, R18; \
	BEQ   2(PC); \
	MOVWZ (reg), reg

// DO makes the system call with the number in R10. The kernel reports a failure
// by the summary overflow bit and a positive errno (Power Architecture 64-bit
// ELF V2 ABI, "System call sequence"); DO makes the errno negative. R0 is 0
// before and after.
#define DO \
	SYSCALL R10; \
	NEG     R3, R4; \
	ISEL    CR0SO, R4, R3, R3

// func text()
//
// This program never calls it. It is copied into the image, and execve enters it with
// a stack that it does not use. loop_ppc64le.h is its body. stub_amd64.s has the loop in
// pseudo-code.
//
//	R14  control descriptor
//	R15  address of the call
//	R16  calls left
//	R17  loads of the call; after it, its result
//	R18  scratch
//	R19  address of the stamps, 0 for none
//	R20  not 0: a call of the last batch has failed
//
// This variant has no stamps.
TEXT ·text(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_ppc64le.h"

// STAMP stores the time at R4. It may change R3 to R12 and R18.
#define STAMP \
	MOVD SPR(268), R18; \
	MOVD R18, (R4)

// func counterText()
//
// The loop with stamps of the time base.
TEXT ·counterText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_ppc64le.h"

#undef STAMP
#define STAMP \
	MOVD    $const_stampClock, R3; \
	MOVD    $const_sysClockGettime, R10; \
	SYSCALL R10

// func clockText()
//
// The loop with stamps of clock_gettime(2). Each stamp is one more system call.
TEXT ·clockText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_ppc64le.h"

// func textAddr() unsafe.Pointer
TEXT ·textAddr(SB), NOSPLIT, $0-8
	MOVD $·text(SB), R3
	MOVD R3, ret+0(FP)
	RET

// func counterTextAddr() unsafe.Pointer
TEXT ·counterTextAddr(SB), NOSPLIT, $0-8
	MOVD $·counterText(SB), R3
	MOVD R3, ret+0(FP)
	RET

// func clockTextAddr() unsafe.Pointer
TEXT ·clockTextAddr(SB), NOSPLIT, $0-8
	MOVD $·clockText(SB), R3
	MOVD R3, ret+0(FP)
	RET

#include "textflag.h"
#include "go_asm.h"

// ARG loads argument i of the call at R24 into reg. If bit i of the loads (R26) is set,
// the argument is an address, and ARG loads the u32 stored there.
#define ARG(i, reg) \
	MOVV  (const_offArgs+8*i)(R24), reg; \
	AND   $(1<<i), R26, R12; \
	BEQ   R12, 2(PC); \
	MOVWU (reg), reg

// func text()
//
// This program never calls it. It is copied into the image, and execve enters it with
// a stack that it does not use. loop_loong64.h is its body. stub_amd64.s has the loop in
// pseudo-code.
//
//	R23  control descriptor
//	R24  address of the call
//	R25  calls left
//	R26  loads of the call; after it, its result
//	R27  scratch
//	R28  address of the stamps, 0 for none
//	R29  not 0: a call of the last batch has failed
//
// The kernel preserves R22 to R31; R30 is the assembler's.
//
// This variant has no stamps.
TEXT ·text(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_loong64.h"

// STAMP stores the time at R5. It may change R4 to R20.
#define STAMP \
	RDTIMED R6, R7; \
	MOVV    R7, (R5)

// func counterText()
//
// The loop with stamps of the stable counter.
TEXT ·counterText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_loong64.h"

#undef STAMP
#define STAMP \
	MOVV $const_stampClock, R4; \
	MOVV $const_sysClockGettime, R11; \
	SYSCALL

// func clockText()
//
// The loop with stamps of clock_gettime(2). Each stamp is one more system call.
TEXT ·clockText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_loong64.h"

// func textAddr() unsafe.Pointer
TEXT ·textAddr(SB), NOSPLIT, $0-8
	MOVV $·text(SB), R4
	MOVV R4, ret+0(FP)
	RET

// func counterTextAddr() unsafe.Pointer
TEXT ·counterTextAddr(SB), NOSPLIT, $0-8
	MOVV $·counterText(SB), R4
	MOVV R4, ret+0(FP)
	RET

// func clockTextAddr() unsafe.Pointer
TEXT ·clockTextAddr(SB), NOSPLIT, $0-8
	MOVV $·clockText(SB), R4
	MOVV R4, ret+0(FP)
	RET

#include "textflag.h"
#include "go_asm.h"

// ARG loads argument i of the call at R20 into reg. If bit i of the loads (R22) is set,
// the argument is an address, and ARG loads the u32 stored there.
#define ARG(i, reg) \
	MOVD (const_offArgs+8*i)(R20), reg; \
	TBZ  $i, R22, 2(PC); \
	MOVWU (reg), reg

// func text()
//
// This program never calls it. It is copied into the image, and execve enters it with
// a stack that it does not use. loop_arm64.h is its body. stub_amd64.s has the loop in
// pseudo-code.
//
//	R19  control descriptor
//	R20  address of the call
//	R21  calls left
//	R22  loads of the call; after it, its result
//	R23  scratch
//	R24  address of the stamps, 0 for none
//	R25  not 0: a call of the last batch has failed
TEXT ·text(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_arm64.h"

// STAMP stores the time at R1. It may change R0 to R8.
#define STAMP \
	ISB  $15; \
	MRS  CNTVCT_EL0, R2; \
	MOVD R2, (R1)

// func counterText()
//
// The loop with stamps of the virtual counter.
TEXT ·counterText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_arm64.h"

#undef STAMP
#define STAMP \
	MOVD $const_stampClock, R0; \
	MOVD $const_sysClockGettime, R8; \
	SVC

// func clockText()
//
// The loop with stamps of clock_gettime(2). Each stamp is one more system call.
TEXT ·clockText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_arm64.h"

// func textAddr() unsafe.Pointer
TEXT ·textAddr(SB), NOSPLIT, $0-8
	MOVD $·text(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func counterTextAddr() unsafe.Pointer
TEXT ·counterTextAddr(SB), NOSPLIT, $0-8
	MOVD $·counterText(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func clockTextAddr() unsafe.Pointer
TEXT ·clockTextAddr(SB), NOSPLIT, $0-8
	MOVD $·clockText(SB), R0
	MOVD R0, ret+0(FP)
	RET

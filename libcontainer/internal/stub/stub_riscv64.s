#include "textflag.h"
#include "go_asm.h"

// ARG loads argument i of the call at X19 into reg. If bit i of the loads (X21) is set,
// the argument is an address, and ARG loads the u32 stored there.
#define ARG(i, reg) \
	MOV  (const_offArgs+8*i)(X19), reg; \
	AND  $(1<<i), X21, X5; \
	BEQZ X5, 2(PC); \
	MOVWU (reg), reg

// func text()
//
// This program never calls it. It is copied into the image, and execve enters it with
// a stack that it does not use. loop_riscv64.h is its body. stub_amd64.s has the loop in
// pseudo-code.
//
//	X18  control descriptor
//	X19  address of the call
//	X20  calls left
//	X21  loads of the call; after it, its result
//	X22  scratch
//	X23  address of the stamps, 0 for none
//	X24  not 0: a call of the last batch has failed
//
// This variant has no stamps.
TEXT ·text(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_riscv64.h"

// STAMP stores the time at X11. It may change X5 and X10 to X17.
#define STAMP \
	RDTIME X5; \
	MOV    X5, (X11)

// func counterText()
//
// The loop with stamps of the time counter.
TEXT ·counterText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_riscv64.h"

#undef STAMP
#define STAMP \
	MOV $const_stampClock, X10; \
	MOV $const_sysClockGettime, X17; \
	ECALL

// func clockText()
//
// The loop with stamps of clock_gettime(2). Each stamp is one more system call.
TEXT ·clockText(SB), NOSPLIT|NOFRAME, $0-0
#include "loop_riscv64.h"

// func textAddr() unsafe.Pointer
TEXT ·textAddr(SB), NOSPLIT, $0-8
	MOV $·text(SB), X5
	MOV X5, ret+0(FP)
	RET

// func counterTextAddr() unsafe.Pointer
TEXT ·counterTextAddr(SB), NOSPLIT, $0-8
	MOV $·counterText(SB), X5
	MOV X5, ret+0(FP)
	RET

// func clockTextAddr() unsafe.Pointer
TEXT ·clockTextAddr(SB), NOSPLIT, $0-8
	MOV $·clockText(SB), X5
	MOV X5, ret+0(FP)
	RET

#include "textflag.h"
#include "go_asm.h"

// func handler()
//
// handler_amd64.s has it in pseudo-code.
//
//	R4  the signal
//	R5  siginfo_t
//	R6  ucontext_t
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	MOVV $31, R12
	BLT  R12, R4, caught
	MOVV $const_faults, R12
	SRLV R4, R12
	AND  $1, R12
	BEQ  R12, caught
	MOVW const_offCode(R5), R12
	BLEZ R12, caught
	MOVV ·runtimeHandler(SB), R12
	JMP  (R12)

caught:
	ADDV $-16, R3 // stays a multiple of 16
	MOVB R4, 8(R3)
	MOVV ·writeEnd(SB), R4
	ADDV $8, R3, R5
	MOVV $1, R6
	MOVV $const_sysWrite, R11
	SYSCALL
	ADDV $16, R3
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVV $·handler(SB), R4
	MOVV R4, ret+0(FP)
	RET

#include "textflag.h"
#include "go_asm.h"

// func handler()
//
// handler_amd64.s has it in pseudo-code.
//
//	R2  the signal
//	R3  siginfo_t
//	R4  ucontext_t
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	CMPBGT R2, $31, caught
	MOVD $const_faults, R1
	SRD  R2, R1, R1
	TMLL R1, $1
	BEQ  caught
	MOVW const_offCode(R3), R1
	CMPBLE R1, $0, caught
	MOVD ·runtimeHandler(SB), R1
	BR   (R1)

caught:
	ADD  $-16, R15 // stays a multiple of 8
	MOVB R2, 8(R15)
	MOVD ·writeEnd(SB), R2
	MOVD $8(R15), R3
	MOVD $1, R4
	MOVD $const_sysWrite, R1
	SYSCALL
	ADD  $16, R15
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVD $·handler(SB), R2
	MOVD R2, ret+0(FP)
	RET

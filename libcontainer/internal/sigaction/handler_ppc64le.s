#include "textflag.h"
#include "go_asm.h"

// func handler()
//
// handler_amd64.s has it in pseudo-code.
//
//	R3  the signal
//	R4  siginfo_t
//	R5  ucontext_t
//
// The assembler takes R0 for 0. The ELFv2 ABI wants a function's address in R12.
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	XOR  R0, R0
	CMP  R3, $31
	BGT  caught
	MOVD $const_faults, R12
	SRD  R3, R12, R12
	ANDCC $1, R12, R12
	BEQ  caught
	MOVW const_offCode(R4), R12
	CMPW R12, $0
	BLE  caught
	MOVD ·runtimeHandler(SB), R12
	MOVD R12, CTR
	BR   (CTR)

caught:
	ADD  $-48, R1 // stays a multiple of 16
	MOVB R3, 32(R1)
	MOVD ·writeEnd(SB), R3
	ADD  $32, R1, R4
	MOVD $1, R5
	SYSCALL $const_sysWrite
	ADD  $48, R1
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVD $·handler(SB), R3
	MOVD R3, ret+0(FP)
	RET

#include "textflag.h"
#include "go_asm.h"

// func handler()
//
// handler_amd64.s has it in pseudo-code.
//
//	X10  the signal
//	X11  siginfo_t
//	X12  ucontext_t
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	MOV  $31, X5
	BLT  X5, X10, caught
	MOV  $const_faults, X5
	SRL  X10, X5, X5
	AND  $1, X5
	BEQZ X5, caught
	MOVW const_offCode(X11), X5
	BLEZ X5, caught
	MOV  ·runtimeHandler(SB), X5
	JMP  (X5)

caught:
	ADD   $-16, X2 // stays a multiple of 16
	MOVB  X10, 8(X2)
	MOV   ·writeEnd(SB), X10
	ADD   $8, X2, X11
	MOV   $1, X12
	MOV   $const_sysWrite, X17
	ECALL
	ADD   $16, X2
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOV $·handler(SB), X5
	MOV X5, ret+0(FP)
	RET

#include "textflag.h"
#include "go_asm.h"

// func handler()
//
// handler_amd64.s has it in pseudo-code.
//
//	R0  the signal
//	R1  siginfo_t
//	R2  ucontext_t
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	CMPW $31, R0
	BGT  caught
	MOVD $const_faults, R3
	LSR  R0, R3, R3
	TBZ  $0, R3, caught
	MOVW const_offCode(R1), R4
	CMPW $0, R4
	BLE  caught
	MOVD ·runtimeHandler(SB), R3
	JMP  (R3)

caught:
	SUB   $16, RSP // stays a multiple of 16
	MOVD  R0, 8(RSP)
	MOVD  ·writeEnd(SB), R0
	ADD   $8, RSP, R1
	MOVD  $1, R2
	MOVD  $const_sysWrite, R8
	SVC
	ADD   $16, RSP
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVD $·handler(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func restorer()
TEXT ·restorer(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $const_sysSigreturn, R8
	SVC
	BRK  // it does not return

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	MOVD $·restorer(SB), R0
	MOVD R0, ret+0(FP)
	RET

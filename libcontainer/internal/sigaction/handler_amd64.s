#include "textflag.h"
#include "go_asm.h"

// func handler()
//
//	DI  the signal
//	SI  siginfo_t
//	DX  ucontext_t
//
//	if faults has the signal && si_code > 0 {
//		goto the runtime's handler, with what we were given
//	}
//	write(writeEnd, &byte(signal), 1)
//
// The kernel restores all registers, so none is saved. Returning leads to the
// action's restorer.
TEXT ·handler(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $const_faults, AX
	BTL  DI, AX
	JCC  caught // up to 31: BTL takes the signal modulo 32, hence the next line
	CMPL DI, $31
	JGT  caught
	CMPL const_offCode(SI), $0
	JLE  caught
	MOVQ ·runtimeHandler(SB), AX
	JMP  AX

caught:
	PUSHQ DI
	MOVQ  ·writeEnd(SB), DI
	MOVQ  SP, SI
	MOVL  $1, DX
	MOVL  $const_sysWrite, AX
	SYSCALL
	POPQ  DI
	RET

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	LEAQ ·handler(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func restorer()
TEXT ·restorer(SB), NOSPLIT|NOFRAME, $0-0
	MOVL $const_sysSigreturn, AX
	SYSCALL
	INT  $3 // it does not return

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	LEAQ ·restorer(SB), AX
	MOVQ AX, ret+0(FP)
	RET

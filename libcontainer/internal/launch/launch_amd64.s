#include "textflag.h"
#include "go_asm.h"

// CALL executes the call at reg: it loads number and arguments and enters the kernel.
#define CALL(reg) \
	MOVQ 8(reg), DI; \
	MOVQ 16(reg), SI; \
	MOVQ 24(reg), DX; \
	MOVQ 32(reg), R10; \
	MOVQ 40(reg), R8; \
	MOVQ 48(reg), R9; \
	MOVQ (reg), AX; \
	SYSCALL

// func clone(a *area) int64
//
//	R12  the area
//	R13  the result; in the child, the index of the call
//	BX   the child's call
TEXT ·clone(SB), NOSPLIT, $0-16
	MOVQ a+0(FP), R12
	MOVL $const_sigSetmask, DI
	LEAQ area_blocked(R12), SI
	LEAQ area_mask(R12), DX
	MOVL $8, R10
	MOVL $const_sysRtSigprocmask, AX
	SYSCALL
	LEAQ area_slack(R12), BX
	CALL(BX)
	LEAQ area_clone(R12), BX
	CALL(BX)
	TESTQ AX, AX
	JEQ  child
	MOVQ AX, R13
	MOVL $const_sigSetmask, DI
	LEAQ area_mask(R12), SI
	XORL DX, DX
	MOVL $8, R10
	MOVL $const_sysRtSigprocmask, AX
	SYSCALL
	MOVQ R13, ret+8(FP)
	RET

child:
	LEAQ area__size(R12), BX
	XORL R13, R13
next:
	CALL(BX)
	CMPQ AX, $-const_maxErrno
	JCC  failed // unsigned: -maxErrno … -1
	ADDQ $const_sizeofCall, BX
	INCQ R13
	JMP  next

failed:
	MOVQ R13, area_failed(R12)
	MOVQ AX, area_errno(R12)
	MOVL $const_exitStatus, DI
	MOVL $const_sysExitGroup, AX
	SYSCALL
	JMP  failed

#include "textflag.h"
#include "go_asm.h"

// CALL executes the call at reg: it loads number and arguments and enters the kernel.
#define CALL(reg) \
	MOVV 8(reg), R4; \
	MOVV 16(reg), R5; \
	MOVV 24(reg), R6; \
	MOVV 32(reg), R7; \
	MOVV 40(reg), R8; \
	MOVV 48(reg), R9; \
	MOVV (reg), R11; \
	SYSCALL

// func clone(a *area) int64
//
//	R23  the area
//	R24  the result; in the child, the index of the call
//	R25  the child's call
TEXT ·clone(SB), NOSPLIT, $0-16
	MOVV a+0(FP), R23
	MOVV $const_sigSetmask, R4
	ADDV $area_blocked, R23, R5
	ADDV $area_mask, R23, R6
	MOVV $8, R7
	MOVV $const_sysRtSigprocmask, R11
	SYSCALL
	ADDV $area_slack, R23, R25
	CALL(R25)
	ADDV $area_clone, R23, R25
	CALL(R25)
	BEQ  R4, child
	MOVV R4, R24
	MOVV $const_sigSetmask, R4
	ADDV $area_mask, R23, R5
	MOVV R0, R6
	MOVV $8, R7
	MOVV $const_sysRtSigprocmask, R11
	SYSCALL
	MOVV R24, ret+8(FP)
	RET

child:
	ADDV $area__size, R23, R25
	MOVV R0, R24
next:
	CALL(R25)
	MOVV $-const_maxErrno, R12
	BGEU R4, R12, failed // unsigned: -maxErrno … -1
	ADDV $const_sizeofCall, R25
	ADDV $1, R24
	JMP  next

failed:
	MOVV R24, area_failed(R23)
	MOVV R4, area_errno(R23)
	MOVV $const_exitStatus, R4
	MOVV $const_sysExitGroup, R11
	SYSCALL
	JMP  failed

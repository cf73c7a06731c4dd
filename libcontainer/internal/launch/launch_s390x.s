#include "textflag.h"
#include "go_asm.h"

// CALL executes the call at reg: it loads number and arguments and enters the kernel.
#define CALL(reg) \
	MOVD 8(reg), R2; \
	MOVD 16(reg), R3; \
	MOVD 24(reg), R4; \
	MOVD 32(reg), R5; \
	MOVD 40(reg), R6; \
	MOVD 48(reg), R7; \
	MOVD (reg), R1; \
	SYSCALL

// func clone(a *area) int64
//
//	R8   the area
//	R9   the result; in the child, the index of the call
//	R12  the child's call
TEXT ·clone(SB), NOSPLIT, $0-16
	MOVD a+0(FP), R8
	MOVD $const_sigSetmask, R2
	MOVD $area_blocked(R8), R3
	MOVD $area_mask(R8), R4
	MOVD $8, R5
	MOVD $const_sysRtSigprocmask, R1
	SYSCALL
	MOVD $area_slack(R8), R12
	CALL(R12)
	MOVD $area_clone(R8), R12
	CALL(R12)
	CMPBEQ R2, $0, child
	MOVD R2, R9
	MOVD $const_sigSetmask, R2
	MOVD $area_mask(R8), R3
	MOVD $0, R4
	MOVD $8, R5
	MOVD $const_sysRtSigprocmask, R1
	SYSCALL
	MOVD R9, ret+8(FP)
	RET

child:
	MOVD $area__size(R8), R12
	MOVD $0, R9
next:
	CALL(R12)
	MOVD $-const_maxErrno, R1
	CMPUBGE R2, R1, failed // unsigned: -maxErrno … -1
	ADD  $const_sizeofCall, R12
	ADD  $1, R9
	BR   next

failed:
	MOVD R9, area_failed(R8)
	MOVD R2, area_errno(R8)
	MOVD $const_exitStatus, R2
	MOVD $const_sysExitGroup, R1
	SYSCALL
	BR   failed

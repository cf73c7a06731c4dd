#include "textflag.h"
#include "go_asm.h"

// CALL executes the call at reg: it loads number and arguments and enters the kernel.
#define CALL(reg) \
	MOVD 8(reg), R0; \
	MOVD 16(reg), R1; \
	MOVD 24(reg), R2; \
	MOVD 32(reg), R3; \
	MOVD 40(reg), R4; \
	MOVD 48(reg), R5; \
	MOVD (reg), R8; \
	SVC

// func clone(a *area) int64
//
//	R19  the area
//	R20  the result; in the child, the index of the call
//	R21  the child's call
TEXT ·clone(SB), NOSPLIT, $0-16
	MOVD a+0(FP), R19
	MOVD $const_sigSetmask, R0
	ADD  $area_blocked, R19, R1
	ADD  $area_mask, R19, R2
	MOVD $8, R3
	MOVD $const_sysRtSigprocmask, R8
	SVC
	ADD  $area_slack, R19, R21
	CALL(R21)
	ADD  $area_clone, R19, R21
	CALL(R21)
	CBZ  R0, child
	MOVD R0, R20
	MOVD $const_sigSetmask, R0
	ADD  $area_mask, R19, R1
	MOVD ZR, R2
	MOVD $8, R3
	MOVD $const_sysRtSigprocmask, R8
	SVC
	MOVD R20, ret+8(FP)
	RET

child:
	ADD  $area__size, R19, R21
	MOVD ZR, R20
next:
	CALL(R21)
	CMN  $const_maxErrno, R0
	BCS  failed // unsigned: -maxErrno … -1
	ADD  $const_sizeofCall, R21
	ADD  $1, R20
	B    next

failed:
	MOVD R20, area_failed(R19)
	MOVD R0, area_errno(R19)
	MOVD $const_exitStatus, R0
	MOVD $const_sysExitGroup, R8
	SVC
	B    failed

#include "textflag.h"
#include "go_asm.h"

// DO makes the system call with the number in R10. The kernel reports a failure by the
// summary overflow bit and a positive errno (Power Architecture 64-bit ELF V2 ABI, "System
// call sequence"). DO makes the errno negative.
#define DO \
	SYSCALL R10; \
	NEG     R3, R4; \
	ISEL    CR0SO, R4, R3, R3

// CALL executes the call at reg: it loads number and arguments and enters the kernel.
#define CALL(reg) \
	MOVD 8(reg), R3; \
	MOVD 16(reg), R4; \
	MOVD 24(reg), R5; \
	MOVD 32(reg), R6; \
	MOVD 40(reg), R7; \
	MOVD 48(reg), R8; \
	MOVD (reg), R10; \
	DO

// func clone(a *area) int64
//
//	R14  the area
//	R15  the result; in the child, the index of the call
//	R16  the child's call
TEXT ·clone(SB), NOSPLIT, $0-16
	MOVD a+0(FP), R14
	MOVD $const_sigSetmask, R3
	ADD  $area_blocked, R14, R4
	ADD  $area_mask, R14, R5
	MOVD $8, R6
	MOVD $const_sysRtSigprocmask, R10
	DO
	ADD  $area_slack, R14, R16
	CALL(R16)
	ADD  $area_clone, R14, R16
	CALL(R16)
	CMP  R3, $0
	BEQ  child
	MOVD R3, R15
	MOVD $const_sigSetmask, R3
	ADD  $area_mask, R14, R4
	MOVD $0, R5
	MOVD $8, R6
	MOVD $const_sysRtSigprocmask, R10
	DO
	MOVD R15, ret+8(FP)
	RET

child:
	ADD  $area__size, R14, R16
	MOVD $0, R15
next:
	CALL(R16)
	MOVD $-const_maxErrno, R17
	CMPU R3, R17
	BGE  failed // unsigned: -maxErrno … -1
	ADD  $const_sizeofCall, R16
	ADD  $1, R15
	BR   next

failed:
	MOVD R15, area_failed(R14)
	MOVD R3, area_errno(R14)
	MOVD $const_exitStatus, R3
	MOVD $const_sysExitGroup, R10
	SYSCALL R10
	BR   failed

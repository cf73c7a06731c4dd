#include "textflag.h"
#include "go_asm.h"

// CALL executes the call at reg: it loads number and arguments and enters the kernel.
#define CALL(reg) \
	MOV 8(reg), X10; \
	MOV 16(reg), X11; \
	MOV 24(reg), X12; \
	MOV 32(reg), X13; \
	MOV 40(reg), X14; \
	MOV 48(reg), X15; \
	MOV (reg), X17; \
	ECALL

// func clone(a *area) int64
//
//	X18  the area
//	X19  the result; in the child, the index of the call
//	X20  the child's call
TEXT ·clone(SB), NOSPLIT, $0-16
	MOV  a+0(FP), X18
	MOV  $const_sigSetmask, X10
	ADD  $area_blocked, X18, X11
	ADD  $area_mask, X18, X12
	MOV  $8, X13
	MOV  $const_sysRtSigprocmask, X17
	ECALL
	ADD  $area_slack, X18, X20
	CALL(X20)
	ADD  $area_clone, X18, X20
	CALL(X20)
	BEQZ X10, child
	MOV  X10, X19
	MOV  $const_sigSetmask, X10
	ADD  $area_mask, X18, X11
	MOV  ZERO, X12
	MOV  $8, X13
	MOV  $const_sysRtSigprocmask, X17
	ECALL
	MOV  X19, ret+8(FP)
	RET

child:
	ADD  $area__size, X18, X20
	MOV  ZERO, X19
next:
	CALL(X20)
	MOV  $-const_maxErrno, X5
	BGEU X10, X5, failed // unsigned: -maxErrno … -1
	ADD  $const_sizeofCall, X20
	ADD  $1, X19
	JMP  next

failed:
	MOV  X19, area_failed(X18)
	MOV  X10, area_errno(X18)
	MOV  $const_exitStatus, X10
	MOV  $const_sysExitGroup, X17
	ECALL
	JMP  failed

#include "textflag.h"
#include "go_asm.h"

#define SYS_prlimit64 261
#define RLIMIT_NOFILE 7

// func prlimit(l *Limit)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOV ZERO, X10
	MOV $RLIMIT_NOFILE, X11
	MOV ZERO, X12
	MOV l+0(FP), X13
	MOV $SYS_prlimit64, X17
	ECALL
	RET

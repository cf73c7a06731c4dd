#include "textflag.h"
#include "go_asm.h"

#define SYS_prlimit64 261
#define RLIMIT_NOFILE 7

// func prlimit(l *Limit)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOVV R0, R4
	MOVV $RLIMIT_NOFILE, R5
	MOVV R0, R6
	MOVV l+0(FP), R7
	MOVV $SYS_prlimit64, R11
	SYSCALL
	RET

#include "textflag.h"
#include "go_asm.h"

#define SYS_prlimit64 334
#define RLIMIT_NOFILE 7

// func prlimit(l *Limit)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOVD $0, R2
	MOVD $RLIMIT_NOFILE, R3
	MOVD $0, R4
	MOVD l+0(FP), R5
	MOVD $SYS_prlimit64, R1
	SYSCALL
	RET

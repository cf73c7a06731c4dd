#include "textflag.h"
#include "go_asm.h"

#define SYS_prlimit64 325
#define RLIMIT_NOFILE 7

// func prlimit(l *Limit)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOVD $0, R3
	MOVD $RLIMIT_NOFILE, R4
	MOVD $0, R5
	MOVD l+0(FP), R6
	SYSCALL $SYS_prlimit64
	RET

#include "textflag.h"
#include "go_asm.h"

#define SYS_prlimit64 261
#define RLIMIT_NOFILE 7

// func prlimit(l *Limit)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOVD ZR, R0
	MOVD $RLIMIT_NOFILE, R1
	MOVD ZR, R2
	MOVD l+0(FP), R3
	MOVD $SYS_prlimit64, R8
	SVC
	RET

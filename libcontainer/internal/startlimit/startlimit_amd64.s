#include "textflag.h"
#include "go_asm.h"

#define SYS_prlimit64 302
#define RLIMIT_NOFILE 7

// func prlimit(l *Limit)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	XORL DI, DI
	MOVL $RLIMIT_NOFILE, SI
	XORL DX, DX
	MOVQ l+0(FP), R10
	MOVL $SYS_prlimit64, AX
	SYSCALL
	RET

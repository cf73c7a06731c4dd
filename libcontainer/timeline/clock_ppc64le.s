#include "textflag.h"

// func counter() int64
TEXT ·counter(SB), NOSPLIT, $0-8
	MOVD SPR(268), R3
	MOVD R3, ret+0(FP)
	RET

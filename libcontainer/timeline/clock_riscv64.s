#include "textflag.h"

// func counter() int64
TEXT ·counter(SB), NOSPLIT, $0-8
	RDTIME X5
	MOV    X5, ret+0(FP)
	RET

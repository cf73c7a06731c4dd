#include "textflag.h"

// func growStack()
//
// Only the size of the frame matters. The function is not NOSPLIT, so the
// assembler puts a stack check in front of it. The check finds the stack too
// small for the frame, and grows it.
TEXT ·growStack(SB), 0, $49152-0
	RET

#include "textflag.h"

// func growStack()
//
// It is the frame that counts: the check in front of it (this is not NOSPLIT)
// finds the stack too small for it.
TEXT ·growStack(SB), 0, $49152-0
	RET

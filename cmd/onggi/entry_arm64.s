#include "textflag.h"

// func entry()
//
// entry_amd64.s has it in pseudo-code.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVD $167, R8 // prctl
	MOVD $30, R0  // PR_GET_TIMERSLACK
	SVC
	MOVD R0, ·callersSlack(SB)
	MOVD $29, R0 // PR_SET_TIMERSLACK
	MOVD $10000000, R1
	SVC
	B    _rt0_arm64_linux(SB)

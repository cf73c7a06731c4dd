#include "textflag.h"

// func entry()
//
// The kernel jumps here, with the arguments on the stack, where the Go runtime
// looks for them.
//
//	callersSlack = prctl(PR_GET_TIMERSLACK)
//	prctl(PR_SET_TIMERSLACK, 10 ms)
//	go to the Go runtime
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVL $157, AX // prctl
	MOVL $30, DI  // PR_GET_TIMERSLACK
	SYSCALL
	MOVQ AX, ·callersSlack(SB)
	MOVL $157, AX
	MOVL $29, DI // PR_SET_TIMERSLACK
	MOVL $10000000, SI
	SYSCALL
	JMP  _rt0_amd64_linux(SB)

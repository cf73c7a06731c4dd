// The body of each TEXT of stub_amd64.s. With STAMP defined, it stamps the receipt of the
// batch and every call. Without STAMP it has no instruction for stamps.

	MOVQ $const_controlWord, AX
	MOVL (AX), R15

receive:
	MOVL R15, DI
	MOVL $const_ArenaBase, SI
	MOVL $const_ArenaSize, DX
	XORL R10, R10
	XORL R8, R8
	XORL R9, R9
	MOVL $const_sysRecvfrom, AX
	SYSCALL
	TESTQ AX, AX
	JLE  lost
	CMPQ AX, $const_HeaderSize
	JLT  receive // a message with descriptors, for a batch that failed before it received them
	MOVL $(const_ArenaBase+const_HeaderSize), R12
	MOVL $const_ArenaBase, AX
	MOVL const_offCalls(AX), R13
	BTRL $const_behindBit, R13
	JCC  whole
	TESTL BP, BP
	JNE  receive // the batch in front of it has failed
whole:
	XORL BP, BP
#ifdef STAMP
	MOVL const_offStamps(AX), R14
	TESTL R14, R14
	JEQ  next
	MOVL R14, SI
	STAMP
#endif

next:
	TESTL R13, R13
	JLE  reply
	MOVBLZX const_offLoads(R12), BX
	ARG(0, DI)
	ARG(1, SI)
	ARG(2, DX)
	ARG(3, R10)
	ARG(4, R8)
	ARG(5, R9)
	MOVL const_offNr(R12), AX
	SYSCALL
	MOVL const_offResult(R12), CX
	MOVQ AX, (CX)
#ifdef STAMP
	TESTL R14, R14
	JEQ  stamped
	MOVQ AX, BX
	MOVL R12, SI
	SUBL $(const_ArenaBase+const_HeaderSize), SI
	SHRL $2, SI // CallSize to StampSize
	LEAQ const_StampSize(R14)(SI*1), SI
	STAMP
	MOVQ BX, AX
stamped:
#endif
	TESTQ AX, AX
	JEQ  zero
	CMPQ AX, $-const_maxErrno
	JCC  failed // unsigned: -maxErrno … -1

	MOVBLZX const_offOnPos(R12), CX
	JMP  advance

zero:
	MOVBLZX const_offOnZero(R12), CX
	JMP  advance

failed:
	NEGL AX
	MOVWLZX const_offErrno1(R12), CX
	CMPL CX, $const_AnyErrno
	JEQ  tolerated
	CMPL CX, AX
	JEQ  tolerated
	MOVWLZX const_offErrno2(R12), CX
	CMPL CX, AX
	JEQ  tolerated
	INCL BP
	JMP  reply

tolerated:
	MOVBLZX const_offOnFail(R12), CX

advance:
	INCL CX
	SUBL CX, R13
	SHLL $6, CX // CallSize
	ADDQ CX, R12
	JMP  next

reply:
	MOVL $const_ArenaBase, AX
	MOVL const_offReplyOff(AX), SI
	ADDQ AX, SI
	MOVL const_offReplyLen(AX), DX
	MOVL R15, DI
	MOVL $const_msgNosignal, R10
	XORL R8, R8
	XORL R9, R9
	MOVL $const_sysSendto, AX
	SYSCALL
	TESTQ AX, AX
	JGE  receive

lost:
	MOVL $const_ExitLost, DI
	MOVL $const_sysExitGroup, AX
	SYSCALL
	UNDEF // a seccomp filter has refused exit_group too: SIGILL ends the stub

	PCALIGN $8
	LONG $0x0ff1ce5a // endMark
	LONG $0x1dea11ed
	RET

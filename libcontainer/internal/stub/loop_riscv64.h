// The body of each TEXT of stub_riscv64.s. With STAMP defined, it stamps the receipt of the
// batch and every call. Without STAMP it has no instruction for stamps.

	MOV   $const_controlWord, X5
	MOVWU (X5), X18
	MOV   ZERO, X24

receive:
	MOV   X18, X10
	MOV   $const_ArenaBase, X11
	MOV   $const_ArenaSize, X12
	MOV   ZERO, X13
	MOV   ZERO, X14
	MOV   ZERO, X15
	MOV   $const_sysRecvfrom, X17
	ECALL
	BLEZ  X10, lost
	MOV   $const_HeaderSize, X5
	BLT   X10, X5, receive // a message with descriptors, for a batch that failed before it received them
	MOV   $const_ArenaBase, X19
	MOVW  const_offCalls(X19), X20 // sign-extended: Behind is the sign
	BGEZ  X20, whole
	BNEZ  X24, receive // the batch in front of it has failed
	SLL   $(64-const_behindBit), X20
	SRL   $(64-const_behindBit), X20
whole:
	MOV   ZERO, X24
#ifdef STAMP
	MOVWU const_offStamps(X19), X23
	BEQZ  X23, unstamped
	MOV   X23, X11
	STAMP
unstamped:
#endif
	ADD   $const_HeaderSize, X19

next:
	BLEZ  X20, reply
	MOVBU const_offLoads(X19), X21
	ARG(0, X10)
	ARG(1, X11)
	ARG(2, X12)
	ARG(3, X13)
	ARG(4, X14)
	ARG(5, X15)
	MOVWU const_offNr(X19), X17
	ECALL
	MOVWU const_offResult(X19), X22
	MOV   X10, (X22)
#ifdef STAMP
	BEQZ  X23, stamped
	MOV   X10, X21
	MOV   $(const_ArenaBase+const_HeaderSize), X5
	SUB   X5, X19, X11
	SRL   $2, X11 // CallSize to StampSize
	ADD   X23, X11
	ADD   $const_StampSize, X11
	STAMP
	MOV   X21, X10
stamped:
#endif
	BEQZ  X10, zero
	MOV   $-const_maxErrno, X5
	BGEU  X10, X5, failed // unsigned: -maxErrno … -1

	MOVBU const_offOnPos(X19), X22
	JMP   advance

zero:
	MOVBU const_offOnZero(X19), X22
	JMP   advance

failed:
	SUB   X10, ZERO, X10
	MOVHU const_offErrno1(X19), X22
	MOV   $const_AnyErrno, X5
	BEQ   X22, X5, tolerated
	BEQ   X22, X10, tolerated
	MOVHU const_offErrno2(X19), X22
	BEQ   X22, X10, tolerated
	MOV   $1, X24
	JMP   reply

tolerated:
	MOVBU const_offOnFail(X19), X22

advance:
	ADD   $1, X22
	SUB   X22, X20
	SLL   $6, X22 // CallSize
	ADD   X22, X19
	JMP   next

reply:
	MOV   $const_ArenaBase, X19
	MOV   X18, X10
	MOVWU const_offReplyOff(X19), X11
	ADD   X19, X11
	MOVWU const_offReplyLen(X19), X12
	MOV   $const_msgNosignal, X13
	MOV   ZERO, X14
	MOV   ZERO, X15
	MOV   $const_sysSendto, X17
	ECALL
	BGEZ  X10, receive

lost:
	MOV   $const_ExitLost, X10
	MOV   $const_sysExitGroup, X17
	ECALL
	UNDEF // a seccomp filter has refused exit_group too: SIGTRAP ends the stub

	PCALIGN $8
	WORD $0x0ff1ce5a // endMark
	WORD $0x1dea11ed
	RET

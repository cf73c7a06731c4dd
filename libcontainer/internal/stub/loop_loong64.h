// The body of each TEXT of stub_loong64.s. With STAMP defined, it stamps the receipt of the
// batch and every call. Without STAMP it has no instruction for stamps.

	MOVV  $const_controlWord, R12
	MOVWU (R12), R23
	MOVV  R0, R29

receive:
	MOVV  R23, R4
	MOVV  $const_ArenaBase, R5
	MOVV  $const_ArenaSize, R6
	MOVV  R0, R7
	MOVV  R0, R8
	MOVV  R0, R9
	MOVV  $const_sysRecvfrom, R11
	SYSCALL
	BLEZ  R4, lost
	MOVV  $const_HeaderSize, R12
	BLT   R4, R12, receive // a message with descriptors, for a batch that failed before it received them
	MOVV  $const_ArenaBase, R24
	MOVW  const_offCalls(R24), R25 // sign-extended: Behind is the sign
	BGEZ  R25, whole
	BNE   R29, receive // the batch in front of it has failed
	SLLV  $(64-const_behindBit), R25
	SRLV  $(64-const_behindBit), R25
whole:
	MOVV  R0, R29
#ifdef STAMP
	MOVWU const_offStamps(R24), R28
	BEQ   R28, unstamped
	MOVV  R28, R5
	STAMP
unstamped:
#endif
	ADDV  $const_HeaderSize, R24

next:
	BLEZ  R25, reply
	MOVBU const_offLoads(R24), R26
	ARG(0, R4)
	ARG(1, R5)
	ARG(2, R6)
	ARG(3, R7)
	ARG(4, R8)
	ARG(5, R9)
	MOVWU const_offNr(R24), R11
	SYSCALL
	MOVWU const_offResult(R24), R27
	MOVV  R4, (R27)
#ifdef STAMP
	BEQ   R28, stamped
	MOVV  R4, R26
	MOVV  $(const_ArenaBase+const_HeaderSize), R12
	SUBV  R12, R24, R5
	SRLV  $2, R5 // CallSize to StampSize
	ADDV  R28, R5
	ADDV  $const_StampSize, R5
	STAMP
	MOVV  R26, R4
stamped:
#endif
	BEQ   R4, zero
	MOVV  $-const_maxErrno, R12
	BGEU  R4, R12, failed // unsigned: -maxErrno … -1

	MOVBU const_offOnPos(R24), R27
	JMP   advance

zero:
	MOVBU const_offOnZero(R24), R27
	JMP   advance

failed:
	SUBV  R4, R0, R4
	MOVHU const_offErrno1(R24), R27
	MOVV  $const_AnyErrno, R12
	BEQ   R27, R12, tolerated
	BEQ   R27, R4, tolerated
	MOVHU const_offErrno2(R24), R27
	BEQ   R27, R4, tolerated
	MOVV  $1, R29
	JMP   reply

tolerated:
	MOVBU const_offOnFail(R24), R27

advance:
	ADDV  $1, R27
	SUBV  R27, R25
	SLLV  $6, R27 // CallSize
	ADDV  R27, R24
	JMP   next

reply:
	MOVV  $const_ArenaBase, R24
	MOVV  R23, R4
	MOVWU const_offReplyOff(R24), R5
	ADDV  R24, R5
	MOVWU const_offReplyLen(R24), R6
	MOVV  $const_msgNosignal, R7
	MOVV  R0, R8
	MOVV  R0, R9
	MOVV  $const_sysSendto, R11
	SYSCALL
	BGEZ  R4, receive

lost:
	MOVV  $const_ExitLost, R4
	MOVV  $const_sysExitGroup, R11
	SYSCALL
	UNDEF // a seccomp filter has refused exit_group too: SIGTRAP ends the stub

	PCALIGN $8
	WORD $0x0ff1ce5a // endMark
	WORD $0x1dea11ed
	RET

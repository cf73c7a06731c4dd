// The body of each TEXT of stub_s390x.s. With STAMP defined, it stamps the receipt of the
// batch and every call. Without STAMP it has no instruction for stamps.

	MOVD  $const_controlWord, R1
	MOVWZ (R1), R8
	MOVD  $0, g

receive:
	MOVD  R8, R2
	MOVD  $const_ArenaBase, R3
	MOVD  $const_ArenaSize, R4
	MOVD  $0, R5
	MOVD  $0, R6
	MOVD  $0, R7
	MOVD  $const_sysRecvfrom, R1
	SYSCALL
	CMPBLE R2, $0, lost
	CMPBLT R2, $const_HeaderSize, receive // a message with descriptors, for a batch that failed before it received them
	MOVD  $const_ArenaBase, R9
	MOVW  const_offCalls(R9), R12 // sign-extended: Behind is the sign
	CMPBGE R12, $0, whole
	CMPBNE g, $0, receive // the batch in front of it has failed
	SLD   $(64-const_behindBit), R12
	SRD   $(64-const_behindBit), R12
whole:
	MOVD  $0, g
#ifdef STAMP
	MOVWZ const_offStamps(R9), R15
	CMPBEQ R15, $0, unstamped
	MOVD  R15, R3
	STAMP
unstamped:
#endif
	ADD   $const_HeaderSize, R9

next:
	CMPBLE R12, $0, reply
	MOVBZ const_offLoads(R9), R14
	ARG(0, R2)
	ARG(1, R3)
	ARG(2, R4)
	ARG(3, R5)
	ARG(4, R6)
	ARG(5, R7)
	MOVWZ const_offNr(R9), R1
	SYSCALL
	MOVWZ const_offResult(R9), R1
	MOVD  R2, (R1)
#ifdef STAMP
	CMPBEQ R15, $0, stamped
	MOVD  R2, R14
	MOVD  $(const_ArenaBase+const_HeaderSize), R1
	SUB   R1, R9, R3
	SRD   $2, R3 // CallSize to StampSize
	ADD   R15, R3
	ADD   $const_StampSize, R3
	STAMP
	MOVD  R14, R2
stamped:
#endif
	CMPBEQ R2, $0, zero
	MOVD  $-const_maxErrno, R1
	CMPUBGE R2, R1, failed // unsigned: -maxErrno … -1

	MOVBZ const_offOnPos(R9), R1
	BR    advance

zero:
	MOVBZ const_offOnZero(R9), R1
	BR    advance

failed:
	NEG   R2, R2
	MOVHZ const_offErrno1(R9), R1
	MOVD  $const_AnyErrno, R3
	CMPBEQ R1, R3, tolerated
	CMPBEQ R1, R2, tolerated
	MOVHZ const_offErrno2(R9), R1
	CMPBEQ R1, R2, tolerated
	MOVD  $1, g
	BR    reply

tolerated:
	MOVBZ const_offOnFail(R9), R1

advance:
	ADD   $1, R1
	SUB   R1, R12
	SLD   $6, R1 // CallSize
	ADD   R1, R9
	BR    next

reply:
	MOVD  $const_ArenaBase, R9
	MOVD  R8, R2
	MOVWZ const_offReplyOff(R9), R3
	ADD   R9, R3
	MOVWZ const_offReplyLen(R9), R4
	MOVD  $const_msgNosignal, R5
	MOVD  $0, R6
	MOVD  $0, R7
	MOVD  $const_sysSendto, R1
	SYSCALL
	CMPBGE R2, $0, receive

lost:
	MOVD  $const_ExitLost, R2
	MOVD  $const_sysExitGroup, R1
	SYSCALL
	UNDEF // a seccomp filter has refused exit_group too: SIGILL ends the stub

	WORD $0x1dea11ed // endMark
	WORD $0x0ff1ce5a
	RET

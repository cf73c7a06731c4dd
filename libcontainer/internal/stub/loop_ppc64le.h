// The body of each TEXT of stub_ppc64le.s. With STAMP defined, it stamps the receipt of the
// batch and every call. Without STAMP it has no instruction for stamps.

	XOR   R0, R0 // the assembler takes R0 for 0
	MOVD  $const_controlWord, R18
	MOVWZ (R18), R14
	MOVD  $0, R20

receive:
	MOVD  R14, R3
	MOVD  $const_ArenaBase, R4
	MOVD  $const_ArenaSize, R5
	MOVD  $0, R6
	MOVD  $0, R7
	MOVD  $0, R8
	MOVD  $const_sysRecvfrom, R10
	DO
	CMP   R3, $0
	BLE   lost
	CMP   R3, $const_HeaderSize
	BLT   receive // a message with descriptors, for a batch that failed before it received them
	MOVD  $const_ArenaBase, R15
	MOVW  const_offCalls(R15), R16 // sign-extended: Behind is the sign
	CMP   R16, $0
	BGE   whole
	CMP   R20, $0
	BNE   receive // the batch in front of it has failed
	SLD   $(64-const_behindBit), R16
	SRD   $(64-const_behindBit), R16
whole:
	MOVD  $0, R20
#ifdef STAMP
	MOVWZ const_offStamps(R15), R19
	CMP   R19, $0
	BEQ   unstamped
	MOVD  R19, R4
	STAMP
unstamped:
#endif
	ADD   $const_HeaderSize, R15

next:
	CMP   R16, $0
	BLE   reply
	MOVBZ const_offLoads(R15), R17
	ARG(0, R3)
	ARG(1, R4)
	ARG(2, R5)
	ARG(3, R6)
	ARG(4, R7)
	ARG(5, R8)
	MOVWZ const_offNr(R15), R10
	DO
	MOVWZ const_offResult(R15), R18
	MOVD  R3, (R18)
#ifdef STAMP
	CMP   R19, $0
	BEQ   stamped
	MOVD  R3, R17
	MOVD  $(const_ArenaBase+const_HeaderSize), R18
	SUB   R18, R15, R4
	SRD   $2, R4 // CallSize to StampSize
	ADD   R19, R4
	ADD   $const_StampSize, R4
	STAMP
	MOVD  R17, R3
stamped:
#endif
	CMP   R3, $0
	BEQ   zero
	MOVD  $-const_maxErrno, R18
	CMPU  R3, R18
	BGE   failed // unsigned: -maxErrno … -1

	MOVBZ const_offOnPos(R15), R18
	BR    advance

zero:
	MOVBZ const_offOnZero(R15), R18
	BR    advance

failed:
	NEG   R3, R3
	MOVHZ const_offErrno1(R15), R18
	MOVD  $const_AnyErrno, R17
	CMP   R18, R17
	BEQ   tolerated
	CMP   R18, R3
	BEQ   tolerated
	MOVHZ const_offErrno2(R15), R18
	CMP   R18, R3
	BEQ   tolerated
	MOVD  $1, R20
	BR    reply

tolerated:
	MOVBZ const_offOnFail(R15), R18

advance:
	ADD   $1, R18
	SUB   R18, R16
	SLD   $6, R18 // CallSize
	ADD   R18, R15
	BR    next

reply:
	MOVD  $const_ArenaBase, R15
	MOVD  R14, R3
	MOVWZ const_offReplyOff(R15), R4
	ADD   R15, R4
	MOVWZ const_offReplyLen(R15), R5
	MOVD  $const_msgNosignal, R6
	MOVD  $0, R7
	MOVD  $0, R8
	MOVD  $const_sysSendto, R10
	DO
	CMP   R3, $0
	BGE   receive

lost:
	MOVD  $const_ExitLost, R3
	MOVD  $const_sysExitGroup, R10
	SYSCALL R10
	UNDEF // a seccomp filter has refused exit_group too: SIGILL ends the stub

	PCALIGN $8
	WORD $0x0ff1ce5a // endMark
	WORD $0x1dea11ed
	RET

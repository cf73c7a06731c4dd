// The body of each TEXT of stub_arm64.s. With STAMP defined, it stamps the receipt of the
// batch and every call. Without STAMP it has no instruction for stamps.

	MOVD $const_controlWord, R23
	MOVWU (R23), R19

receive:
	MOVD R19, R0
	MOVD $const_ArenaBase, R1
	MOVD $const_ArenaSize, R2
	MOVD $0, R3
	MOVD $0, R4
	MOVD $0, R5
	MOVD $const_sysRecvfrom, R8
	SVC
	CMP  $0, R0
	BLE  lost
	CMP  $const_HeaderSize, R0
	BLT  receive // a message with descriptors, for a batch that failed before it received them
	MOVD $const_ArenaBase, R20
	MOVWU const_offCalls(R20), R21
	TBZ  $const_behindBit, R21, whole
	CBNZ R25, receive // the batch in front of it has failed
	ANDW $(const_Behind-1), R21
whole:
	MOVD $0, R25
#ifdef STAMP
	MOVWU const_offStamps(R20), R24
	CBZ  R24, unstamped
	MOVD R24, R1
	STAMP
unstamped:
#endif
	ADD  $const_HeaderSize, R20

next:
	CMPW $0, R21
	BLE  reply
	MOVBU const_offLoads(R20), R22
	ARG(0, R0)
	ARG(1, R1)
	ARG(2, R2)
	ARG(3, R3)
	ARG(4, R4)
	ARG(5, R5)
	MOVWU const_offNr(R20), R8
	SVC
	MOVWU const_offResult(R20), R23
	MOVD R0, (R23)
#ifdef STAMP
	CBZ  R24, stamped
	MOVD R0, R22
	MOVD $(const_ArenaBase+const_HeaderSize), R1
	SUB  R1, R20, R1
	ADD  R1>>2, R24, R1 // CallSize to StampSize
	ADD  $const_StampSize, R1
	STAMP
	MOVD R22, R0
stamped:
#endif
	CBZ  R0, zero
	CMN  $const_maxErrno, R0
	BCS  failed // unsigned: -maxErrno … -1

	MOVBU const_offOnPos(R20), R23
	B    advance

zero:
	MOVBU const_offOnZero(R20), R23
	B    advance

failed:
	NEG  R0, R0
	MOVHU const_offErrno1(R20), R23
	MOVD $const_AnyErrno, R22
	CMP  R22, R23
	BEQ  tolerated
	CMP  R0, R23
	BEQ  tolerated
	MOVHU const_offErrno2(R20), R23
	CMP  R0, R23
	BEQ  tolerated
	MOVD $1, R25
	B    reply

tolerated:
	MOVBU const_offOnFail(R20), R23

advance:
	ADD  $1, R23
	SUBW R23, R21
	ADD  R23<<6, R20 // CallSize
	B    next

reply:
	MOVD $const_ArenaBase, R20
	MOVD R19, R0
	MOVWU const_offReplyOff(R20), R1
	ADD  R20, R1
	MOVWU const_offReplyLen(R20), R2
	MOVD $const_msgNosignal, R3
	MOVD $0, R4
	MOVD $0, R5
	MOVD $const_sysSendto, R8
	SVC
	CMP  $0, R0
	BGE  receive

lost:
	MOVD $const_ExitLost, R0
	MOVD $const_sysExitGroup, R8
	SVC
	UNDEF // a seccomp filter has refused exit_group too: SIGILL ends the stub

	PCALIGN $8
	WORD $0x0ff1ce5a // endMark
	WORD $0x1dea11ed
	RET

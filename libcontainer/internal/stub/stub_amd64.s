#include "textflag.h"
#include "go_asm.h"

// ARG loads argument i of the call at R12 into reg: the value itself, or the
// u32 at that address where bit i of the loads (BX) is set.
#define ARG(i, reg) \
	MOVQ (const_offArgs+8*i)(R12), reg; \
	BTL  $i, BX; \
	JCC  2(PC); \
	MOVL (reg), reg

// func text()
//
// Never called: copied into the image and entered by execve with nothing but
// a stack that it does not use.
//
//	R15  control descriptor
//	R12  address of the call
//	R13  calls left
//	BX   loads of the call; after it, its result
//
//	for recvfrom(control, ArenaBase, ArenaSize, 0, 0, 0) > 0 {
//		for each call {
//			*call.result = r = syscall(call.nr, args)
//			switch {
//			case failed(r) && !tolerated: break out
//			case failed(r): skip call.onFail
//			case r == 0:    skip call.onZero
//			default:        skip call.onPos
//			}
//		}
//		if sendto(control, reply, MSG_NOSIGNAL) < 0 { break }
//	}
//	exit_group(ExitLost)
TEXT ·text(SB), NOSPLIT|NOFRAME, $0-0
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
	MOVL $(const_ArenaBase+const_HeaderSize), R12
	MOVL $const_ArenaBase, AX
	MOVL const_offCalls(AX), R13

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
	JNE  reply

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
	JMP  lost

	PCALIGN $8
	LONG $0x0ff1ce5a // endMark
	LONG $0x1dea11ed
	RET

// func textAddr() unsafe.Pointer
TEXT ·textAddr(SB), NOSPLIT, $0-8
	LEAQ ·text(SB), AX
	MOVQ AX, ret+0(FP)
	RET

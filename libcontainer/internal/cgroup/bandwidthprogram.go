package cgroup

import (
	"golang.org/x/sys/unix"
)

// direction is the direction of a packet, seen from the container.
type direction int

const (
	egress direction = iota
	ingress
)

func (d direction) String() string {
	if d == ingress {
		return "ingress"
	}
	return "egress"
}

func (d direction) hook() hook {
	if d == ingress {
		return hook{name: "onggi_ingress", program: unix.BPF_PROG_TYPE_CGROUP_SKB, place: unix.BPF_CGROUP_INET_INGRESS, bound: true}
	}
	return hook{name: "onggi_egress", program: unix.BPF_PROG_TYPE_CGROUP_SKB, place: unix.BPF_CGROUP_INET_EGRESS, bound: true}
}

// Verdicts of an egress program (kernel/bpf/cgroup.c, "Return values of CGROUP
// EGRESS BPF programs"). An ingress program may return the first two only. The CN
// verdicts make TCP reduce its window, as a full queue does. After a drop without
// CN the sender gets EPERM.
const (
	verdictDrop   = 0
	verdictPass   = 1
	verdictDropCN = 2
	verdictPassCN = 3
)

// Registers of the bandwidth programs. Helper calls preserve r6 to r9.
const (
	rArg1   = 1
	rArg2   = 2
	rArg3   = 3
	rArg4   = 4
	rLag    = 1 // ns until all earlier packets have left at the rate
	rLimit  = 2
	rWork   = 3
	rPacket = 6 // struct __sk_buff
	rSize   = 7
	rBucket = 8
	rNow    = 9
	rStack  = 10
)

// Opcodes of the bandwidth programs.
const (
	loadByte   = unix.BPF_LDX | unix.BPF_B | unix.BPF_MEM
	loadLong   = unix.BPF_LDX | unix.BPF_DW | unix.BPF_MEM
	storeWord  = unix.BPF_STX | unix.BPF_W | unix.BPF_MEM
	atomicLong = unix.BPF_STX | unix.BPF_DW | unix.BPF_ATOMIC
	wideImm    = unix.BPF_LD | unix.BPF_DW | unix.BPF_IMM
	moveReg    = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
	addImm     = unix.BPF_ALU64 | unix.BPF_ADD | unix.BPF_K
	addReg     = unix.BPF_ALU64 | unix.BPF_ADD | unix.BPF_X
	subReg     = unix.BPF_ALU64 | unix.BPF_SUB | unix.BPF_X
	mulImm     = unix.BPF_ALU64 | unix.BPF_MUL | unix.BPF_K
	mulReg     = unix.BPF_ALU64 | unix.BPF_MUL | unix.BPF_X
	divReg     = unix.BPF_ALU64 | unix.BPF_DIV | unix.BPF_X
	andImm     = unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K
	shlImm     = unix.BPF_ALU64 | unix.BPF_LSH | unix.BPF_K
	shrImm     = unix.BPF_ALU64 | unix.BPF_RSH | unix.BPF_K
	jumpAbove  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_X
	jumpBelow  = unix.BPF_JMP | unix.BPF_JLT | unix.BPF_X
	jumpUpTo   = unix.BPF_JMP32 | unix.BPF_JLE | unix.BPF_K
	callHelper = unix.BPF_JMP | unix.BPF_CALL
)

// Helpers (enum bpf_func_id).
const (
	helperNow       = 5  // bpf_ktime_get_ns
	helperLoadBytes = 26 // bpf_skb_load_bytes
	helperMark      = 97 // bpf_skb_ecn_set_ce
)

// Fields of struct __sk_buff.
const (
	packetLength    = 0
	packetInterface = 40
	packetSegments  = 164
)

// loopback is the index of the interface lo in every network namespace
// (LOOPBACK_IFINDEX).
const loopback = 1

// smallPacket is the largest size in bytes at which a packet may use the reserve
// of a fourth of the burst. Acknowledgements and the first packets of a connection
// are this small. Their loss slows down the other direction too.
const smallPacket = 128

// program compiles a limit. The bucket is a virtual clock (GCRA). Its time is the
// moment at which all packets that have passed would have left at the rate.
//
//	pass packets of the loopback interface
//	size = bytes on the wire: each segment of a segmented packet has its own headers
//	if bucket.time < now: bucket.time = now   // by cmpxchg: keeps concurrent charges
//	lag = bucket.time - now
//	if lag >= burst, or 5/4 of it for a small packet: drop
//	bucket.time += size / rate                // by atomic add
//	if lag >= burst/2: mark
//
// Processors that decide at the same time may each let one packet pass. All of
// these packets are charged, so the rate is exact for any number of processors.
// The packet that empties the bucket passes whole. Otherwise a burst below 64 KiB
// would stop a 64 KiB packet (one that is segmented later) for ever.
func (d direction) program(b Bandwidth, bucketMap int) []instruction {
	var a assembler
	a.emit(
		instruction{moveReg, rPacket, rContext, 0, 0},
		instruction{loadWord, rWork, rPacket, packetInterface, 0},
	)
	a.jump(jumpIf, rWork, loopback, free)
	a.wireSize()
	a.emit(instruction{wideImm, rBucket, unix.BPF_PSEUDO_MAP_VALUE, 0, int32(bucketMap)}, instruction{})
	a.lag()
	a.decide(d, b.burstTime())
	a.mark(admit)
	a.charge(b.Rate)
	a.markOrPass(d, b.burstTime()/2)
	a.mark(free)
	a.emit(verdict(verdictPass)...)
	return a.code
}

func verdict(v int32) []instruction {
	return []instruction{{moveImm, rAnswer, 0, 0, v}, {exit, 0, 0, 0, 0}}
}

// wide loads a 64-bit number into a register. It takes two instruction slots.
func (a *assembler) wide(reg uint8, n uint64) {
	a.emit(instruction{wideImm, reg, 0, 0, int32(uint32(n))}, instruction{imm: int32(uint32(n >> 32))})
}

// jumpReg emits a jump that compares two registers.
func (a *assembler) jumpReg(opcode, dst, src uint8, to label) {
	a.jumps[to] = append(a.jumps[to], len(a.code))
	a.emit(instruction{opcode, dst, src, 0, 0})
}

// wireSize computes rSize: the length of the packet, plus its network and
// transport headers once more for each further segment. Their sizes come from the
// packet's first bytes:
//
//	IPv4: 4 bits version (4), 4 bits header length in words, ... byte 9: protocol
//	IPv6: 4 bits version (6), ... byte 6: protocol; 40 bytes (segmented packets have no further headers)
//	TCP:  byte 12: 4 bits header length in words
//	UDP:  8 bytes
func (a *assembler) wireSize() {
	const head, size = -24, 20
	a.emit(
		instruction{loadWord, rSize, rPacket, packetLength, 0},
		instruction{loadWord, rNow, rPacket, packetSegments, 0},
	)
	a.jump(jumpUpTo, rNow, 1, counted)
	a.loadBytes(head, size, instruction{moveImm, rArg2, 0, 0, 0})
	a.emit(
		instruction{loadByte, rWork, rStack, head, 0},
		instruction{moveReg, rBucket, rWork, 0, 0}, // the network header's size
		instruction{andImm, rBucket, 0, 0, 0xf},
		instruction{shlImm, rBucket, 0, 0, 2},
		instruction{loadByte, rLimit, rStack, head + 9, 0}, // the protocol
		instruction{shrImm, rWork, 0, 0, 4},
		instruction{jumpIf, rWork, 0, 2, 4},
		instruction{moveImm, rBucket, 0, 0, 40},
		instruction{loadByte, rLimit, rStack, head + 6, 0},
		instruction{moveImm, rWork, 0, 0, 8}, // the transport header's size
	)
	isUDP := len(a.code)
	a.emit(
		instruction{jumpIfNot, rLimit, 0, 0, unix.IPPROTO_TCP},
		instruction{moveReg, rArg2, rBucket, 0, 0},
	)
	a.loadBytes(head, 1, instruction{addImm, rArg2, 0, 0, 12})
	a.emit(
		instruction{loadByte, rWork, rStack, head, 0},
		instruction{shrImm, rWork, 0, 0, 2},
		instruction{andImm, rWork, 0, 0, 0x3c},
	)
	a.land([]int{isUDP})
	a.emit(
		instruction{addReg, rBucket, rWork, 0, 0},
		instruction{addImm, rNow, 0, 0, -1},
		instruction{mulReg, rBucket, rNow, 0, 0},
		instruction{addReg, rSize, rBucket, 0, 0},
	)
	a.mark(counted)
}

// loadBytes copies bytes of the packet to the stack. The instruction offset sets
// rArg2. If the packet is too short, the helper writes zeros.
func (a *assembler) loadBytes(to int16, size int32, offset instruction) {
	a.emit(
		offset,
		instruction{moveReg, rArg1, rPacket, 0, 0},
		instruction{moveReg, rArg3, rStack, 0, 0},
		instruction{addImm, rArg3, 0, 0, int32(to)},
		instruction{moveImm, rArg4, 0, 0, size},
		instruction{callHelper, 0, 0, 0, helperLoadBytes},
	)
}

// lag computes rLag. If the bucket's time has passed, all earlier packets have
// left: lag sets the bucket's time to now, and rLag is 0.
func (a *assembler) lag() {
	a.emit(
		instruction{callHelper, 0, 0, 0, helperNow},
		instruction{moveReg, rNow, rAnswer, 0, 0},
		instruction{loadLong, rLag, rBucket, bucketTime, 0},
	)
	a.jumpReg(jumpAbove, rLag, rNow, waiting)
	a.emit(
		instruction{moveReg, rAnswer, rLag, 0, 0},
		instruction{atomicLong, rBucket, rNow, bucketTime, unix.BPF_CMPXCHG}, // compares with r0
		instruction{moveReg, rLag, rNow, 0, 0},
	)
	a.mark(waiting)
	a.emit(instruction{subReg, rLag, rNow, 0, 0})
}

func (a *assembler) decide(d direction, burst uint64) {
	a.wide(rLimit, burst)
	a.jumpReg(jumpBelow, rLag, rLimit, admit)
	a.emit(instruction{jumpOver, rSize, 0, 3, smallPacket})
	a.wide(rLimit, burst+burst/4)
	a.jumpReg(jumpBelow, rLag, rLimit, admit)
	a.add(bucketDropped, 1)
	if d == egress {
		a.emit(verdict(verdictDropCN)...)
	} else {
		a.emit(verdict(verdictDrop)...)
	}
}

const jumpOver = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K

// add emits an atomic addition of n to a counter of the bucket.
func (a *assembler) add(word int16, n int32) {
	a.emit(
		instruction{moveImm, rWork, 0, 0, n},
		instruction{atomicLong, rBucket, rWork, word, unix.BPF_ADD},
	)
}

// charge counts the packet and adds its time on the wire to the bucket's time. The
// multiplication by 8e9 cannot overflow 64 bits: 64 KiB gives about 2^49.
func (a *assembler) charge(rate uint64) {
	a.emit(instruction{atomicLong, rBucket, rSize, bucketBytes, unix.BPF_ADD})
	a.add(bucketPackets, 1)
	a.emit(
		instruction{mulImm, rSize, 0, 0, 8},
		instruction{mulImm, rSize, 0, 0, 1e9},
	)
	a.wide(rLimit, rate)
	a.emit(
		instruction{divReg, rSize, rLimit, 0, 0},
		instruction{atomicLong, rBucket, rSize, bucketTime, unix.BPF_ADD},
	)
}

// markOrPass reports congestion to the sender once half of the burst is used. An
// egress packet does so by its verdict. An ingress packet gets the ECN mark in its
// header, if the sender supports ECN.
func (a *assembler) markOrPass(d direction, threshold uint64) {
	a.wide(rLimit, threshold)
	a.jumpReg(jumpBelow, rLag, rLimit, free)
	if d == egress {
		a.add(bucketMarked, 1)
		a.emit(verdict(verdictPassCN)...)
		return
	}
	a.emit(
		instruction{moveReg, rArg1, rPacket, 0, 0},
		instruction{callHelper, 0, 0, 0, helperMark},
	)
	a.jump(jumpIf, rAnswer, 0, free)
	a.add(bucketMarked, 1)
}

// socketHook returns the hook of the program that sets mark and priority of new
// sockets.
func socketHook() hook {
	return hook{name: "onggi_socket", program: unix.BPF_PROG_TYPE_CGROUP_SOCK, place: unix.BPF_CGROUP_INET_SOCK_CREATE, bound: true}
}

// Fields of struct bpf_sock.
const (
	socketMark     = 16
	socketPriority = 20
)

// socketProgram compiles a program that sets mark and priority of every new
// socket. A nil value is left alone. The program allows the socket.
func socketProgram(mark, priority *uint32) []instruction {
	var a assembler
	for _, f := range []struct {
		offset int16
		value  *uint32
	}{{socketMark, mark}, {socketPriority, priority}} {
		if f.value != nil {
			a.emit(
				instruction{moveImm, rWork, 0, 0, int32(*f.value)},
				instruction{storeWord, rContext, rWork, f.offset, 0},
			)
		}
	}
	a.emit(verdict(1)...)
	return a.code
}

package stub

// A batch is one message on the control socket. The stub receives it at the fixed address
// ArenaBase, so the sender knows every address in it beforehand:
//
//	ArenaBase ┌────────────────────────────────────────────────────┐
//	          │ calls u32 │ replyOff u32 │ replyLen u32 │ stamps u32 │
//	          ├────────────────────────────────────────────────────┤ HeaderSize
//	          │ call 0 … call n-1, CallSize bytes each             │
//	          ├────────────────────────────────────────────────────┤
//	          │ data: paths, structs, argument vectors             │
//	          ├────────────────────────────────────────────────────┤ replyOff
//	          │ results, 8 bytes each │ bytes to read back         │
//	          ├────────────────────────────────────────────────────┤ stamps, or 0
//	          │ stamp 0 … stamp n, StampSize bytes each            │
//	          └────────────────────────────────────────────────────┘ replyOff+replyLen
//
// The stub sends the last part back as the reply. All integers have the machine's byte
// order. LowHalf is the offset of the low 32 bits in a result: a load of a result loads
// from there.
//
// The highest bit of calls is Behind. It is set in a batch that was sent before the batch
// in front of it was answered. If that one fails, the stub leaves this batch out and does
// not answer it.
//
// A batch has stamps only for a stub that writes them (Timing). It may omit them; their
// address then is 0. Stamp 0 is the time at which the batch was received, and stamp i+1
// the time at which call i returned. The stamp of a call that was not executed keeps the
// sender's value. A stamp:
//
//	Counter   0 value of the counter u64 │ 8 unused
//	Clock     0 seconds u64              │ 8 nanoseconds u64
//
// A call:
//
//	 0 nr       u32  system call number of the machine
//	 4 loads    u8   bit i: argument i is the address of a u32 to be loaded
//	 5 onZero   u8   how many of the next calls to skip when the result is 0
//	 6 onPos    u8   … when the result is positive
//	 7 onFail   u8   … when it failed with a tolerated errno
//	 8 errno1   u16  a tolerated errno; AnyErrno tolerates all
//	10 errno2   u16  another
//	12 result   u32  address where the result (8 bytes) is stored
//	16 args     6×u64
//
// A call uses the result of an earlier call by loading. Results have fixed addresses, and
// descriptors and pids fit in 32 bits.
const (
	// ImageBase is the address at which the image is mapped, ELF header first.
	ImageBase = 0x10000000
	// ArenaBase and ArenaSize are the memory that receives batches. 128 KiB is below
	// the default send buffer of a socket (208 KiB), so a batch is always one message.
	// Untouched pages cost nothing.
	ArenaBase = 0x20000000
	ArenaSize = 128 << 10

	HeaderSize = 16
	CallSize   = 64
	StampSize  = 16 // a fourth of CallSize: the loop relies on it

	behindBit = 31

	offCalls    = 0
	offReplyOff = 4
	offReplyLen = 8
	offStamps   = 12

	offNr     = 0
	offLoads  = 4
	offOnZero = 5
	offOnPos  = 6
	offOnFail = 7
	offErrno1 = 8
	offErrno2 = 10
	offResult = 12
	offArgs   = 16

	// AnyErrno as a tolerated errno means every errno.
	AnyErrno = 0xffff
	// Behind is a bit in the number of calls.
	Behind = 1 << behindBit
	// MaxSkip is the maximum number of calls that one call can skip.
	MaxSkip = 255
	// NotRun is the initial value of a result. It stays there if the call is not
	// executed. No system call returns it.
	NotRun = -1 << 63
	// ExitLost is the exit status of a stub that has lost its control socket.
	ExitLost = 111
	// maxErrno: results from -maxErrno to -1 are failures (errno(3)).
	maxErrno = 4095
)

// Call is one system call of a batch.
type Call struct {
	Nr                    uint32
	Loads                 uint8
	OnZero, OnPos, OnFail uint8
	Errno1, Errno2        uint16
	Result                uint32
	Args                  [6]uint64
}

// Word returns 8 bytes of a structure whose first 4 bytes are n, and the others 0.
func Word(n uint32) uint64 {
	var b [8]byte
	ne.PutUint32(b[:], n)
	return ne.Uint64(b[:])
}

// Short returns 8 bytes of a structure whose first 2 bytes are n, and the others 0.
func Short(n uint16) uint64 {
	var b [8]byte
	ne.PutUint16(b[:], n)
	return ne.Uint64(b[:])
}

// Put writes the call to the first CallSize bytes of b.
func (c *Call) Put(b []byte) {
	_ = b[CallSize-1]
	ne.PutUint32(b[offNr:], c.Nr)
	b[offLoads], b[offOnZero], b[offOnPos], b[offOnFail] = c.Loads, c.OnZero, c.OnPos, c.OnFail
	ne.PutUint16(b[offErrno1:], c.Errno1)
	ne.PutUint16(b[offErrno2:], c.Errno2)
	ne.PutUint32(b[offResult:], c.Result)
	for i, a := range c.Args {
		ne.PutUint64(b[offArgs+8*i:], a)
	}
}

// PutHeader writes the header of a batch to the first HeaderSize bytes of b. calls may
// include Behind. stamps is their offset in the batch, like replyOff; 0 means none.
func PutHeader(b []byte, calls uint32, replyOff, replyLen, stamps int) {
	ne.PutUint32(b[offCalls:], calls)
	ne.PutUint32(b[offReplyOff:], uint32(replyOff))
	ne.PutUint32(b[offReplyLen:], uint32(replyLen))
	if stamps != 0 {
		stamps += ArenaBase
	}
	ne.PutUint32(b[offStamps:], uint32(stamps))
}

package remote

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// Batch is a list of system calls under construction. The zero value is ready
// to use; after Stub.Do it only answers questions about its results.
//
// A Batch is a handle. Results, buffers and descriptors refer to the content
// behind it, so assigning another Batch to the variable begins a new batch and
// leaves those of the old one valid.
type Batch struct{ *content }

// content is everything that belongs to one batch.
type content struct {
	calls  []call
	args   []Arg // of all calls, one after the other
	data   []byte
	relocs []reloc // places in data that hold the address of other data
	reply  int     // bytes of the reply behind the results
	fds    []*FD   // descriptors that the batch opens
	tag    int
	back   []byte // the reply, once there is one
	base   int    // offset of the reply's extra bytes: 8*len(calls)
	pages  int    // bytes of the arena's pages that the batch takes

	presets []preset
	sends   int        // SendFile calls
	files   []*os.File // what they brought

	trace batchTrace
}

// call is one call of the batch; its arguments are laid out when it is encoded.
type call struct {
	name           string
	nr             uint32
	errno1, errno2 uint16
	onZero, onPos  uint8
	onFail, n      uint8
	first          int32 // of its arguments
	slot           int32 // where in the reply the result goes instead, 0: its own place
	tag            int32
	closes         *FD
}

type reloc struct{ at, to int }

// slotFlag marks offsets that count from the end of the results, because how
// many results there will be is not known while the batch is built.
const slotFlag = 1 << 30

// begin makes the content of a batch that has none yet.
func (b *Batch) begin() {
	if b.content == nil {
		b.content = &content{}
	}
}

// Tag sets the tag of the calls added from now on; a failed call brings it
// back, so that the caller knows which of its steps failed.
func (b *Batch) Tag(t int) {
	b.begin()
	b.tag = t
}

// Len is the number of calls.
func (b *Batch) Len() int {
	b.begin()
	return len(b.calls)
}

// Size is what the batch has of the stub's arena, in bytes.
func (b *Batch) Size() int {
	b.begin()
	return stub.HeaderSize + len(b.calls)*CallSize + len(b.data) + b.reply + 16
}

// CallSize is what a call has of that, with its result.
const CallSize = stub.CallSize + 8

// Result is the outcome of one call.
type Result struct {
	b *content
	i int
}

func (b *Batch) call(name string, nr uintptr, args ...Arg) Result {
	b.begin()
	if b.calls == nil {
		b.Expect(firstCalls)
	}
	b.calls = append(b.calls, call{name: name, nr: uint32(nr), tag: int32(b.tag), first: int32(len(b.args)), n: uint8(len(args))})
	b.args = append(b.args, args...)
	return Result{b.content, len(b.calls) - 1}
}

// Expect makes room for that many calls. A list that grows leaves twice its size
// behind, in pages that the kernel has to find first: what is reserved and not
// used costs nothing.
func (b *Batch) Expect(calls int) {
	b.begin()
	b.calls, b.args, b.fds = make([]call, 0, calls), make([]Arg, 0, 4*calls), slices.Grow(b.fds, calls/4)
	b.data = slices.Grow(b.data, 24*calls) // it may have the first call's already
}

// firstCalls is room for a batch of some steps.
const firstCalls = 32

// opens is call for one that returns a descriptor; what names it for people.
func (b *Batch) opens(what, name string, nr uintptr, args ...Arg) *FD {
	r := b.call(name, nr, args...)
	fd := &FD{name: what, n: -1, batch: b.content, call: r.i, off: 8 * r.i}
	b.fds = append(b.fds, fd)
	return fd
}

// Tolerate makes the stub go on when the call fails with one of at most two
// errnos.
func (r Result) Tolerate(errnos ...unix.Errno) Result {
	c := &r.b.calls[r.i]
	switch len(errnos) {
	case 2:
		c.errno2 = uint16(errnos[1])
		fallthrough
	case 1:
		c.errno1 = uint16(errnos[0])
	default:
		panic("BUG: one or two tolerated errnos")
	}
	return r
}

// TolerateAll makes the stub go on whatever the call returns.
func (r Result) TolerateAll() Result {
	r.b.calls[r.i].errno1 = stub.AnyErrno
	return r
}

// since is how many calls were added after this one.
func (r Result) since() uint8 {
	n := len(r.b.calls) - 1 - r.i
	if n > stub.MaxSkip {
		panic("BUG: a skip over too many calls")
	}
	return uint8(n)
}

// OnFailSkip ends the calls that are skipped after a tolerated failure: those
// added since.
func (r Result) OnFailSkip() { r.b.calls[r.i].onFail = r.since() }

// OnZeroSkip ends the calls that are skipped after a result of 0.
func (r Result) OnZeroSkip() { r.b.calls[r.i].onZero = r.since() }

// OnPositiveSkip ends the calls that are skipped after a positive result.
func (r Result) OnPositiveSkip() { r.b.calls[r.i].onPos = r.since() }

// OnPositiveSkipTo makes a positive result go on at call n.
func (r Result) OnPositiveSkipTo(n int) {
	if n-1-r.i > stub.MaxSkip {
		panic("BUG: a skip over too many calls")
	}
	r.b.calls[r.i].onPos = uint8(n - 1 - r.i)
}

// Result gives the call that opens fd.
func (b *Batch) Result(fd *FD) Result { return Result{b.content, fd.call} }

// Subject is the descriptor that call i is about: its first argument.
func (b *Batch) Subject(i int) *FD { return b.args[b.calls[i].first].fd }

// Last is the call that was added last.
func (b *Batch) Last() Result { return Result{b.content, len(b.calls) - 1} }

// str is a string argument, NUL-terminated in the batch.
func (b *Batch) str(s string) Arg {
	b.begin()
	a := Arg{kind: argData, show: showString, value: uint64(len(b.data)), text: s}
	b.data = append(b.data, s...)
	b.data = append(b.data, 0)
	return a
}

// optional is str, or NULL for the empty string.
func (b *Batch) optional(s string) Arg {
	if s == "" {
		return Hex(0)
	}
	return b.str(s)
}

// mem is the address of a copy of p.
func (b *Batch) mem(p []byte) Arg {
	b.align()
	a := Arg{kind: argData, value: uint64(len(b.data))}
	b.data = append(b.data, p...)
	return a
}

// words is the address of little-endian 64-bit words.
func (b *Batch) words(v ...uint64) Arg {
	b.align()
	a := Arg{kind: argData, value: uint64(len(b.data))}
	for _, w := range v {
		b.data = binary.LittleEndian.AppendUint64(b.data, w)
	}
	return a
}

func (b *Batch) align() {
	b.begin()
	for len(b.data)%8 != 0 {
		b.data = append(b.data, 0)
	}
}

// vector is a NULL-terminated array of strings, as execve(2) wants it. It is
// not printed: an environment has secrets.
func (b *Batch) vector(list []string) Arg {
	offs := make([]int, len(list))
	for i, s := range list {
		offs[i] = int(b.str(s).value)
	}
	a := b.words(make([]uint64, len(list)+1)...)
	for i, o := range offs {
		b.relocs = append(b.relocs, reloc{int(a.value) + 8*i, o})
	}
	return a
}

// Buf is memory of the stub that comes back with the reply.
type Buf struct {
	b   *content
	off int
	n   int
}

func (b *Batch) buf(n int) Buf {
	b.begin()
	off := b.reply
	b.reply += (n + 7) &^ 7
	return Buf{b.content, off, n}
}

func (m Buf) arg() Arg { return Arg{kind: argReply, value: uint64(m.off)} }

// Bytes is what the stub's memory held when the reply was sent.
func (m Buf) Bytes() []byte {
	at := m.b.base + m.off
	return m.b.answer()[at : at+m.n]
}

// First is the first n bytes of it, as many as a call says it has stored. That
// number is the container side's, and not believed beyond the end.
func (m Buf) First(n int64) []byte { return m.Bytes()[:min(max(n, 0), int64(m.n))] }

// Value is what the call returned, stub.NotRun if it was not executed.
func (r Result) Value() int64 { return r.b.valueIn(r.b.answer(), r.i) }

// answer is the reply. To ask for results before there is one is a bug of the
// caller's, and must not pass for an answer.
func (b *content) answer() []byte {
	if b.back == nil {
		panic("BUG: a batch was asked for its results before they came")
	}
	return b.back
}

func (b *content) valueIn(reply []byte, i int) int64 {
	at := 8 * i
	if slot := b.calls[i].slot; slot != 0 {
		at = b.base + int(slot)&^slotFlag
	}
	return int64(binary.LittleEndian.Uint64(reply[at:]))
}

// Ran tells whether the call was executed.
func (r Result) Ran() bool { return r.Value() != stub.NotRun }

// Errno is the error that the call returned, 0 for none.
func (r Result) Errno() unix.Errno {
	if v := r.Value(); v < 0 && v >= -4095 {
		return unix.Errno(-v)
	}
	return 0
}

// encode lays the batch out for the stub; stamped, with room for stamps if
// there is any.
func (b *content) encode(stamped, behind bool) ([]byte, error) {
	n := len(b.calls)
	data := stub.HeaderSize + stub.CallSize*n
	reply := (data + len(b.data) + 7) &^ 7
	b.base = 8 * n
	size := reply + b.base + b.reply
	if size > stub.ArenaSize {
		return nil, &SizeError{Calls: n, Size: size, Tag: b.tag}
	}
	stamps := 0
	if room := stub.StampSize * (n + 1); stamped && size+room <= stub.ArenaSize {
		stamps, b.trace.stamps = size, b.base+b.reply
		size += room
	}
	page := os.Getpagesize()
	b.pages = (size + page - 1) / page * page
	msg := make([]byte, size)
	calls := uint32(n)
	if behind {
		calls |= stub.Behind
	}
	stub.PutHeader(msg, calls, reply, size-reply, stamps)
	copy(msg[data:], b.data)
	for _, r := range b.relocs {
		to := data + r.to
		if r.to&replyReloc != 0 {
			to = reply + b.base + r.to&^replyReloc
		}
		binary.LittleEndian.PutUint64(msg[data+r.at:], uint64(stub.ArenaBase+to))
	}
	for _, p := range b.presets {
		copy(msg[reply+b.base+p.off:], p.p)
	}
	for i := range b.calls {
		c := &b.calls[i]
		at := reply + 8*i
		binary.LittleEndian.PutUint64(msg[at:], 1<<63) // stub.NotRun
		if c.slot != 0 {
			at = reply + b.base + int(c.slot)&^slotFlag
			binary.LittleEndian.PutUint64(msg[at:], 1<<63)
		}
		wire := stub.Call{Nr: c.nr, OnZero: c.onZero, OnPos: c.onPos, OnFail: c.onFail, Errno1: c.errno1, Errno2: c.errno2, Result: uint32(stub.ArenaBase + at)}
		for j := range int(c.n) {
			a := &b.args[int(c.first)+j]
			v, load := b.resolve(c, a, data, reply)
			wire.Args[j] = v
			if load {
				wire.Loads |= 1 << j
			}
		}
		wire.Put(msg[stub.HeaderSize+stub.CallSize*i:])
	}
	return msg, nil
}

// resolve turns an argument into what the stub puts into a register, or loads
// it from.
func (b *content) resolve(c *call, a *Arg, data, reply int) (v uint64, load bool) {
	switch a.kind {
	case argData:
		return uint64(stub.ArenaBase+data) + a.value, false
	case argReply:
		return uint64(stub.ArenaBase+reply+b.base) + a.value, false
	case argResult:
		return uint64(stub.ArenaBase+reply) + 8*a.value, false
	case argBehind:
		return stub.ArenaBase + uint64(b.pages), false
	case argFree:
		return stub.ArenaSize - uint64(b.pages), false
	case argLoad:
		return uint64(stub.ArenaBase+reply) + 8*a.value, true
	case argFD:
		return b.resolveFD(c, a.fd, reply)
	}
	return a.value, false
}

func (b *content) resolveFD(c *call, fd *FD, reply int) (v uint64, load bool) {
	switch {
	case fd == nil:
		return ^uint64(0), false
	case fd.n != -1:
		return uint64(fd.n), false
	case fd.batch != b:
		panic("BUG: " + c.name + " uses a descriptor (" + fd.name + ") of a batch that was not done")
	}
	return uint64(stub.ArenaBase + reply + b.offset(fd.off)), true
}

// offset turns a place in the reply that may count from the end of the
// results into one from its start.
func (b *content) offset(off int) int {
	if off&slotFlag != 0 {
		return b.base + off&^slotFlag
	}
	return off
}

// Gone is the number of a descriptor that was never opened or is closed
// again; -1 means that it is not known yet.
const Gone = -2

// settle gives the batch's descriptors their numbers, and forgets those that
// the batch closed again. It returns the ones that stay open.
func (b *content) settle() {
	for _, fd := range b.fds {
		at := b.offset(fd.off)
		v := int32(binary.LittleEndian.Uint32(b.back[at:]))
		if v < 0 || !(Result{b, fd.call}).Ran() || (Result{b, fd.call}).Errno() != 0 {
			v = Gone
		}
		fd.n, fd.batch = int(v), nil
	}
	for i := range b.calls {
		if c := &b.calls[i]; c.closes != nil && (Result{b, i}).Ran() {
			c.closes.n = Gone
		}
	}
}

// Discard is for a batch that is not sent, or left out: what it would have opened
// there is not.
func (b *Batch) Discard() {
	b.begin()
	for _, fd := range b.fds {
		fd.n, fd.batch = Gone, nil
	}
}

// Opened lists the descriptors that the done batch opened and left open, of
// calls with the tag.
func (b *Batch) Opened(tag int) []*FD {
	b.begin()
	var out []*FD
	for _, fd := range b.fds {
		if fd.n >= 0 && int(b.calls[fd.call].tag) == tag {
			out = append(out, fd)
		}
	}
	return out
}

// format prints call i as strace would, without its result.
func (b *content) format(i int) string {
	c := &b.calls[i]
	args := make([]string, c.n)
	for j := range args {
		args[j] = b.formatArg(&b.args[int(c.first)+j])
	}
	return c.name + "(" + strings.Join(args, ", ") + ")"
}

package remote

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// Batch is a list of system calls under construction. The zero value is ready to
// use. After Stub.Do it serves only to read its results.
//
// A Batch is a handle. Results, buffers and descriptors refer to the content behind
// it. Assigning another Batch to the variable starts a new batch; the results of the
// old one stay valid.
type Batch struct{ *content }

// content is the state of one batch.
type content struct {
	calls  []call
	args   []Arg // arguments of all calls, in the order of the calls
	data   []byte
	relocs []reloc // places in data that contain the address of other data
	reply  int     // number of bytes in the reply after the results
	fds    []*FD   // descriptors that the batch opens
	tag    int
	back   []byte // the reply, nil until it has arrived
	used   []byte // the reply of a former batch, for this one's
	base   int    // offset of the reply's extra bytes: 8*len(calls)
	pages  int    // bytes of the arena that the batch uses, whole pages

	presets []preset
	sends   int        // number of SendFile calls
	files   []*os.File // the files received from them

	trace batchTrace
}

// call is one call of the batch. encode converts it to a stub.Call.
type call struct {
	name           string
	nr             uint32
	errno1, errno2 uint16
	onZero, onPos  uint8
	onFail, n      uint8
	first          int32 // index of its first argument
	slot           int32 // another place for the result in the reply; 0: the usual one
	tag            int32
	closes         *FD
}

type reloc struct{ at, to int }

// slotFlag marks offsets that count from the end of the results. The number of
// results is unknown while the batch is built.
const slotFlag = 1 << 30

// take returns n zero bytes of p, or new ones.
func take(p []byte, n int) []byte {
	if cap(p) < n {
		return make([]byte, n)
	}
	clear(p[:n])
	return p[:n]
}

// Renew makes b an empty batch in the memory of former: its calls, arguments, data and
// reply. New memory would cost page faults. The condition: the reply to former has
// arrived, and none of its results and buffers is read any more. Its descriptors stay
// valid. A trace reads the batches at its end, so a traced batch keeps its memory. Next
// is for a batch whose results are still to be read.
func (b *Batch) Renew(former Batch) {
	b.content = nil
	if old := former.content; old != nil && !old.trace.kept {
		b.content = &content{calls: old.calls[:0], args: old.args[:0], data: old.data[:0], fds: old.fds[:0], used: old.back}
	}
}

// begin allocates the content of a batch that has none yet.
func (b *Batch) begin() {
	if b.content == nil {
		b.content = &content{}
	}
}

// Tag sets the tag of the calls added from now on. The error of a failed call
// contains its tag, so the caller knows which of its steps failed. A trace
// attributes calls with a negative tag, or with 0, to the present step.
func (b *Batch) Tag(t int) {
	b.begin()
	b.tag = t
}

// Len returns the number of calls.
func (b *Batch) Len() int {
	b.begin()
	return len(b.calls)
}

// Size returns an upper bound of the batch's size in the stub's arena, in bytes.
func (b *Batch) Size() int {
	b.begin()
	return stub.HeaderSize + len(b.calls)*CallSize + len(b.data) + b.reply + 16
}

// CallSize is the arena space of one call, including its 8-byte result.
const CallSize = stub.CallSize + 8

// Result is the outcome of one call.
type Result struct {
	b *content
	i int
}

func (b *Batch) call(name string, nr uintptr, args ...Arg) Result {
	b.begin()
	if cap(b.calls) == 0 {
		b.Expect(firstCalls)
	}
	b.calls = append(b.calls, call{name: name, nr: uint32(nr), tag: int32(b.tag), first: int32(len(b.args)), n: uint8(len(args))})
	b.args = append(b.args, args...)
	return Result{b.content, len(b.calls) - 1}
}

// Expect reserves memory for that many calls. A slice that grows leaves up to twice
// its size behind as garbage, on pages that the kernel must provide first. Reserved
// memory for calls and arguments costs nothing while it is unused: nothing touches it,
// so the kernel provides no page. (Go clears memory only if it has been used before.)
// The reservations for data and descriptors are an eighth of the whole; slices.Grow
// clears these.
func (b *Batch) Expect(calls int) {
	b.begin()
	if cap(b.calls) < calls {
		b.calls, b.args = make([]call, 0, calls), make([]Arg, 0, 4*calls)
	}
	b.fds = slices.Grow(b.fds, calls/4)
	b.data = slices.Grow(b.data, 24*calls) // may contain data of the first call already
}

// firstCalls is the initial reservation, enough for a batch of several steps.
const firstCalls = 32

// Next returns an empty batch in the memory that b has reserved and not used. The
// condition: all calls of b have been added. A later call would move b to new memory.
// b need not have been sent, and its results stay readable. If too little is left, the
// new batch gets memory of its own. Renew takes the memory of a batch whose results
// nobody reads any more.
func (b *Batch) Next() Batch {
	if b.content == nil || cap(b.calls)-len(b.calls) < firstCalls {
		return Batch{}
	}
	rest := &content{calls: b.calls[len(b.calls):], args: b.args[len(b.args):], data: b.data[len(b.data):]}
	b.calls, b.args, b.data = slices.Clip(b.calls), slices.Clip(b.args), slices.Clip(b.data)
	return Batch{rest}
}

// opens adds a call that returns a descriptor. what is the descriptor's name in
// error messages.
func (b *Batch) opens(what, name string, nr uintptr, args ...Arg) *FD {
	r := b.call(name, nr, args...)
	fd := &FD{name: what, n: -1, batch: b.content, call: r.i, off: 8 * r.i}
	b.fds = append(b.fds, fd)
	return fd
}

// Tolerate makes the stub continue if the call fails with one of at most two errnos.
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

// TolerateAll makes the stub continue after any failure of the call.
func (r Result) TolerateAll() Result {
	r.b.calls[r.i].errno1 = stub.AnyErrno
	return r
}

// since returns the number of calls added after this one.
func (r Result) since() uint8 {
	n := len(r.b.calls) - 1 - r.i
	if n > stub.MaxSkip {
		panic("BUG: a skip over too many calls")
	}
	return uint8(n)
}

// OnFailSkip makes the stub skip the calls added since, if this call fails with a
// tolerated errno.
func (r Result) OnFailSkip() { r.b.calls[r.i].onFail = r.since() }

// OnZeroSkip makes the stub skip the calls added since, if the result is 0.
func (r Result) OnZeroSkip() { r.b.calls[r.i].onZero = r.since() }

// OnPositiveSkip makes the stub skip the calls added since, if the result is
// positive.
func (r Result) OnPositiveSkip() { r.b.calls[r.i].onPos = r.since() }

// OnPositiveSkipTo makes the stub continue at call n if the result is positive.
func (r Result) OnPositiveSkipTo(n int) {
	if n-1-r.i > stub.MaxSkip {
		panic("BUG: a skip over too many calls")
	}
	r.b.calls[r.i].onPos = uint8(n - 1 - r.i)
}

// Result returns the result of the call that opens fd.
func (b *Batch) Result(fd *FD) Result { return Result{b.content, fd.call} }

// Subject returns the first argument of call i, which must be a descriptor.
func (b *Batch) Subject(i int) *FD { return b.args[b.calls[i].first].fd() }

// Last returns the result of the call that was added last.
func (b *Batch) Last() Result { return Result{b.content, len(b.calls) - 1} }

// str adds a NUL-terminated string to the data and returns its address.
func (b *Batch) str(s string) Arg {
	b.begin()
	a := Arg{kind: argData, show: showString, value: uint64(len(b.data))}
	b.data = append(b.data, s...)
	b.data = append(b.data, 0)
	return a
}

// optional is like str, but returns NULL for the empty string.
func (b *Batch) optional(s string) Arg {
	if s == "" {
		return Hex(0)
	}
	return b.str(s)
}

// mem adds a copy of p to the data and returns its address.
func (b *Batch) mem(p []byte) Arg {
	b.align()
	a := Arg{kind: argData, value: uint64(len(b.data))}
	b.data = append(b.data, p...)
	return a
}

// words adds 64-bit words to the data and returns their address.
func (b *Batch) words(v ...uint64) Arg {
	b.align()
	a := Arg{kind: argData, value: uint64(len(b.data))}
	for _, w := range v {
		b.data = binary.NativeEndian.AppendUint64(b.data, w)
	}
	return a
}

func (b *Batch) align() {
	b.begin()
	for len(b.data)%8 != 0 {
		b.data = append(b.data, 0)
	}
}

// vector adds a NULL-terminated array of strings for execve(2) and returns its
// address. It is never printed, because an environment may contain secrets.
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

// Buf is memory of the stub that is sent back with the reply.
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

// Bytes returns the content of the stub's memory when it sent the reply.
func (m Buf) Bytes() []byte {
	at := m.b.base + m.off
	return m.b.answer()[at : at+m.n]
}

// First returns the first n bytes of the buffer. n is the number of bytes that a call
// has stored. It comes from the container side, which may lie, so First limits it to
// the size of the buffer.
func (m Buf) First(n int64) []byte { return m.Bytes()[:min(max(n, 0), int64(m.n))] }

// Value returns the result of the call, or stub.NotRun if it was not executed.
func (r Result) Value() int64 { return r.b.valueIn(r.b.answer(), r.i) }

// answer returns the reply. It panics if there is none: a caller that asks too early
// has a bug and must not read zeros instead.
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
	return int64(binary.NativeEndian.Uint64(reply[at:]))
}

// Ran reports whether the call was executed.
func (r Result) Ran() bool { return r.Value() != stub.NotRun }

// Errno returns the error of the call, or 0.
func (r Result) Errno() unix.Errno {
	if v := r.Value(); v < 0 && v >= -4095 {
		return unix.Errno(-v)
	}
	return 0
}

// encode returns the message for the stub, in the memory of buf if that is large
// enough. If stamped is set and the arena has room, the message includes space for
// stamps. behind sets stub.Behind.
func (b *content) encode(buf []byte, stamped, behind bool) ([]byte, error) {
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
	msg := take(buf, size)
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
		binary.NativeEndian.PutUint64(msg[data+r.at:], uint64(stub.ArenaBase+to))
	}
	for _, p := range b.presets {
		copy(msg[reply+b.base+p.off:], p.p)
	}
	for i := range b.calls {
		c := &b.calls[i]
		at := reply + 8*i
		binary.NativeEndian.PutUint64(msg[at:], 1<<63) // stub.NotRun
		if c.slot != 0 {
			at = reply + b.base + int(c.slot)&^slotFlag
			binary.NativeEndian.PutUint64(msg[at:], 1<<63)
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

// resolve returns the value of an argument for the stub's register. If load is set, v
// is the address from which the stub loads the value.
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
		return uint64(stub.ArenaBase+reply+stub.LowHalf) + 8*a.value, true
	case argLow:
		return uint64(stub.ArenaBase+reply+stub.LowHalf) + 8*a.value, false
	case argFD:
		return b.resolveFD(c, a.fd(), reply)
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
	return uint64(stub.ArenaBase + reply + b.offset(fd.off) + stub.LowHalf), true
}

// offset converts an offset in the reply that may count from the end of the results
// to one from the start.
func (b *content) offset(off int) int {
	if off&slotFlag != 0 {
		return b.base + off&^slotFlag
	}
	return off
}

// Gone is the number of a descriptor that was never opened or has been closed. -1
// means that the number is not known yet.
const Gone = -2

// setNumbers sets the numbers of the batch's descriptors from the reply. A descriptor
// that was not opened, or that the batch has closed again, becomes Gone.
func (b *content) setNumbers() {
	for _, fd := range b.fds {
		at := b.offset(fd.off)
		v := int32(binary.NativeEndian.Uint32(b.back[at+stub.LowHalf:]))
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

// Discard marks the descriptors of a batch as Gone. It is for a batch that was not
// sent, or that the stub has left out.
func (b *Batch) Discard() {
	b.begin()
	for _, fd := range b.fds {
		fd.n, fd.batch = Gone, nil
	}
}

// Opened lists the descriptors that the finished batch has opened and not closed, for
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

// format prints call i like strace, without its result.
func (b *content) format(i int) string {
	c := &b.calls[i]
	args := make([]string, c.n)
	for j := range args {
		args[j] = b.formatArg(&b.args[int(c.first)+j])
	}
	return c.name + "(" + strings.Join(args, ", ") + ")"
}

package remote

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// Batch is a list of system calls under construction. The zero value is ready
// to use; after Stub.Do it only answers questions about its results.
type Batch struct {
	calls  []call
	data   []byte
	relocs []reloc // places in data that hold the address of other data
	reply  int     // bytes of the reply behind the results
	fds    []*FD   // descriptors that the batch opens
	tag    int
	back   []byte // the reply, once there is one
	base   int    // offset of the reply's extra bytes: 8*len(calls)

	presets []preset
	sends   int        // SendFile calls
	files   []*os.File // what they brought
}

type call struct {
	name   string
	wire   stub.Call
	args   [6]Arg
	n      uint8
	slot   int // where in the reply the result goes instead, 0: its own place
	tag    int
	closes *FD
}

type reloc struct{ at, to int }

// slotFlag marks offsets that count from the end of the results, because how
// many results there will be is not known while the batch is built.
const slotFlag = 1 << 30

// Tag sets the tag of the calls added from now on; a failed call brings it
// back, so that the caller knows which of its steps failed.
func (b *Batch) Tag(t int) { b.tag = t }

// Len is the number of calls.
func (b *Batch) Len() int { return len(b.calls) }

// Size is what the batch has of the stub's arena, in bytes.
func (b *Batch) Size() int {
	return stub.HeaderSize + len(b.calls)*(stub.CallSize+8) + len(b.data) + b.reply + 16
}

// Result is the outcome of one call.
type Result struct {
	b *Batch
	i int
}

func (b *Batch) call(name string, nr uintptr, args ...Arg) Result {
	c := call{name: name, tag: b.tag, n: uint8(len(args))}
	c.wire.Nr = uint32(nr)
	copy(c.args[:], args)
	b.calls = append(b.calls, c)
	return Result{b, len(b.calls) - 1}
}

// opens is call for one that returns a descriptor; what names it for people.
func (b *Batch) opens(what, name string, nr uintptr, args ...Arg) *FD {
	r := b.call(name, nr, args...)
	fd := &FD{name: what, n: -1, batch: b, call: r.i, off: 8 * r.i}
	b.fds = append(b.fds, fd)
	return fd
}

// Tolerate makes the stub go on when the call fails with one of at most two
// errnos.
func (r Result) Tolerate(errnos ...unix.Errno) Result {
	c := &r.b.calls[r.i]
	switch len(errnos) {
	case 2:
		c.wire.Errno2 = uint16(errnos[1])
		fallthrough
	case 1:
		c.wire.Errno1 = uint16(errnos[0])
	default:
		panic("BUG: one or two tolerated errnos")
	}
	return r
}

// TolerateAll makes the stub go on whatever the call returns.
func (r Result) TolerateAll() Result {
	r.b.calls[r.i].wire.Errno1 = stub.AnyErrno
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
func (r Result) OnFailSkip() { r.b.calls[r.i].wire.OnFail = r.since() }

// OnZeroSkip ends the calls that are skipped after a result of 0.
func (r Result) OnZeroSkip() { r.b.calls[r.i].wire.OnZero = r.since() }

// OnPositiveSkip ends the calls that are skipped after a positive result.
func (r Result) OnPositiveSkip() { r.b.calls[r.i].wire.OnPos = r.since() }

// OnPositiveSkipTo makes a positive result go on at call n.
func (r Result) OnPositiveSkipTo(n int) {
	if n-1-r.i > stub.MaxSkip {
		panic("BUG: a skip over too many calls")
	}
	r.b.calls[r.i].wire.OnPos = uint8(n - 1 - r.i)
}

// Result gives the call that opens fd.
func (b *Batch) Result(fd *FD) Result { return Result{b, fd.call} }

// Last is the call that was added last.
func (b *Batch) Last() Result { return Result{b, len(b.calls) - 1} }

// str is a string argument, NUL-terminated in the batch.
func (b *Batch) str(s string) Arg {
	a := Arg{kind: argData, value: uint64(len(b.data)), text: s}
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
	for len(b.data)%8 != 0 {
		b.data = append(b.data, 0)
	}
}

// vector is a NULL-terminated array of strings, as execve(2) wants it.
func (b *Batch) vector(list []string) Arg {
	offs := make([]int, len(list))
	for i, s := range list {
		offs[i] = int(b.str(s).value)
	}
	a := b.words(make([]uint64, len(list)+1)...)
	a.text = strings.Join(list, " ")
	for i, o := range offs {
		b.relocs = append(b.relocs, reloc{int(a.value) + 8*i, o})
	}
	return a
}

// Buf is memory of the stub that comes back with the reply.
type Buf struct {
	b   *Batch
	off int
	n   int
}

func (b *Batch) buf(n int) Buf {
	off := b.reply
	b.reply += (n + 7) &^ 7
	return Buf{b, off, n}
}

func (m Buf) arg() Arg { return Arg{kind: argReply, value: uint64(m.off)} }

// Bytes is what the stub's memory held when the reply was sent.
func (m Buf) Bytes() []byte {
	at := m.b.base + m.off
	return m.b.back[at : at+m.n]
}

// Value is what the call returned, stub.NotRun if it was not executed.
func (r Result) Value() int64 {
	c := &r.b.calls[r.i]
	at := 8 * r.i
	if c.slot != 0 {
		at = r.b.base + c.slot&^slotFlag
	}
	return int64(binary.LittleEndian.Uint64(r.b.back[at:]))
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

// encode lays the batch out for the stub.
func (b *Batch) encode() ([]byte, error) {
	n := len(b.calls)
	data := stub.HeaderSize + stub.CallSize*n
	reply := (data + len(b.data) + 7) &^ 7
	b.base = 8 * n
	size := reply + b.base + b.reply
	if size > stub.ArenaSize {
		return nil, fmt.Errorf("a batch of %d calls takes %d bytes: more than the stub's %d", n, size, stub.ArenaSize)
	}
	msg := make([]byte, size)
	stub.PutHeader(msg, n, reply, b.base+b.reply)
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
			at = reply + b.base + c.slot&^slotFlag
			binary.LittleEndian.PutUint64(msg[at:], 1<<63)
		}
		c.wire.Result = uint32(stub.ArenaBase + at)
		for j := range c.args[:c.n] {
			c.wire.Args[j] = b.resolve(c, j, data, reply)
		}
		c.wire.Put(msg[stub.HeaderSize+stub.CallSize*i:])
	}
	return msg, nil
}

// resolve turns an argument into what the stub puts into a register.
func (b *Batch) resolve(c *call, j, data, reply int) uint64 {
	a := &c.args[j]
	switch a.kind {
	case argData:
		return uint64(stub.ArenaBase+data) + a.value
	case argReply:
		return uint64(stub.ArenaBase+reply+b.base) + a.value
	case argLoad:
		c.wire.Loads |= 1 << j
		return uint64(stub.ArenaBase+reply) + 8*a.value
	case argResult:
		return uint64(stub.ArenaBase+reply) + 8*a.value
	case argFD:
		switch {
		case a.fd == nil:
			return ^uint64(0)
		case a.fd.n != -1:
			return uint64(a.fd.n)
		case a.fd.batch != b:
			panic("BUG: " + c.name + " uses a descriptor (" + a.fd.name + ") of a batch that was not done")
		}
		c.wire.Loads |= 1 << j
		return uint64(stub.ArenaBase + reply + b.offset(a.fd.off))
	}
	return a.value
}

// offset turns a place in the reply that may count from the end of the
// results into one from its start.
func (b *Batch) offset(off int) int {
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
func (b *Batch) settle() {
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

// Opened lists the descriptors that the done batch opened and left open, of
// calls with the tag.
func (b *Batch) Opened(tag int) []*FD {
	var out []*FD
	for _, fd := range b.fds {
		if fd.n >= 0 && b.calls[fd.call].tag == tag {
			out = append(out, fd)
		}
	}
	return out
}

// format prints call i as strace would, without its result.
func (b *Batch) format(i int) string {
	c := &b.calls[i]
	args := make([]string, c.n)
	for j := range args {
		args[j] = c.args[j].format()
	}
	return c.name + "(" + strings.Join(args, ", ") + ")"
}

package wire

import (
	"bytes"
	"encoding/binary"
)

// MaxRequest is the length limit of a request, in bytes. The profile of an engine
// makes some 10 KiB.
const MaxRequest = 16 << 20

// Kinds of requests.
const (
	Filter  = 1
	Pattern = 2
)

// A Request is built in the order of its parts. Its kind comes first.
type Request []byte

// Number appends a number.
func (r *Request) Number(n uint32) { *r = binary.NativeEndian.AppendUint32(*r, n) }

// Value appends a value.
func (r *Request) Value(n uint64) { *r = binary.NativeEndian.AppendUint64(*r, n) }

// Text appends a text. A text with a NUL makes the request invalid.
func (r *Request) Text(s string) {
	r.Number(uint32(len(s)))
	*r = append(append(*r, s...), 0)
}

// A Reader reads the parts of a request. A read beyond the end returns a zero or
// an empty text, and leaves the reader bad and empty. So one call of Complete
// after the last read is enough.
type Reader struct {
	rest []byte
	bad  bool
}

// Read begins to read a request.
func Read(request []byte) *Reader { return &Reader{rest: request} }

// Complete reports whether the whole request was read and every part was valid.
func (r *Reader) Complete() bool { return !r.bad && len(r.rest) == 0 }

// Bad marks the request as invalid.
func (r *Reader) Bad() { r.rest, r.bad = nil, true }

func (r *Reader) take(n int) []byte {
	if n > len(r.rest) {
		r.Bad()
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

// Number reads a number.
func (r *Reader) Number() uint32 {
	if b := r.take(4); b != nil {
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

// Value reads a value.
func (r *Reader) Value() uint64 {
	if b := r.take(8); b != nil {
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

// Count reads the number of elements that follow. least is the least size of an
// element. A number larger than the rest of the request can hold is invalid.
func (r *Reader) Count(least int) int {
	n := r.Number()
	if uint64(n)*uint64(least) > uint64(len(r.rest)) {
		r.Bad()
		return 0
	}
	return int(n)
}

// Text reads a text.
func (r *Reader) Text() string {
	length := r.Count(1)
	b := r.take(length + 1)
	if bytes.IndexByte(b, 0) != length {
		r.Bad()
		return ""
	}
	return string(b[:length])
}

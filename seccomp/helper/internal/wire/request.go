package wire

import (
	"bytes"
	"encoding/binary"
)

// MaxRequest is the longest request, in bytes. A profile of an engine makes
// some 10 KiB.
const MaxRequest = 16 << 20

// Kinds of requests.
const (
	Filter  = 1
	Pattern = 2
)

// A Request is made in the order of its parts, from its kind on.
type Request []byte

// Number appends a number.
func (r *Request) Number(n uint32) { *r = binary.NativeEndian.AppendUint32(*r, n) }

// Value appends a value.
func (r *Request) Value(n uint64) { *r = binary.NativeEndian.AppendUint64(*r, n) }

// Text appends a text, in which a NUL makes the request a bad one.
func (r *Request) Text(s string) {
	r.Number(uint32(len(s)))
	*r = append(append(*r, s...), 0)
}

// A Reader takes a request apart. A read beyond the end gives a zero or an
// empty text and leaves the reader bad and empty, so one look at Complete after
// the last read is enough.
type Reader struct {
	rest []byte
	bad  bool
}

// Read begins to read a request.
func Read(request []byte) *Reader { return &Reader{rest: request} }

// Complete reports whether all of the request was read, and all of it was good.
func (r *Reader) Complete() bool { return !r.bad && len(r.rest) == 0 }

// Bad makes the request a bad one.
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

// Number takes a number.
func (r *Reader) Number() uint32 {
	if b := r.take(4); b != nil {
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

// Value takes a value.
func (r *Reader) Value() uint64 {
	if b := r.take(8); b != nil {
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

// Count takes the number of elements that follow, each of which has so many
// bytes at least. More than the request can hold makes it a bad one.
func (r *Reader) Count(least int) int {
	n := r.Number()
	if uint64(n)*uint64(least) > uint64(len(r.rest)) {
		r.Bad()
		return 0
	}
	return int(n)
}

// Text takes a text.
func (r *Reader) Text() string {
	length := r.Count(1)
	b := r.take(length + 1)
	if bytes.IndexByte(b, 0) != length {
		r.Bad()
		return ""
	}
	return string(b[:length])
}

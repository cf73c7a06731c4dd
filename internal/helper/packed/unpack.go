// Package packed makes the helper's executable smaller, and whole again.
//
// The form is a block of LZ4 (its doc/lz4_Block_format.md) behind a header.
// Package compress/flate would make it a tenth smaller, but takes six times as
// long to undo that, and makes tables for it at every start of every program it
// is linked into, 0.02 ms.
//
//	sequence: token | more length | literals | offset | more length
//
// A token is two lengths: that of the literals, and that of what comes after
// them once more, from offset bytes before (16 bits, little-endian). 15 goes on
// in bytes that are added up, until one is not 255. What is repeated has 4
// bytes more than its length says. The last sequence ends after its literals.
package packed

import (
	"encoding/binary"
	"errors"
)

// The header is the sum of the bytes, FNV-1a, and their number. Nobody checks
// the sum: it tells one executable from another.
const (
	sizeAt = 8
	header = sizeAt + 4
)

const (
	shortest = 4  // bytes that are repeated
	more     = 15 // a length in a token that goes on
	maxSize  = 64 << 20
)

var errDamaged = errors.New("it is damaged")

// Identity tells one from another.
func Identity(image string) string { return image[:min(len(image), header)] }

// Unpack undoes Pack.
func Unpack(image string) ([]byte, error) {
	if len(image) < header {
		return nil, errDamaged
	}
	size := binary.LittleEndian.Uint32([]byte(image[sizeAt:header]))
	if size > maxSize {
		return nil, errDamaged
	}
	out, ok := block(image[header:], make([]byte, 0, size))
	if !ok || len(out) != int(size) {
		return nil, errDamaged
	}
	return out, nil
}

// block undoes the sequences. out has room for what they may make.
func block(in string, out []byte) (_ []byte, ok bool) {
	for len(in) > 0 {
		token := in[0]
		var n int
		if n, in, ok = length(token>>4, in[1:]); !ok || n > len(in) || n > cap(out)-len(out) {
			return nil, false
		}
		out, in = append(out, in[:n]...), in[n:]
		if len(in) == 0 {
			return out, true
		}
		if len(in) < 2 {
			return nil, false
		}
		offset := int(in[0]) | int(in[1])<<8
		n, in, ok = length(token&more, in[2:])
		n += shortest
		if !ok || offset == 0 || offset > len(out) || n > cap(out)-len(out) {
			return nil, false
		}
		out = repeat(out, offset, n)
	}
	return nil, false
}

// length completes a length of a token.
func length(nibble byte, in string) (n int, rest string, ok bool) {
	n = int(nibble)
	if n < more {
		return n, in, true
	}
	for i := range len(in) {
		n += int(in[i])
		if in[i] != 255 {
			return n, in[i+1:], n <= maxSize
		}
	}
	return 0, "", false
}

// repeat appends n bytes from offset bytes before. They may be among those that
// it appends: then what is there is doubled.
func repeat(out []byte, offset, n int) []byte {
	from := len(out) - offset
	for n > 0 {
		k := min(n, len(out)-from)
		out = append(out, out[from:from+k]...)
		n -= k
	}
	return out
}

// Package inflate undoes gzip, for an executable in memory.
//
// Package compress/flate makes tables at every start of every program that it
// is linked into, 0.02 ms, and takes twice as long: it reads from streams. Its
// answers are what this one is tested against.
package inflate

import (
	"encoding/binary"
	"errors"
)

const (
	header  = 10 // without a name in it
	trailer = 8  // checksum and size of what is in it
	maxSize = 64 << 20
)

var errDamaged = errors.New("it is damaged")

// Identity tells one file from another.
func Identity(file string) string { return file[max(0, len(file)-trailer):] }

// Gunzip returns what is in a file that gzip -n made (RFC 1952). The checksum
// is not looked at: nothing of what is in an executable gets damaged alone.
func Gunzip(file string) ([]byte, error) {
	if len(file) < header+trailer || file[:4] != "\x1f\x8b\x08\x00" {
		return nil, errors.New("not what gzip -n writes")
	}
	size := binary.LittleEndian.Uint32([]byte(file[len(file)-4:]))
	if size > maxSize {
		return nil, errDamaged
	}
	d := decoder{in: file[header : len(file)-trailer], out: make([]byte, 0, size)}
	for d.block() {
	}
	if d.bad || len(d.out) != int(size) || d.at-int(d.n/8) != len(d.in) {
		return nil, errDamaged
	}
	return d.out, nil
}

// A decoder reads bits, the lowest of a byte first. Once something was wrong it
// is bad, and what it says means nothing.
type decoder struct {
	in   string
	at   int    // of the next byte
	bits uint64 // the next of them, the first one lowest
	n    uint   // how many; above them may be some of those that follow
	out  []byte // has room for all there will be
	bad  bool
}

// block reports whether there is another one (RFC 1951, section 3.2.3).
func (d *decoder) block() bool {
	last := d.take(1) == 1
	switch d.take(2) {
	case 0:
		d.stored()
	case 1:
		d.compressed(fixed())
	case 2:
		d.compressed(d.dynamic())
	default:
		d.bad = true
	}
	return !last && !d.bad
}

// fill makes as many bits there as fit in whole bytes: most often with one load.
func (d *decoder) fill() {
	if len(d.in)-d.at >= 8 {
		d.bits |= word(d.in[d.at:]) << d.n
		d.at += int(63-d.n) / 8
		d.n |= 56
		return
	}
	for d.n <= 56 && d.at < len(d.in) {
		d.bits |= uint64(d.in[d.at]) << d.n
		d.at++
		d.n += 8
	}
}

// word is the first 8 bytes of s, which the compiler makes one load of.
func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func (d *decoder) take(n uint) int {
	if d.n < n {
		d.fill()
	}
	v := int(d.bits & (1<<n - 1))
	d.drop(n)
	return v
}

func (d *decoder) drop(n uint) {
	if d.n < n {
		d.bad = true
		n = d.n
	}
	d.bits >>= n
	d.n -= n
}

// stored is bytes as they are, from the next whole one on.
func (d *decoder) stored() {
	d.drop(d.n % 8)
	n, inverse := d.take(16), d.take(16)
	d.at -= int(d.n / 8)
	d.bits, d.n = 0, 0
	if d.bad || n != inverse^0xffff || n > len(d.in)-d.at || n > d.room() {
		d.bad = true
		return
	}
	d.out = append(d.out, d.in[d.at:d.at+n]...)
	d.at += n
}

func (d *decoder) room() int { return cap(d.out) - len(d.out) }

// compressed reads literals and matches, up to the end of the block.
func (d *decoder) compressed(literals, distances *code, ok bool) {
	const end = 256
	d.bad = d.bad || !ok
	for !d.bad {
		symbol := d.symbol(literals)
		switch {
		case symbol == end:
			return
		case symbol > end:
			n := d.length(symbol - end - 1)
			d.repeat(n, d.distance(d.symbol(distances)))
		case d.room() > 0:
			d.out = append(d.out, byte(symbol))
		default:
			d.bad = true
		}
	}
}

// length is that of a match: 3 to 10 as they are, then four symbols for each
// number of extra bits, and 258 once more at the end.
func (d *decoder) length(symbol int) int {
	switch {
	case symbol < 8:
		return 3 + symbol
	case symbol < 28:
		extra := symbol/4 - 1
		return 3 + (4+symbol%4)<<extra + d.take(uint(extra))
	case symbol == 28:
		return 258
	}
	d.bad = true
	return 0
}

// distance is 1 to 4 as they are, then two symbols for each number of extra bits.
func (d *decoder) distance(symbol int) int {
	switch {
	case symbol < 4:
		return 1 + symbol
	case symbol < 30:
		extra := symbol/2 - 1
		return 1 + (2+symbol%2)<<extra + d.take(uint(extra))
	}
	d.bad = true
	return 0
}

// repeat appends n bytes from a distance before the end. They may be among those
// that it appends: then what is there is doubled.
func (d *decoder) repeat(n, distance int) {
	if d.bad || distance > len(d.out) || n > d.room() {
		d.bad = true
		return
	}
	from := len(d.out) - distance
	for n > 0 {
		k := min(n, len(d.out)-from)
		d.out = append(d.out, d.out[from:from+k]...)
		n -= k
	}
}

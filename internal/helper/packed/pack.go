package packed

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// Pack makes bytes smaller. It takes its time, and is for builds.
func Pack(bytes []byte) []byte {
	sum := fnv.New64a()
	sum.Write(bytes)
	out := sum.Sum(nil)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(bytes)))
	best := plan(bytes)
	literals := 0 // the first of those that wait for their sequence
	for i := 0; i < len(bytes); {
		if best[i].n == 0 {
			i++
			continue
		}
		out = sequence(out, bytes[literals:i], best[i])
		i += best[i].n
		literals = i
	}
	return sequence(out, bytes[literals:], match{})
}

// A match says that n bytes are those that are offset bytes before; or, with
// none, that there is a literal.
type match struct{ offset, n int }

func sequence(out, literals []byte, m match) []byte {
	repeated := max(0, m.n-shortest)
	out = append(out, byte(min(len(literals), more)<<4|min(repeated, more)))
	out = append(appendMore(out, len(literals)), literals...)
	if m.n == 0 {
		return out
	}
	out = binary.LittleEndian.AppendUint16(out, uint16(m.offset))
	return appendMore(out, repeated)
}

// appendMore appends what a token has no room for of a length.
func appendMore(out []byte, n int) []byte {
	if n < more {
		return out
	}
	for n -= more; n >= 255; n -= 255 {
		out = append(out, 255)
	}
	return append(out, byte(n))
}

// plan chooses the cheapest way from each byte to the end, from the end on.
// Literals cost a byte each; that many of them cost a little more is left out.
func plan(bytes []byte) []match {
	found := search(bytes)
	cost := make([]int, len(bytes)+1)
	for i := len(bytes) - 1; i >= 0; i-- {
		cost[i] = 1 + cost[i+1]
		best := match{}
		for n := shortest; n <= found[i].n; n++ {
			if n > enough {
				n = found[i].n
			}
			if c := 3 + (n-shortest+255-more)/255 + cost[i+n]; c < cost[i] {
				cost[i], best = c, match{found[i].offset, n}
			}
		}
		found[i] = best
	}
	return found
}

// A match of enough bytes is not compared with others, or with less of it; one
// of most bytes is not followed further.
const (
	enough = 1 << 6
	most   = 1 << 10
)

// LZ4 asks for literals at the end: no match begins in the last 12 bytes or
// goes on into the last 5.
const (
	lastMatch    = 12
	lastLiterals = 5
)

// search finds the longest match of each byte among those before it, along a
// chain of the places whose first four bytes have the same hash.
func search(bytes []byte) []match {
	const hashBits = 16
	found := make([]match, len(bytes))
	chain := make([]int32, len(bytes)) // from each place to the one before; -1 is none
	newest := slices.Repeat([]int32{-1}, 1<<hashBits)
	for i := 0; i+lastMatch <= len(bytes); i++ {
		hash := binary.LittleEndian.Uint32(bytes[i:]) * 0x9e3779b1 >> (32 - hashBits)
		chain[i], newest[hash] = newest[hash], int32(i)
		found[i] = longest(bytes[:len(bytes)-lastLiterals], chain, i)
	}
	return found
}

// longest gives up after so many places.
func longest(bytes []byte, chain []int32, i int) (best match) {
	const window, patience = 1<<16 - 1, 1 << 10
	at := int(chain[i])
	for tries := 0; at >= 0 && i-at <= window && tries < patience; tries++ {
		if best.n >= enough || i+best.n == len(bytes) {
			break
		}
		if bytes[at+best.n] == bytes[i+best.n] { // else it is not longer
			if n := same(bytes[at:], bytes[i:]); n > best.n {
				best = match{i - at, n}
			}
		}
		at = int(chain[at])
	}
	return best
}

// same counts the bytes that b begins with as a does, up to most.
func same(a, b []byte) int {
	n := 0
	for n < len(b) && n < most && a[n] == b[n] {
		n++
	}
	return n
}

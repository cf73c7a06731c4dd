package inflate

import "math/bits"

const (
	longest  = 15  // bits of a code
	symbols  = 288 // of the largest code
	fastBits = 9
)

// A code is one of Huffman's, given by the length of each symbol (RFC 1951,
// section 3.2.2): symbols of one length have codes that follow each other.
type code struct {
	fast  [1 << fastBits]uint16 // by the next bits: symbol<<4 | length; 0 if it is longer
	count [longest + 1]int      // of the symbols of a length
	order [symbols]uint16       // symbols by length
}

// newCode refuses what is too much for the lengths, or too little, but for no
// symbol at all and one of one bit.
func newCode(lengths []byte) (c *code, ok bool) {
	c = new(code)
	for _, n := range lengths {
		c.count[n]++
	}
	c.count[0] = 0
	var next, place [longest + 1]int // code and place of the next symbol of a length
	left, used := 1, 0
	for n := 1; n <= longest; n++ {
		next[n] = (next[n-1] + c.count[n-1]) << 1
		place[n] = used
		used += c.count[n]
		left = left<<1 - c.count[n]
		if left < 0 {
			return nil, false
		}
	}
	for symbol, n := range lengths {
		if n > 0 {
			c.order[place[n]] = uint16(symbol)
			c.shorten(next[n], symbol, int(n))
			place[n]++
			next[n]++
		}
	}
	return c, left == 0 || used == 0 || used == 1 && c.count[1] == 1
}

// shorten enters a short symbol wherever its bits are the first ones. They come
// highest first.
func (c *code) shorten(value, symbol, n int) {
	if n > fastBits {
		return
	}
	first := int(bits.Reverse16(uint16(value)) >> (16 - n))
	for i := first; i < len(c.fast); i += 1 << n {
		c.fast[i] = uint16(symbol<<4 | n)
	}
}

// symbol reads one.
func (d *decoder) symbol(c *code) int {
	if d.n < longest {
		d.fill()
	}
	e := c.fast[d.bits&(1<<fastBits-1)]
	if e == 0 || uint(e&15) > d.n {
		return d.long(c)
	}
	d.bits >>= e & 15
	d.n -= uint(e & 15)
	return int(e >> 4)
}

// long reads a symbol bit by bit.
func (d *decoder) long(c *code) int {
	value, first, place := 0, 0, 0
	for n := 1; n <= longest; n++ {
		value |= int(d.bits>>(n-1)) & 1
		if i := value - first; i < c.count[n] {
			d.drop(uint(n))
			return int(c.order[place+i])
		}
		place += c.count[n]
		first = (first + c.count[n]) << 1
		value <<= 1
	}
	d.bad = true
	return 0
}

// fixed are the codes that need not be described.
func fixed() (literals, distances *code, ok bool) {
	var lengths [symbols]byte
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	literals, _ = newCode(lengths[:])
	for i := range 32 {
		lengths[i] = 5
	}
	distances, _ = newCode(lengths[:32])
	return literals, distances, true
}

// dynamic reads the lengths of both codes, which are in a code themselves (RFC
// 1951, section 3.2.7).
func (d *decoder) dynamic() (literals, distances *code, ok bool) {
	const order = "\x10\x11\x12\x00\x08\x07\x09\x06\x0a\x05\x0b\x04\x0c\x03\x0d\x02\x0e\x01\x0f"
	nl, nd, n := 257+d.take(5), 1+d.take(5), 4+d.take(4)
	var lengths [len(order)]byte
	for i := range n {
		lengths[order[i]] = byte(d.take(3))
	}
	c, ok := newCode(lengths[:])
	if !ok || nl > 286 || nd > 30 {
		return nil, nil, false
	}
	all := d.lengths(c, nl+nd)
	if d.bad {
		return nil, nil, false
	}
	literals, ok = newCode(all[:nl])
	if !ok {
		return nil, nil, false
	}
	distances, ok = newCode(all[nl:])
	return literals, distances, ok
}

// lengths reads n of them. Three symbols stand for several: the last one again,
// and zeros.
func (d *decoder) lengths(c *code, n int) []byte {
	list := make([]byte, 0, n)
	for len(list) < n && !d.bad {
		value, times := byte(0), 1
		switch symbol := d.symbol(c); {
		case symbol < 16:
			value = byte(symbol)
		case symbol == 16 && len(list) > 0:
			value, times = list[len(list)-1], 3+d.take(2)
		case symbol == 17:
			times = 3 + d.take(3)
		case symbol == 18:
			times = 11 + d.take(7)
		default:
			d.bad = true
		}
		if times > n-len(list) {
			d.bad = true
			break
		}
		for range times {
			list = append(list, value)
		}
	}
	return list
}

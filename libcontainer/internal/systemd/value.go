package systemd

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Values of the D-Bus protocol and their Go types:
//
//	y byte  b bool  n int16  q uint16  i int32  u uint32  x int64  t uint64  d float64
//	s o g string    v Variant    a []any    ( []any, one a member

// Variant is a value with its type.
type Variant struct {
	Type  string // D-Bus signature of one complete type
	Value any
}

// order is the byte order of our messages. A message in the other order is refused.
var order = binary.LittleEndian

// typeLen returns the length of the first complete type of a valid signature.
func typeLen(sig string) int {
	switch sig[0] {
	case 'a':
		return 1 + typeLen(sig[1:])
	case '(':
		n := 1
		for sig[n] != ')' {
			n += typeLen(sig[n:])
		}
		return n + 1
	}
	return 1
}

// alignment returns the alignment of a type.
func alignment(t byte) int {
	switch t {
	case 'n', 'q':
		return 2
	case 'b', 'i', 'u', 's', 'o', 'a':
		return 4
	case 'x', 't', 'd', '(':
		return 8
	}
	return 1
}

// encoder writes values. Its first error is a value of the wrong type.
type encoder struct {
	buf []byte
	err error
}

func (e *encoder) pad(n int) {
	for len(e.buf)%n != 0 {
		e.buf = append(e.buf, 0)
	}
}

// values writes a value for each type of a valid signature.
func (e *encoder) values(sig string, values []any) {
	for _, v := range values {
		if sig == "" {
			e.err = fmt.Errorf("BUG: more values than types: %v", values)
			return
		}
		n := typeLen(sig)
		e.value(sig[:n], v)
		sig = sig[n:]
	}
	if sig != "" {
		e.err = fmt.Errorf("BUG: no value for the type %q", sig)
	}
}

func (e *encoder) value(t string, v any) {
	e.pad(alignment(t[0]))
	switch v := v.(type) {
	case string:
		e.text(t, v)
	case bool:
		e.value("u", map[bool]uint32{true: 1}[v])
	case Variant:
		e.text("g", v.Type)
		e.value(v.Type, v.Value)
	case []any:
		e.members(t, v)
	default:
		begin := len(e.buf)
		var err error
		if e.buf, err = binary.Append(e.buf, order, v); err != nil || len(e.buf)-begin != alignment(t[0]) {
			e.err = fmt.Errorf("BUG: %T for the type %q", v, t)
		}
	}
}

// text writes a string with its length before it and a NUL behind it.
func (e *encoder) text(t, s string) {
	if t == "g" {
		e.buf = append(e.buf, byte(len(s)))
	} else {
		e.value("u", uint32(len(s)))
	}
	e.buf = append(append(e.buf, s...), 0)
}

func (e *encoder) members(t string, all []any) {
	if t[0] != 'a' {
		e.values(t[1:len(t)-1], all)
		return
	}
	e.value("u", uint32(0))
	at := len(e.buf)
	e.pad(alignment(t[1])) // not a part of the length
	begin := len(e.buf)
	for _, m := range all {
		e.value(t[1:], m)
	}
	order.PutUint32(e.buf[at-4:], uint32(len(e.buf)-begin))
}

// errMessage is the error for a malformed message of the other side.
var errMessage = errors.New("malformed D-Bus message")

// decoder reads the needed types: texts and numbers, alone or as variants. It keeps
// the first error and returns zero values after it.
type decoder struct {
	buf []byte
	at  int
	err error
}

// take returns the next n bytes, beginning at a multiple of align.
func (d *decoder) take(n, align int) []byte {
	begin := (d.at + align - 1) / align * align
	if d.err != nil || n < 0 || begin > len(d.buf) || n > len(d.buf)-begin {
		d.err = errMessage
		return make([]byte, 4)
	}
	d.at = begin + n
	return d.buf[begin:d.at]
}

func (d *decoder) u32() uint32 { return order.Uint32(d.take(4, 4)) }

func (d *decoder) text(n int) string {
	s := string(d.take(n, 1))
	d.take(1, 1) // its NUL
	if d.err != nil {
		return ""
	}
	return s
}

// value reads a string or a uint32. It reads no other type.
func (d *decoder) value(t string) any {
	switch t {
	case "s", "o":
		return d.text(int(d.u32()))
	case "g":
		return d.text(int(d.take(1, 1)[0]))
	case "u":
		return d.u32()
	case "v":
		return d.value(d.text(int(d.take(1, 1)[0])))
	}
	d.err = errMessage
	return nil
}

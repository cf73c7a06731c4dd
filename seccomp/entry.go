package seccomp

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A cached filter is one file:
//
//	0       8       12       16        20      24    32
//	| magic | flags | code n | names n | key n | sum | code | names | key |
//
// Integers have native byte order, as the program has. Names are separated by
// NUL. The entry holds the whole key, so that it is never taken for another's,
// whatever its name. The sum covers the bytes before and after it and detects an
// entry that was truncated or damaged. It does not protect against an attacker;
// the directory's mode does. SHA-256, which was here before, cost more to link
// than to calculate: 0.05 ms of every start.
const (
	entryMagic  = "onggibp2"
	sumAt       = 24
	entryHeader = sumAt + 8

	maxCode  = unix.BPF_MAXINSNS * unix.SizeofSockFilter
	maxNames = 64 << 10 // some 4000 unknown syscalls
	maxKey   = 1 << 20  // the JSON of a profile: docker's has 15 KiB
	maxEntry = entryHeader + maxCode + maxNames + maxKey
)

// A key holds everything that a filter depends on.
type key string

// name returns the name of the key's file. Two keys with one name replace each other.
func (k key) name() string { return strconv.FormatUint(sum64(string(k)), 16) }

// marshal returns the bytes of an entry, or nil if they would be too many.
func (f Filter) marshal(k key) []byte {
	names := strings.Join(f.Unknown, "\x00")
	if len(f.Program) > maxCode || len(names) > maxNames || len(k) > maxKey {
		return nil
	}
	b := []byte(entryMagic)
	for _, n := range []uint32{f.Flags, uint32(len(f.Program)), uint32(len(names)), uint32(len(k))} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	body := string(f.Program) + names + string(k)
	return append(binary.NativeEndian.AppendUint64(b, sum64(string(b), body)), body...)
}

// sum64 returns a checksum of the parts. It detects damage, not attacks.
func sum64(parts ...string) uint64 {
	const odd = 0x9e3779b97f4a7c15 // bits of the golden ratio: they have no pattern
	h := uint64(odd)
	for _, s := range parts {
		h = (h ^ uint64(len(s))) * odd
		for ; len(s) >= 8; s = s[8:] {
			h = bits.RotateLeft64((h^word(s))*odd, 29)
		}
		for i := range len(s) {
			h = bits.RotateLeft64((h^uint64(s[i]))*odd, 29)
		}
	}
	return h ^ h>>32
}

// word returns the first 8 bytes of s. The compiler makes one load of it.
func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// unmarshal reads an entry. It refuses everything that marshal would not have
// written for this key.
func unmarshal(k key, b []byte) (Filter, bool) {
	if len(b) < entryHeader || len(b) > maxEntry || string(b[:8]) != entryMagic {
		return Filter{}, false
	}
	header, body := b[:sumAt], b[entryHeader:]
	flags := binary.NativeEndian.Uint32(header[8:])
	code := binary.NativeEndian.Uint32(header[12:])
	names := binary.NativeEndian.Uint32(header[16:])
	own := binary.NativeEndian.Uint32(header[20:])
	if code == 0 || code > maxCode || code%unix.SizeofSockFilter != 0 || uint64(code)+uint64(names)+uint64(own) != uint64(len(body)) {
		return Filter{}, false
	}
	if string(body[code+names:]) != string(k) || binary.NativeEndian.Uint64(b[sumAt:]) != sum64(string(header), string(body)) {
		return Filter{}, false
	}
	return Filter{
		Program:  body[:code:code],
		Flags:    flags,
		Listener: flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0,
		Unknown:  split(body[code : code+names]),
	}, true
}

func split(names []byte) []string {
	if len(names) == 0 {
		return nil
	}
	return strings.Split(string(names), "\x00")
}

package seccomp

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"
)

// A cached filter is one file:
//
//	0       8       12       16        20    52
//	| magic | flags | code n | names n | sum | code | names |
//
// Integers have native byte order, as the program has. Names are separated by
// NUL. The sum is SHA-256 of the key, the bytes before the sum and those
// after it: an entry that was truncated, damaged or put in another's place does
// not pass.
const (
	entryMagic  = "onggibpf"
	sumAt       = 20
	entryHeader = sumAt + sha256.Size

	maxCode  = unix.BPF_MAXINSNS * unix.SizeofSockFilter
	maxNames = 64 << 10 // some 4000 unknown syscalls
	maxEntry = entryHeader + maxCode + maxNames
)

// A key names an entry.
type key [sha256.Size]byte

// marshal returns the bytes of an entry, or none if they would be too many.
func (f Filter) marshal(k key) []byte {
	names := strings.Join(f.Unknown, "\x00")
	if len(f.Program) > maxCode || len(names) > maxNames {
		return nil
	}
	b := []byte(entryMagic)
	b = binary.NativeEndian.AppendUint32(b, f.Flags)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(f.Program)))
	b = binary.NativeEndian.AppendUint32(b, uint32(len(names)))
	body := append(append([]byte(nil), f.Program...), names...)
	sum := entrySum(k, b, body)
	return append(append(b, sum[:]...), body...)
}

func entrySum(k key, header, body []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(k[:])
	h.Write(header)
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}

// unmarshal reads an entry; anything that marshal would not have written for
// this key is refused.
func unmarshal(k key, b []byte) (Filter, bool) {
	if len(b) < entryHeader || len(b) > maxEntry || string(b[:8]) != entryMagic {
		return Filter{}, false
	}
	header, sum, body := b[:sumAt], b[sumAt:entryHeader], b[entryHeader:]
	flags := binary.NativeEndian.Uint32(header[8:])
	code := binary.NativeEndian.Uint32(header[12:])
	names := binary.NativeEndian.Uint32(header[16:])
	if code == 0 || code > maxCode || code%unix.SizeofSockFilter != 0 || uint64(code)+uint64(names) != uint64(len(body)) {
		return Filter{}, false
	}
	if want := entrySum(k, header, body); !bytes.Equal(sum, want[:]) {
		return Filter{}, false
	}
	return Filter{
		Program:  body[:code:code],
		Flags:    flags,
		Listener: flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0,
		Unknown:  split(body[code:]),
	}, true
}

func split(names []byte) []string {
	if len(names) == 0 {
		return nil
	}
	return strings.Split(string(names), "\x00")
}

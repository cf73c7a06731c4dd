package wire

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// MaxReply is the length limit of a reply, in bytes. A program has at most 32 KiB;
// the table of numbers beside it has some 2 KiB for each architecture.
const MaxReply = 32 << 20

// A Reply is the result of a request.
type Reply struct {
	Status Status
	Index  uint32     // of the element that stopped it
	Errno  unix.Errno // the errno of the failure
	Body   []byte
}

// Status is the stage at which a request stopped.
type Status uint32

// Stages at which a request can stop.
const (
	Done Status = iota
	BadRequest
	BadDefault      // seccomp_init
	BadArchitecture // seccomp_arch_add; the index says which
	BadRule         // seccomp_rule_add_array; the index says which
	BadFilter       // the filter as a whole
	BadPattern      // the expression; the body is the reason
)

const header = 16

// Bytes returns the encoded reply.
func (r Reply) Bytes() []byte {
	b := make([]byte, 0, header+len(r.Body))
	for _, n := range []uint32{uint32(header + len(r.Body)), uint32(r.Status), r.Index, uint32(r.Errno)} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return append(b, r.Body...)
}

// Parse reads a reply.
func Parse(b []byte) (Reply, error) {
	if len(b) < header || uint64(binary.NativeEndian.Uint32(b)) != uint64(len(b)) {
		return Reply{}, fmt.Errorf("%d bytes are not one", len(b))
	}
	r := Reply{
		Status: Status(binary.NativeEndian.Uint32(b[4:])),
		Index:  binary.NativeEndian.Uint32(b[8:]),
		Errno:  unix.Errno(binary.NativeEndian.Uint32(b[12:])),
		Body:   b[header:],
	}
	if r.Status > BadPattern {
		return Reply{}, fmt.Errorf("status %d", r.Status)
	}
	return r, nil
}

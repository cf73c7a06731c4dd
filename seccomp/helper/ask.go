package helper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Request is made in the order of its parts, from its kind on.
type Request []byte

// Kinds of requests.
const (
	Filter  = 1
	Pattern = 2
)

// Number appends a number.
func (r *Request) Number(n uint32) { *r = binary.NativeEndian.AppendUint32(*r, n) }

// Value appends a value.
func (r *Request) Value(n uint64) { *r = binary.NativeEndian.AppendUint64(*r, n) }

// Text appends a text, in which a NUL makes the request a bad one.
func (r *Request) Text(s string) {
	r.Number(uint32(len(s)))
	*r = append(append(*r, s...), 0)
}

// A Reply says how far a request got.
type Reply struct {
	Status Status
	Index  uint32     // of the element that stopped it
	Errno  unix.Errno // that it was stopped with
	Body   []byte
}

// Status is where a request was stopped, as native/helper.h has it.
type Status uint32

// Stations of requests.
const (
	Done Status = iota
	badRequest
	BadDefault
	BadArchitecture
	BadRule
	BadFilter
	BadPattern
)

// Ask sends a request and waits for its reply. Where the helper is a process of
// its own, ctx can interrupt it, and it has a deadline.
func Ask(ctx context.Context, request Request) (Reply, error) {
	b, err := run(ctx, request)
	if err != nil {
		return Reply{}, err
	}
	reply, err := parse(b)
	if err != nil {
		return Reply{}, fmt.Errorf("helper: reply: %w", err)
	}
	if reply.Status == badRequest {
		return Reply{}, errors.New("helper: it cannot read the request")
	}
	return reply, nil
}

const header = 16

func parse(b []byte) (Reply, error) {
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

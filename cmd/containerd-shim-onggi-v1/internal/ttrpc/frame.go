package ttrpc

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

const (
	headerSize = 10
	// MaxPayload is the largest payload of a frame, in bytes. containerd has the same bound.
	MaxPayload = 4 << 20
)

// Types of frames.
const (
	typeRequest  = 1
	typeResponse = 2
)

type header struct {
	length uint32
	stream uint32
	kind   byte
	flags  byte
}

func (h header) put(b []byte) {
	binary.BigEndian.PutUint32(b[0:], h.length)
	binary.BigEndian.PutUint32(b[4:], h.stream)
	b[8], b[9] = h.kind, h.flags
}

func parseHeader(b []byte) header {
	return header{binary.BigEndian.Uint32(b[0:]), binary.BigEndian.Uint32(b[4:]), b[8], b[9]}
}

// tooLarge is the error for a payload above MaxPayload. readFrame has skipped the payload.
type tooLarge struct{ length uint32 }

func (e tooLarge) Error() string {
	return fmt.Sprintf("a message of %d bytes is larger than the maximum of %d", e.length, MaxPayload)
}

// readFrame reads one frame. After any error other than tooLarge the connection is unusable.
func readFrame(r io.Reader) (header, []byte, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return header{}, nil, err
	}
	h := parseHeader(b[:])
	if h.length > MaxPayload {
		if _, err := io.CopyN(io.Discard, r, int64(h.length)); err != nil {
			return h, nil, err
		}
		return h, nil, tooLarge{h.length}
	}
	payload := make([]byte, h.length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return h, nil, err
	}
	return h, payload, nil
}

// frame returns the bytes of a frame that carries a message.
func frame(stream uint32, kind byte, m wire.Message) ([]byte, error) {
	payload, err := m.MarshalVT()
	if err != nil {
		return nil, err
	}
	if len(payload) > MaxPayload {
		return nil, tooLarge{uint32(len(payload))}
	}
	b := make([]byte, headerSize+len(payload))
	header{length: uint32(len(payload)), stream: stream, kind: kind}.put(b)
	copy(b[headerSize:], payload)
	return b, nil
}

package ttrpc

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

// Client makes calls over one connection, one after another.
type Client struct {
	mu     sync.Mutex
	file   *os.File
	stream uint32
}

// Connect returns a client of the server at an address.
func Connect(address string) (*Client, error) {
	file, err := Dial(address)
	if err != nil {
		return nil, err
	}
	return &Client{file: file}, nil
}

// Close closes the connection.
func (c *Client) Close() { c.file.Close() }

// Call makes one call and waits for its response until ctx ends. An *Error is the server's
// answer. After any other error the client is unusable.
func (c *Client) Call(ctx context.Context, service, method string, metadata []*wire.KeyValue, in, out wire.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	payload, err := in.MarshalVT()
	if err != nil {
		return err
	}
	r := &wire.Request{Service: service, Method: method, Payload: payload, Metadata: metadata}
	deadline, bounded := ctx.Deadline()
	if bounded {
		r.TimeoutNano = int64(time.Until(deadline))
	}
	c.stream += 2
	stream := c.stream - 1
	request, err := frame(stream, typeRequest, r)
	if err != nil {
		return err
	}
	_ = c.file.SetDeadline(deadline) // the zero time means no deadline
	stop := context.AfterFunc(ctx, func() { _ = c.file.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.file.Write(request); err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	for {
		h, payload, err := readFrame(c.file)
		switch {
		case err != nil:
			return fmt.Errorf("call %s: %w", method, err)
		case h.kind != typeResponse || h.stream != stream:
			continue // the response to an earlier call whose ctx ended
		}
		return decode(payload, out)
	}
}

func decode(payload []byte, out wire.Message) error {
	var r wire.Response
	if err := r.UnmarshalVT(payload); err != nil {
		return err
	}
	if err := errorOf(r.Status); err != nil {
		return err
	}
	return out.UnmarshalVT(r.Payload)
}

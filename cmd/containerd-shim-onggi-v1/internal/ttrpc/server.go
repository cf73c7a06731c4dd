package ttrpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

// Server answers the calls on all connections to one socket.
type Server struct {
	// Handle answers a call. The server calls it in a goroutine of its own. Handle, or
	// code that it hands the call to, calls Reply once. After a panic the server replies.
	Handle func(*Call)
	// Log receives panics and refused connections.
	Log func(text string)
	// The server calls Busy when the first connection is opened, and Idle when the last one
	// is closed. They may be nil.
	Idle, Busy func()

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// Serve accepts connections until the listener is closed.
func (s *Server) Serve(listener *os.File) error {
	for {
		file, err := accept(listener)
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			s.Log(fmt.Sprintf("a connection has to wait: %v", err))
			<-time.After(retryAccept)
			continue
		case err != nil:
			return err
		}
		if !isOurs(file) {
			s.Log("refused a connection of another user")
			file.Close()
			continue
		}
		go s.serve(file)
	}
}

// retryAccept is the pause after a lack of descriptors or memory.
const retryAccept = 100 * time.Millisecond

// Close closes all connections.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.file.Close()
	}
}

func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	if len(s.conns) == 1 && s.Busy != nil {
		s.Busy()
	}
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.Idle != nil {
		s.Idle()
	}
}

// conn is one connection. Its goroutine reads; any goroutine writes.
type conn struct {
	server *Server
	file   *os.File
	ctx    context.Context // ends with the connection
	write  sync.Mutex
}

func (s *Server) serve(file *os.File) {
	ctx, stop := context.WithCancel(context.Background())
	c := &conn{server: s, file: file, ctx: ctx}
	s.add(c)
	defer s.remove(c)
	defer file.Close()
	defer stop()
	// Requests are small. Large payloads bypass the buffer.
	in := bufio.NewReaderSize(file, 1024)
	var last uint32
	for {
		h, payload, err := readFrame(in)
		var large tooLarge
		switch {
		case errors.As(err, &large):
			c.reply(h.stream, nil, Errorf(InvalidArgument, "%v", err))
			continue
		case err != nil:
			return
		case h.kind != typeRequest || h.stream%2 == 0 || h.stream <= last:
			// Stream numbers must increase. After a frame that breaks the protocol, the rest of
			// the connection cannot be trusted.
			c.server.Log(fmt.Sprintf("closed a connection: frame of type %d on stream %d after %d", h.kind, h.stream, last))
			return
		}
		last = h.stream
		call, err := newCall(c, h.stream, payload)
		if err != nil {
			c.reply(h.stream, nil, Errorf(InvalidArgument, "the request of stream %d cannot be decoded: %v", h.stream, err))
			continue
		}
		go call.handle()
	}
}

// writeTime bounds the write of a response. The server closes the connection of a client
// that does not read for so long.
const writeTime = 10 * time.Second

func (c *conn) reply(stream uint32, m wire.Message, err error) {
	response := &wire.Response{Status: statusOf(err)}
	if err == nil && m != nil {
		response.Payload, err = m.MarshalVT()
		response.Status = statusOf(err)
	}
	out, err := frame(stream, typeResponse, response)
	if err != nil {
		out, _ = frame(stream, typeResponse, &wire.Response{Status: statusOf(Errorf(Internal, "%v", err))})
	}
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.file.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := c.file.Write(out); err != nil {
		// The client may have a part of the response, so the connection is unusable.
		c.file.Close()
	}
}

// Call is one call of a client.
type Call struct {
	Service string
	Method  string
	Payload []byte

	conn    *conn
	stream  uint32
	timeout time.Duration
	once    sync.Once
}

func newCall(c *conn, stream uint32, payload []byte) (*Call, error) {
	var r wire.Request
	if err := r.UnmarshalVT(payload); err != nil {
		return nil, err
	}
	return &Call{Service: r.Service, Method: r.Method, Payload: r.Payload, conn: c, stream: stream, timeout: time.Duration(r.TimeoutNano)}, nil
}

func (c *Call) handle() {
	defer func() {
		if r := recover(); r != nil {
			c.conn.server.Log(fmt.Sprintf("BUG: panic in %s: %v\n%s", c.Method, r, debug.Stack()))
			c.Reply(nil, Errorf(Internal, "BUG: panic in %s: %v", c.Method, r))
		}
	}()
	c.conn.server.Handle(c)
}

// Context returns a context that ends with the connection, or at the client's timeout.
func (c *Call) Context() (context.Context, context.CancelFunc) {
	if c.timeout > 0 {
		return context.WithTimeout(c.conn.ctx, c.timeout)
	}
	return context.WithCancel(c.conn.ctx)
}

// Reply answers the call. Only the first reply counts. A nil m is an empty message.
func (c *Call) Reply(m wire.Message, err error) {
	c.once.Do(func() { c.conn.reply(c.stream, m, err) })
}

// Gone reports whether the client has closed the connection. A reply cannot reach it then.
func (c *Call) Gone() bool { return c.conn.ctx.Err() != nil }

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

// TestFrame compares the bytes of a frame with the wire format.
func TestFrame(t *testing.T) {
	got, err := frame(3, typeRequest, &wire.ShutdownRequest{Id: "x"})
	want := []byte{0, 0, 0, 3, 0, 0, 0, 3, 1, 0, 0x0a, 1, 'x'}
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("frame = %x, %v; want %x", got, err, want)
	}
	h, payload, err := readFrame(bytes.NewReader(got))
	if err != nil || h != (header{3, 3, typeRequest, 0}) || !bytes.Equal(payload, want[headerSize:]) {
		t.Errorf("readFrame = %+v, %x, %v", h, payload, err)
	}
}

// TestTooLarge checks that readFrame skips a payload above the maximum and reads the next frame.
func TestTooLarge(t *testing.T) {
	var b bytes.Buffer
	var head [headerSize]byte
	header{length: MaxPayload + 1, stream: 1, kind: typeRequest}.put(head[:])
	b.Write(head[:])
	b.Write(make([]byte, MaxPayload+1))
	next, _ := frame(3, typeRequest, &wire.Empty{})
	b.Write(next)
	if _, _, err := readFrame(&b); !errors.As(err, new(tooLarge)) {
		t.Errorf("readFrame = %v; want tooLarge", err)
	}
	if h, _, err := readFrame(&b); err != nil || h.stream != 3 {
		t.Errorf("the next frame = %+v, %v; want stream 3", h, err)
	}
}

// FuzzReadFrame checks that readFrame returns a frame or an error for any bytes.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 0, 0, 0, 3, 1, 0, 0x0a, 1, 'x'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, payload, err := readFrame(bytes.NewReader(data))
		if err == nil && len(payload) != int(h.length) {
			t.Errorf("a payload of %d bytes for a length of %d", len(payload), h.length)
		}
		var r wire.Request
		_ = r.UnmarshalVT(payload)
	})
}

// serve starts a server with a handler, and returns a client.
func serve(t *testing.T, handle func(*Call)) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Handle: handle, Log: func(string) {}}
	done := make(chan error)
	go func() { done <- s.Serve(listener) }()
	client, err := Connect("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		listener.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v after Close", err)
		}
	})
	return client
}

func TestCalls(t *testing.T) {
	client := serve(t, func(c *Call) {
		switch c.Method {
		case "Echo":
			var r wire.ShutdownRequest
			err := r.UnmarshalVT(c.Payload)
			c.Reply(&r, err)
			c.Reply(nil, errors.New("a second reply")) // has no effect
		case "Panic":
			panic("for the test")
		case "Timeout":
			ctx, stop := c.Context()
			defer stop()
			<-ctx.Done()
			c.Reply(nil, ctx.Err())
		case "Silence":
		default:
			c.Reply(nil, Errorf(NotFound, "no method %s", c.Method))
		}
	})
	call := func(method string, most time.Duration) (string, error) {
		ctx, stop := context.WithTimeout(context.Background(), most)
		defer stop()
		var out wire.ShutdownRequest
		err := client.Call(ctx, "s", method, nil, &wire.ShutdownRequest{Id: "text"}, &out)
		return out.Id, err
	}
	if got, err := call("Echo", time.Minute); got != "text" || err != nil {
		t.Errorf("Echo = %q, %v", got, err)
	}
	for method, want := range map[string]Code{"Panic": Internal, "Other": NotFound} {
		var e *Error
		if _, err := call(method, time.Minute); !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s = %v; want code %d", method, err, want)
		}
	}
	if got, err := call("Echo", time.Minute); got != "text" || err != nil {
		t.Errorf("Echo after errors = %q, %v", got, err)
	}
	if _, err := call("Silence", 50*time.Millisecond); err == nil {
		t.Error("a call without an answer has no error")
	}
}

// TestListenTwice checks that Listen fails for an address in use, and does not take it away.
func TestListenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(path); err == nil {
		t.Error("the second Listen has no error")
	}
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := Dial(path + ".nobody"); err == nil {
		t.Error("Dial of nobody has no error")
	}
}

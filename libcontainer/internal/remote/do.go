package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// maxFiles is the most descriptors that one message carries (SCM_MAX_FD, 253).
const maxFiles = 253

// Do has the stub execute the batch and waits for the results. The error is a
// *CallError for a call that failed and was not tolerated, *DeathError,
// ErrTimeout, or what sending returned.
func (s *Stub) Do(b *Batch) error {
	if b.Len() == 0 {
		return nil // the stub's answer would be an empty message
	}
	if err := s.Send(b); err != nil {
		return err
	}
	return s.Receive(b)
}

// Send gives the stub the batch without waiting for it: the way to queue the
// next one while it works, or one that never answers.
func (s *Stub) Send(b *Batch) error { return s.queue(b, b, false) }

// SendBehind is Send while another batch is with the stub, front. If that one
// fails, the stub leaves b out, and there is nothing of it to receive. b has no
// use for what front opens, and front no SendFile calls.
func (s *Stub) SendBehind(b, front *Batch) error { return s.queue(b, front, true) }

// queue sends b. If the stub is dead, it is front that it was busy with.
func (s *Stub) queue(b, front *Batch, behind bool) error {
	defer s.trace.Begin(timeline.Work, "send a batch").End()
	msg, err := b.encode(s.trace != nil, behind)
	if err != nil {
		return err
	}
	b.trace.sent = s.trace.Now()
	if err = s.send(front, msg, nil); err != nil {
		s.unanswered(b, err)
	}
	return err
}

// CanFollow tells whether b can be sent behind front.
func (b *Batch) CanFollow(front *Batch) bool {
	if front.sends > 0 {
		return false
	}
	return len(front.fds) == 0 || !slices.ContainsFunc(b.args, func(a Arg) bool { return a.fd != nil && a.fd.batch == front.content })
}

// SendLast is Send for a batch that is not answered.
func (s *Stub) SendLast(b *Batch) error {
	defer s.trace.Begin(timeline.Work, "send the last batch").End()
	msg, err := b.encode(false, false) // nobody would read stamps, and a filter may forbid to tell the time
	if err != nil {
		return err
	}
	b.trace.sent = s.trace.Now()
	if err := s.send(b, msg, nil); err != nil {
		return err
	}
	s.unanswered(b, nil)
	return nil
}

func (s *Stub) send(b *Batch, msg, oob []byte) error {
	began := time.Now()
	for {
		err := unix.Sendmsg(s.sock, msg, oob, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			if !s.late(began) {
				continue
			}
			err = unix.EAGAIN
		}
		switch err {
		case nil:
			return nil
		case unix.EAGAIN:
			return ErrTimeout
		case unix.EPIPE, unix.ECONNRESET:
			return s.death(b)
		default:
			return os.NewSyscallError("sendmsg to the container side", err)
		}
	}
}

// Receive waits for the results of a batch that was sent, and for the
// descriptors that its SendFile calls bring. Those come first; the message
// that carries none is the reply.
func (s *Stub) Receive(b *Batch) error {
	wait := s.trace.Begin(timeline.Wait, "wait for the container side")
	err := s.answer(b)
	wait.End()
	s.answered(b, err)
	return err
}

func (s *Stub) answer(b *Batch) error {
	b.back = make([]byte, b.replyLen()+1)
	for {
		n, file, err := s.receive(b.back)
		switch {
		case err == unix.EAGAIN:
			return ErrTimeout
		case err == errUnlaunched:
			return err
		case err != nil && err != unix.ECONNRESET:
			return os.NewSyscallError("recvmsg from the container side", err)
		case file != nil && n > 0 && len(b.files) < b.sends:
			b.files = append(b.files, file)
		case file != nil:
			file.Close()
			return errReply
		case n == 0:
			return s.silence(b)
		case n != len(b.back)-1:
			return errReply
		default:
			b.settle()
			return b.failure()
		}
	}
}

// Report waits for what a batch writes with WriteResult to the control socket
// instead of a reply, or for the reply that says why it did not come to that.
func (s *Stub) Report(b *Batch) (int, error) {
	b.back = make([]byte, b.replyLen()+1)
	n, file, err := s.receive(b.back)
	switch {
	case file != nil:
		file.Close()
		return 0, errReply
	case err == unix.EAGAIN:
		return 0, ErrTimeout
	case err != nil && err != unix.ECONNRESET:
		return 0, os.NewSyscallError("recvmsg from the container side", err)
	case n == 0:
		return 0, s.silence(b)
	case n == 4:
		return int(int32(binary.LittleEndian.Uint32(b.back))), nil
	case n == len(b.back)-1:
		b.settle()
		if err := b.failure(); err != nil {
			return 0, err
		}
	}
	return 0, errReply
}

// Proceed is the byte that a call of the batch, AwaitByte of the control socket,
// waits for.
func (s *Stub) Proceed(b *Batch) error { return s.send(b, []byte{0}, nil) }

// errReply: the container side is trusted with nothing, not even with the
// shape of its answers.
var errReply = errors.New("the container side sent a reply that nobody asked for")

var errUnlaunched = errors.New("BUG: waiting for a stub that was not launched")

// receive takes one message and the one descriptor that it may carry.
func (s *Stub) receive(p []byte) (int, *os.File, error) {
	if s.prepared != nil {
		return 0, nil, errUnlaunched
	}
	var oob [24]byte // CMSG_SPACE of one descriptor
	began := time.Now()
	for {
		n, oobn, _, _, err := unix.Recvmsg(s.sock, p, oob[:], unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			if !s.late(began) {
				continue
			}
			err = unix.EAGAIN
		}
		if n > 0 {
			s.heard = true
			s.runs()
		}
		if err != nil || oobn == 0 {
			return max(n, 0), nil, err
		}
		return n, oneFile(oob[:oobn]), nil
	}
}

// late tells whether the time for a batch is over: the socket counts it anew after
// each signal that this thread gets, those of a profiler among them.
func (s *Stub) late(began time.Time) bool {
	return s.timeout > 0 && time.Since(began) >= s.timeout
}

// oneFile takes the descriptor out of a control message.
func oneFile(oob []byte) *os.File {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) == 0 {
		return nil
	}
	for _, fd := range fds[1:] { // there is room for two
		unix.Close(fd)
	}
	return os.NewFile(uintptr(fds[0]), "from the container side")
}

// failure finds the call that ended the batch: the one that failed with an
// errno it does not tolerate.
func (b *content) failure() error {
	for i := range b.calls {
		r := Result{b, i}
		if e := r.Errno(); e != 0 && !b.calls[i].tolerates(e) {
			return &CallError{Call: b.format(i), Errno: e, Tag: int(b.calls[i].tag), Index: i}
		}
	}
	return nil
}

func (c *call) tolerates(e unix.Errno) bool {
	return c.errno1 == stub.AnyErrno || c.errno1 == uint16(e) || c.errno2 == uint16(e)
}

// silence is what no bytes mean: the stub's end of the socket is closed, or
// somebody there has sent an empty message.
func (s *Stub) silence(b *Batch) error {
	fds := []unix.PollFd{{Fd: int32(s.sock)}} // POLLHUP needs no asking for
	if _, err := unix.Poll(fds, 0); err == nil && fds[0].Revents&unix.POLLHUP == 0 {
		return errReply
	}
	return s.death(b)
}

// death is why the stub's end of the socket is closed: it died, or it was told
// to because ctx ended.
func (s *Stub) death(b *Batch) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	status := s.reap()
	if s.stillborn != nil {
		return fmt.Errorf("start the first process: %w", s.stillborn)
	}
	return &DeathError{Status: status, During: b.format(0), Silent: !s.heard}
}

// SendFiles follows a batch that has ReceiveFiles calls: the descriptors wait
// in the socket until the stub gets to them.
func (s *Stub) SendFiles(b *Batch, files []int) error {
	for len(files) > 0 {
		n := min(len(files), maxFiles)
		if err := s.send(b, []byte{0}, unix.UnixRights(files[:n]...)); err != nil {
			return err
		}
		files = files[n:]
	}
	return nil
}

// ReceiveFiles adds calls that bring names descriptors from the runtime side
// into the stub, close-on-exec; Stub.SendFiles sends them.
func (b *Batch) ReceiveFiles(control *FD, names []string) []*FD {
	var out []*FD
	for len(names) > 0 {
		n := min(len(names), maxFiles)
		oob := b.buf(unix.CmsgSpace(4 * n))
		// The kernel leaves out what RLIMIT_NOFILE has no room for. What is then
		// used in its place must not be descriptor 0.
		b.presets = append(b.presets, preset{oob.off, bytes.Repeat([]byte{0xff}, oob.n)})
		iov := b.words(0, 1)
		b.relocs = append(b.relocs, reloc{int(iov.value), int(b.mem(make([]byte, 8)).value)})
		head := b.message(iov, oob)
		b.call("recvmsg", unix.SYS_RECVMSG, fdArg(control), head, Hex(unix.MSG_CMSG_CLOEXEC))
		for i := range n {
			fd := &FD{name: names[i], n: -1, batch: b.content, call: len(b.calls) - 1, off: slotFlag | (oob.off + unix.CmsgLen(0) + 4*i)}
			b.fds = append(b.fds, fd)
			out = append(out, fd)
		}
		names = names[n:]
	}
	return out
}

// message lays a struct msghdr out (recvmsg(2)), with one iovec and oob as
// its control part.
func (b *Batch) message(iov Arg, oob Buf) Arg {
	head := b.words(0, 0, 0, 1, 0, uint64(oob.n), 0)
	b.relocs = append(b.relocs, reloc{int(head.value) + 16, int(iov.value)}, reloc{int(head.value) + 32, replyReloc | oob.off})
	return head
}

// replyReloc marks a relocation whose target counts from the reply's extra
// bytes, not from the data.
const replyReloc = 1 << 30

// SendFile adds a call that sends fd, which a call of this batch opens, to the
// runtime side: Batch.Files has it once the batch is done.
func (b *Batch) SendFile(control *FD, fd *FD) {
	oob := b.buf(unix.CmsgSpace(4))
	// The call that opens it stores its result into the control message.
	fd.off = slotFlag | (oob.off + unix.CmsgLen(0))
	b.calls[fd.call].slot = int32(fd.off)
	b.presets = append(b.presets, preset{oob.off, cmsgHeader(4)})
	b.sends++

	iov := b.words(0, 1)
	b.relocs = append(b.relocs, reloc{int(iov.value), int(b.mem(make([]byte, 8)).value)})
	b.call("sendmsg", unix.SYS_SENDMSG, fdArg(control), b.message(iov, oob), Hex(unix.MSG_NOSIGNAL))
}

// Files are the descriptors that the batch's SendFile calls brought, in
// order. The caller owns them, even when the batch failed.
func (b *Batch) Files() []*os.File {
	b.begin()
	return b.files
}

// preset is what a part of the reply holds before the stub starts.
type preset struct {
	off int
	p   []byte
}

func cmsgHeader(n int) []byte {
	h := unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS}
	h.SetLen(unix.CmsgLen(n))
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr)...)
}

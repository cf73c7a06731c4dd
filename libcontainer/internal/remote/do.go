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

// maxFiles is the maximum number of descriptors in one message (SCM_MAX_FD, 253).
const maxFiles = 253

// Do makes the stub execute the batch and waits for the results. The error is a
// *CallError if a call failed with an errno that it does not tolerate. Otherwise it is
// a *DeathError, ErrTimeout, the cause of the context's end, or an error of the
// socket.
func (s *Stub) Do(b *Batch) error {
	if b.Len() == 0 {
		return nil // the stub's reply would be an empty message, which looks like its death
	}
	if err := s.Send(b); err != nil {
		return err
	}
	return s.Receive(b)
}

// Send sends the batch and does not wait for it. The caller can so queue the next
// batch while the stub works, or send a batch that has no reply.
func (s *Stub) Send(b *Batch) error { return s.queue(b, b, false) }

// SendBehind is like Send while the stub still works on another batch, front. If front
// fails, the stub leaves b out, and there is no reply to receive. b must not use
// descriptors that front opens, and front must not have SendFile calls.
func (s *Stub) SendBehind(b, front *Batch) error { return s.queue(b, front, true) }

// queue sends b. If the stub has died, the error names front as the batch at work.
func (s *Stub) queue(b, front *Batch, behind bool) error {
	defer s.trace.Begin(timeline.Work, "send a batch").End()
	msg, err := b.encode(s.message, s.trace != nil, behind)
	if err != nil {
		return err
	}
	s.message = msg
	b.trace.sent, b.trace.kept = s.trace.Now(), s.trace != nil
	if err = s.send(front, msg, nil); err != nil {
		s.unanswered(b, err)
	}
	return err
}

// CanFollow reports whether b can be sent behind front.
func (b *Batch) CanFollow(front *Batch) bool {
	if front.sends > 0 {
		return false
	}
	return len(front.fds) == 0 || !slices.ContainsFunc(b.args, func(a Arg) bool { return a.fd() != nil && a.fd().batch == front.content })
}

// SendLast is like Send for a batch without a reply.
func (s *Stub) SendLast(b *Batch) error {
	defer s.trace.Begin(timeline.Work, "send the last batch").End()
	msg, err := b.encode(s.message, false, false) // no stamps: there is no reply, and a seccomp filter may forbid clock_gettime
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

// send does not wait at first: the socket has room for several batches. So most
// sockets need no time limit for sending.
func (s *Stub) send(b *Batch, msg, oob []byte) error {
	began := time.Now()
	for flags := unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT; ; {
		err := unix.Sendmsg(s.sock, msg, oob, nil, flags)
		if err == unix.EAGAIN && flags&unix.MSG_DONTWAIT != 0 {
			if err := limitTime(s.sock, unix.SO_SNDTIMEO, s.timeout); err != nil {
				return err
			}
			flags = unix.MSG_NOSIGNAL
			continue
		}
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

// Receive waits for the results of a batch that was sent, and for the descriptors of
// its SendFile calls. The messages with descriptors come first. The message without
// one is the reply.
func (s *Stub) Receive(b *Batch) error {
	wait := s.trace.Begin(timeline.Wait, "wait for the container side")
	err := s.answer(b)
	wait.End()
	s.answered(b, err)
	return err
}

func (s *Stub) answer(b *Batch) error {
	b.back = take(b.used, b.replyLen()+1)
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
			b.setNumbers()
			return b.failure()
		}
	}
}

// Report waits for the number that a batch writes by WriteResult to the control socket.
// If a call fails before that, the stub sends the reply instead, and Report returns
// its error.
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
		return int(int32(binary.NativeEndian.Uint32(b.back))), nil
	case n == len(b.back)-1:
		b.setNumbers()
		if err := b.failure(); err != nil {
			return 0, err
		}
	}
	return 0, errReply
}

// WillClone prepares the stub for a batch that clones a process of the stub's session and
// lets it report itself. From here on, each message has its sender's pid, added by the
// kernel (SO_PASSCRED, unix(7)).
func (s *Stub) WillClone() error {
	s.clones = true
	return os.NewSyscallError("setsockopt(SO_PASSCRED)", unix.SetsockoptInt(s.sock, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
}

// ReportOfClone waits for the message that a clone writes by WriteResult, and returns the
// clone's pid. The stub may be dead by then. After an error, the end of the stub also ends
// the clone: see collect.
func (s *Stub) ReportOfClone(b *Batch) (int, error) {
	zero, err := s.Report(b)
	if err == nil && (zero != 0 || s.sender <= 0) {
		err = errReply
	}
	if err != nil {
		return 0, err
	}
	s.clones = false
	return s.sender, nil
}

// Proceed sends the byte for which an AwaitByte call on the control socket waits.
func (s *Stub) Proceed(b *Batch) error { return s.send(b, []byte{0}, nil) }

// errReply: the container side sent a message of an unexpected shape. The runtime side
// does not trust it, not even with the shape of its replies.
var errReply = errors.New("the container side sent an unexpected reply")

var errUnlaunched = errors.New("BUG: waiting for a stub that was not launched")

// receive receives one message, and the one descriptor that it may carry.
func (s *Stub) receive(p []byte) (int, *os.File, error) {
	if s.prepared != nil {
		return 0, nil, errUnlaunched
	}
	var oob [24 + 32]byte // CMSG_SPACE(4): one descriptor, or two; and CMSG_SPACE(12): the credentials
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
		var file *os.File
		file, s.sender = attached(oob[:oobn])
		return n, file, nil
	}
}

// late reports whether the time of a batch is over. The timeout of the socket is not
// enough: it restarts after each signal to this thread, for example from a profiler.
func (s *Stub) late(began time.Time) bool {
	return s.timeout > 0 && time.Since(began) >= s.timeout
}

// attached returns the descriptor and the sender's pid of a control message, nil and 0
// if it has none.
func attached(oob []byte) (file *os.File, sender int) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, 0
	}
	for i := range msgs {
		if cred, err := unix.ParseUnixCredentials(&msgs[i]); err == nil {
			sender = int(cred.Pid)
			continue
		}
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if file != nil { // alignment leaves room for a second one
				unix.Close(fd)
				continue
			}
			file = os.NewFile(uintptr(fd), "from the container side")
		}
	}
	return file, sender
}

// failure returns the error of the call that ended the batch: the one that failed with
// an errno that it does not tolerate.
func (b *content) failure() error {
	for i := range b.calls {
		r := Result{b, i}
		if e := r.Errno(); e != 0 && !b.calls[i].tolerates(e) {
			return &CallError{Call: b.format(i), Nr: uintptr(b.calls[i].nr), Errno: e, Tag: int(b.calls[i].tag), Index: i}
		}
	}
	return nil
}

func (c *call) tolerates(e unix.Errno) bool {
	return c.errno1 == stub.AnyErrno || c.errno1 == uint16(e) || c.errno2 == uint16(e)
}

// silence returns the error for a message of 0 bytes. Either the stub's end of the
// socket is closed, or the container side has sent an empty message.
func (s *Stub) silence(b *Batch) error {
	fds := []unix.PollFd{{Fd: int32(s.sock)}} // poll(2) always reports POLLHUP
	if _, err := unix.Poll(fds, 0); err == nil && fds[0].Revents&unix.POLLHUP == 0 {
		return errReply
	}
	return s.death(b)
}

// death returns the reason why the stub's end of the socket is closed: the stub has
// died, or the end of ctx has shut the socket down.
func (s *Stub) death(b *Batch) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	status := s.reap()
	if s.launchErr != nil {
		return fmt.Errorf("start the first process: %w", s.launchErr)
	}
	return &DeathError{Status: status, During: b.format(0), Silent: !s.heard}
}

// SendFiles sends the descriptors for the ReceiveFiles calls of a batch that was sent.
// They wait in the socket until the stub executes those calls.
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

// ReceiveFiles adds calls that receive descriptors from the runtime side, one for each
// of names, close-on-exec. Stub.SendFiles sends them.
func (b *Batch) ReceiveFiles(control *FD, names []string) []*FD {
	var out []*FD
	for len(names) > 0 {
		n := min(len(names), maxFiles)
		oob := b.buf(unix.CmsgSpace(4 * n))
		// If RLIMIT_NOFILE has no room, the kernel drops descriptors from the message.
		// The preset makes their numbers -1, so that a later call does not use
		// descriptor 0 instead.
		b.presets = append(b.presets, preset{oob.off, bytes.Repeat([]byte{0xff}, oob.n)})
		iov := b.words(0, 1)
		b.relocs = append(b.relocs, reloc{int(iov.value), int(b.mem(make([]byte, 8)).value)})
		head := b.message(iov, oob)
		b.call("recvmsg", unix.SYS_RECVMSG, fdArg(control), head, Hex(unix.MSG_CMSG_CLOEXEC))
		for i := range n {
			at := oob.off + unix.CmsgLen(0) + 4*i - stub.LowHalf // the number has 4 bytes; a result has 8
			fd := &FD{name: names[i], n: -1, batch: b.content, call: len(b.calls) - 1, off: slotFlag | at}
			b.fds = append(b.fds, fd)
			out = append(out, fd)
		}
		names = names[n:]
	}
	return out
}

// message adds a struct msghdr (recvmsg(2)) to the data, with one iovec and oob as its
// control part, and returns its address.
func (b *Batch) message(iov Arg, oob Buf) Arg {
	head := b.words(0, 0, 0, 1, 0, uint64(oob.n), 0)
	b.relocs = append(b.relocs, reloc{int(head.value) + 16, int(iov.value)}, reloc{int(head.value) + 32, replyReloc | oob.off})
	return head
}

// replyReloc marks a relocation whose target counts from the reply's extra bytes
// instead of the data.
const replyReloc = 1 << 30

// SendFile adds a call that sends fd to the runtime side. A call of this batch must
// open fd. Batch.Files has it once the batch is done.
func (b *Batch) SendFile(control *FD, fd *FD) {
	oob := b.buf(unix.CmsgSpace(4))
	b.presets = append(b.presets, preset{oob.off, cmsgHeader(4)})
	if stub.LowHalf == 0 {
		// The call that opens fd stores its result directly to the control message.
		fd.off = slotFlag | (oob.off + unix.CmsgLen(0))
		b.calls[fd.call].slot = int32(fd.off)
	} else {
		b.copyNumber(fd, oob.off+unix.CmsgLen(0))
	}
	b.sends++

	iov := b.words(0, 1)
	b.relocs = append(b.relocs, reloc{int(iov.value), int(b.mem(make([]byte, 8)).value)})
	b.call("sendmsg", unix.SYS_SENDMSG, fdArg(control), b.message(iov, oob), Hex(unix.MSG_NOSIGNAL))
}

// copyNumber copies the number of fd to an offset in the reply's extra bytes. On a
// big-endian machine the number is behind the high half of the result, which would
// overwrite the type of the control message.
func (b *Batch) copyNumber(fd *FD, to int) {
	result := b.buf(8)
	fd.off = slotFlag | result.off
	b.calls[fd.call].slot = int32(fd.off)
	from, into := b.words(0, 4), b.words(0, 4)
	b.relocs = append(b.relocs, reloc{int(from.value), replyReloc | (result.off + stub.LowHalf)}, reloc{int(into.value), replyReloc | to})
	pid := b.call("getpid", unix.SYS_GETPID)
	b.call("process_vm_readv", unix.SYS_PROCESS_VM_READV, Arg{kind: argLoad, value: uint64(pid.i)}, into, Int(1), from, Int(1), Int(0))
}

// Files returns the descriptors from the batch's SendFile calls, in order. The caller
// owns them, even if the batch has failed.
func (b *Batch) Files() []*os.File {
	b.begin()
	return b.files
}

// preset is the initial content of a part of the reply.
type preset struct {
	off int
	p   []byte
}

func cmsgHeader(n int) []byte {
	h := unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS}
	h.SetLen(unix.CmsgLen(n))
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr)...)
}

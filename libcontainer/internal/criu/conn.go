package criu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// Conn is our end of the connection: a SEQPACKET socket, one message a packet.
type Conn struct {
	sock *os.File
	// Log is CRIU's log. Its growth is progress. It may be nil.
	Log *os.File
	// Patience is the longest time without any progress; 0 means patience.
	Patience time.Duration
}

// patience is the default of Conn.Patience. CRIU itself works all the time. It
// waits only for tar, which copies the contents of a tmpfs.
const patience = 5 * time.Minute

// Socket returns both ends. CRIU's has to be passed to its process.
func Socket() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return &Conn{sock: os.NewFile(uintptr(fds[0]), "criu")}, os.NewFile(uintptr(fds[1]), "criu's socket"), nil
}

// Close closes our end. CRIU fails its work then.
func (c *Conn) Close() { c.sock.Close() }

// Notify is one notification. CRIU waits for the answer.
type Notify struct {
	Name string
	Pid  int // the first process, as this program sees it; 0 if there is none yet
	// File comes with "orphan-pts-master": the master side of the terminal. The
	// receiver owns it.
	File *os.File
}

// ErrDied means that CRIU has ended without an answer.
var ErrDied = errors.New("criu ended without an answer")

// refused is the error of a request that CRIU has refused or failed.
type refused struct {
	errno unix.Errno
	text  string
}

func (e *refused) Error() string {
	switch {
	case e.text != "":
		return e.text
	case e.errno != 0:
		return "criu failed: " + e.errno.Error()
	}
	return "criu failed"
}

// Do sends a request, answers the notifications with notify, and returns the
// answer. An error of notify is the answer "no", after which CRIU undoes its work;
// Do returns that error when CRIU has done so.
func (c *Conn) Do(ctx context.Context, p *Process, req *rpc.CriuReq, notify func(Notify) error) (*rpc.CriuResp, error) {
	if err := c.send(req); err != nil {
		return nil, err
	}
	var no error
	for {
		resp, file, err := c.receive(ctx, p)
		if err != nil {
			return nil, errors.Join(no, err)
		}
		if resp.GetType() != rpc.CriuReqType_NOTIFY {
			closeFile(file)
			return resp, outcome(req, resp, no)
		}
		n := Notify{Name: resp.GetNotify().GetScript(), Pid: int(resp.GetNotify().GetPid()), File: file}
		if notify == nil || n.Name == "" {
			closeFile(file)
			return nil, errors.New("criu sent a notification that nobody asked for")
		}
		if err := notify(n); err != nil && no == nil {
			no = err
		}
		kind, yes := rpc.CriuReqType_NOTIFY, no == nil
		if err := c.send(&rpc.CriuReq{Type: &kind, NotifySuccess: &yes}); err != nil {
			return nil, errors.Join(no, err)
		}
	}
}

// outcome is the error of an answered request.
func outcome(req *rpc.CriuReq, resp *rpc.CriuResp, no error) error {
	switch {
	case no != nil:
		return no
	case resp.GetType() != req.GetType() && resp.GetType() != rpc.CriuReqType_EMPTY:
		return fmt.Errorf("criu answered %d to request %d", resp.GetType(), req.GetType())
	case !resp.GetSuccess():
		return &refused{errno: unix.Errno(uint32(abs(resp.GetCrErrno()))), text: firstLine(resp.GetCrErrmsg())}
	}
	return nil
}

func abs(n int32) int32 {
	if n < 0 && n != -1<<31 {
		return -n
	}
	return n
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

func (c *Conn) send(req *rpc.CriuReq) error {
	data, err := req.MarshalVT()
	if err != nil {
		return err
	}
	err = unix.Sendmsg(int(c.sock.Fd()), data, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	if err == unix.EPIPE || err == unix.ECONNRESET {
		return ErrDied
	}
	if err != nil {
		return fmt.Errorf("write to criu: %w", err)
	}
	return nil
}

// maxMessage bounds one message of CRIU. The largest known is an answer with a
// log line.
const maxMessage = 64 << 10

// receive waits for one message, the end of CRIU, the end of ctx, or the end of
// patience.
func (c *Conn) receive(ctx context.Context, p *Process) (*rpc.CriuResp, *os.File, error) {
	if err := c.await(ctx, p); err != nil {
		return nil, nil, err
	}
	buf, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*4))
	n, oobn, flags, _, err := unix.Recvmsg(int(c.sock.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	file, fdErr := received(oob[:max(oobn, 0)])
	switch {
	case err != nil && err != unix.ECONNRESET:
		closeFile(file)
		return nil, nil, fmt.Errorf("read from criu: %w", err)
	case err != nil || n == 0:
		closeFile(file)
		return nil, nil, ErrDied
	case fdErr != nil || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		closeFile(file)
		return nil, nil, errors.New("criu sent a message that is too long")
	}
	resp := new(rpc.CriuResp)
	if err := resp.UnmarshalVT(buf[:n]); err != nil {
		closeFile(file)
		return nil, nil, fmt.Errorf("criu sent a broken message: %w", err)
	}
	return resp, file, nil
}

// received returns the one descriptor of a message, if there is one.
func received(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "criu's file"))
		}
	}
	if len(files) == 1 {
		return files[0], nil
	}
	for _, f := range files {
		f.Close()
	}
	return nil, errors.New("more than one descriptor")
}

// slice is how often await looks for progress.
const slice = 5 * time.Second

// await waits until the socket has something to read.
func (c *Conn) await(ctx context.Context, p *Process) error {
	limit := c.Patience
	if limit == 0 {
		limit = patience
	}
	last, since := c.progress(p), time.Now()
	for {
		fds := []unix.PollFd{{Fd: int32(c.sock.Fd()), Events: unix.POLLIN}, {Fd: int32(p.Pidfd.Fd()), Events: unix.POLLIN}}
		err := proc.PollFor(ctx, min(slice, limit), fds)
		switch {
		case fds[0].Revents&unix.POLLIN != 0:
			return nil // also if CRIU has ended since
		case err == nil:
			return ErrDied
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if now := c.progress(p); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) >= limit {
			return fmt.Errorf("criu has made no progress for %v", limit)
		}
	}
}

// progress changes while CRIU works: its log grows, and the kernel counts its
// processor time and page faults.
type progress struct {
	log  int64
	stat string
}

func (c *Conn) progress(p *Process) (now progress) {
	if c.Log != nil {
		if st, err := c.Log.Stat(); err == nil {
			now.log = st.Size()
		}
	}
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.Pid) + "/stat"); err == nil {
		now.stat = string(stat)
	}
	return now
}

// firstLine cuts CRIU's text down to one line.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(line)
}

// Failed reports whether CRIU itself has refused, failed or died, so that its log
// tells why.
func Failed(err error) bool {
	var r *refused
	return errors.As(err, &r) || errors.Is(err, ErrDied)
}

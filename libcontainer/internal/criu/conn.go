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

// Conn is the runtime's end of the connection: a SEQPACKET socket with one message
// in each packet.
type Conn struct {
	sock *os.File
	// Log is CRIU's log, or nil. A growing log counts as progress.
	Log *os.File
	// Patience is the longest time without any progress; 0 means the default.
	Patience time.Duration
	// Tick is called about every Each while CRIU works; nil means never.
	Tick func()
	Each time.Duration

	buf []byte // for receive: a new one for each message would cost 16 page faults
}

// patience is the default of Conn.Patience. CRIU uses the processor nearly all the
// time. It waits only for tar, which copies the contents of a tmpfs.
const patience = 5 * time.Minute

// Socket returns both ends of a connection. The caller passes the second one to
// CRIU's process.
func Socket() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return &Conn{sock: os.NewFile(uintptr(fds[0]), "criu")}, os.NewFile(uintptr(fds[1]), "criu's socket"), nil
}

// Close closes the runtime's end. CRIU then aborts its work.
func (c *Conn) Close() { c.sock.Close() }

// Notify is one notification. CRIU waits for the answer to it.
type Notify struct {
	Name string
	Pid  int // first process, in the pid namespace of this program; 0 if it does not exist yet
	// File is the master side of the terminal. Only "orphan-pts-master" has one. The
	// receiver closes it.
	File *os.File
}

// ErrDied means that CRIU ended without an answer.
var ErrDied = errors.New("criu ended without an answer")

// refused is the error of a request that CRIU refused or failed to execute.
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

// Do sends a request, passes each notification to notify, and returns the answer. If
// notify returns an error, Do tells CRIU to undo its work, waits for the answer, and
// returns the error of notify.
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
			return nil, errors.New("criu sent an unexpected notification")
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

// CRIU 4.2 is the oldest tested version.
const oldestMajor, oldestMinor = 4, 2

// RequireVersion refuses a CRIU that is too old. The connection stays open for the next
// request.
func (c *Conn) RequireVersion(ctx context.Context, p *Process) error {
	kind, yes := rpc.CriuReqType_VERSION, true
	resp, err := c.Do(ctx, p, &rpc.CriuReq{Type: &kind, KeepOpen: &yes}, nil)
	if err != nil {
		return fmt.Errorf("ask criu for its version: %w", err)
	}
	major, minor := resp.GetVersion().GetMajorNumber(), resp.GetVersion().GetMinorNumber()
	if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return fmt.Errorf("criu %d.%d is too old: checkpoint and restore need CRIU %d.%d or later", major, minor, oldestMajor, oldestMinor)
	}
	return nil
}

// outcome returns the error of a request to which CRIU sent an answer.
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

// maxMessage bounds one message of CRIU. The largest known one is an answer with a
// line of the log.
const maxMessage = 64 << 10

// receive waits for one message. The wait ends early if CRIU ends, ctx ends, or CRIU
// makes no progress.
func (c *Conn) receive(ctx context.Context, p *Process) (*rpc.CriuResp, *os.File, error) {
	if err := c.await(ctx, p); err != nil {
		return nil, nil, err
	}
	if c.buf == nil {
		c.buf = make([]byte, maxMessage)
	}
	oob := make([]byte, unix.CmsgSpace(4*4))
	n, oobn, flags, _, err := unix.Recvmsg(int(c.sock.Fd()), c.buf, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
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
	if err := resp.UnmarshalVT(c.buf[:n]); err != nil {
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

// slice is the time between two checks for progress.
const slice = 5 * time.Second

// await waits until the socket has something to read.
func (c *Conn) await(ctx context.Context, p *Process) error {
	limit := c.Patience
	if limit == 0 {
		limit = patience
	}
	last, since := c.progress(p), time.Now()
	step := min(slice, limit)
	if c.Tick != nil {
		step = min(step, c.Each)
	}
	for {
		fds := []unix.PollFd{{Fd: int32(c.sock.Fd()), Events: unix.POLLIN}, {Fd: int32(p.Pidfd.Fd()), Events: unix.POLLIN}}
		err := proc.PollFor(ctx, step, fds)
		switch {
		case fds[0].Revents&unix.POLLIN != 0:
			return nil // a message counts even if CRIU has ended
		case err == nil:
			return ErrDied
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if c.Tick != nil {
			c.Tick()
		}
		if now := c.progress(p); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) >= limit {
			return fmt.Errorf("criu has made no progress for %v", limit)
		}
	}
}

// progress is a snapshot that changes while CRIU works: its log grows, and the kernel
// counts its processor time and page faults.
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

// firstLine returns the first line of CRIU's text.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(line)
}

// Failed reports whether CRIU itself refused, failed or died. Its log then has the
// cause.
func Failed(err error) bool {
	var r *refused
	return errors.As(err, &r) || errors.Is(err, ErrDied)
}

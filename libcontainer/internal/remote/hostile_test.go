package remote

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// fakeStub is a Stub without a process: the test plays the container side by writing to the other end of the socket.
type fakeStub struct {
	*Stub
	other int
}

func newFakeStub(t testing.TB) *fakeStub {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeStub{&Stub{Pid: os.Getpid(), pidfd: -1, sock: fds[0], control: 3, reaped: true}, fds[1]}
	f.watch(t.Context(), 0)
	t.Cleanup(func() {
		f.Close()
		f.hangUp()
	})
	tv := unix.NsecToTimeval(int64(50 * time.Millisecond))
	if err := unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatal(err)
	}
	return f
}

// hangUp closes the other end of the socket.
func (f *fakeStub) hangUp() {
	if f.other >= 0 {
		unix.Close(f.other)
	}
	f.other = -1
}

// message is one message of the container side: its bytes, and the number of its descriptors, which are of /dev/null.
type message struct {
	p     []byte
	files int
}

func (f *fakeStub) say(t testing.TB, list []message) {
	t.Helper()
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for _, m := range list {
		var oob []byte
		if m.files > 0 {
			fds := make([]int, m.files)
			for i := range fds {
				fds[i] = null
			}
			oob = unix.UnixRights(fds...)
		}
		if err := unix.Sendmsg(f.other, m.p, oob, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
	}
}

// shape builds a batch. The messages that the runtime side accepts depend on the batch.
type shape struct {
	name  string
	build func(*Batch)
}

var shapes = []shape{
	{"a call", func(b *Batch) { b.Umask(0) }},
	{"an opened descriptor", func(b *Batch) { b.Close(b.Open("/", unix.O_PATH)) }},
	{"bytes read back", func(b *Batch) { b.Read(Inherited(0, "x"), 10); b.Statx(Cwd(), "/", 0); b.Getcwd() }},
	{"a file that is sent", func(b *Batch) { b.SendFile(Inherited(3, "control"), b.Open("/", unix.O_PATH)) }},
	{"files that are received", func(b *Batch) { b.ReceiveFiles(Inherited(3, "control"), make([]string, 5)) }},
	{"all", func(b *Batch) {
		control := Inherited(3, "control")
		fd := b.ReceiveFiles(control, make([]string, 3))[2]
		b.Fchdir(fd).Tolerate(unix.ENOENT)
		b.SendFile(control, b.Open("/", unix.O_PATH))
		b.SendFile(control, b.Open("/", unix.O_PATH))
		b.Reap(b.CloneShared())
		b.Readlinkat(fd, "x")
		b.Close(fd).TolerateAll()
	}},
}

// replySize returns the number of bytes in the reply to a batch.
func replySize(t testing.TB, b *Batch) int {
	t.Helper()
	if _, err := b.encode(nil, false, false); err != nil {
		t.Fatal(err)
	}
	return b.base + b.reply
}

// listen sends the batch, receives the messages of the container side, and calls every accessor of the batch. None may
// panic or leak.
func listen(t testing.TB, sh shape, report bool, talk func(size int) []message) (*Batch, error) {
	t.Helper()
	s := newFakeStub(t)
	b := &Batch{}
	sh.build(b)
	size := replySize(t, b)
	err := s.Send(b)
	if err == nil { // an unread batch would reset the connection at the close
		_, err = unix.Read(s.other, make([]byte, stub.ArenaSize))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.say(t, talk(size))
	s.hangUp() // ends the wait
	if report {
		_, err = s.Report(b)
	} else {
		err = s.Receive(b)
	}
	for _, f := range b.Files() {
		f.Close()
	}
	s.Close()
	var ce *CallError
	if err == nil && !report || errors.As(err, &ce) {
		ask(t, b)
	}
	return b, err
}

// ask calls every accessor of a batch that has a reply.
func ask(t testing.TB, b *Batch) {
	t.Helper()
	for i := range b.calls {
		r := Result{b.content, i}
		if e := r.Errno(); e > 4095 {
			t.Errorf("Errno() = %d", e)
		}
		_, _ = r.Value(), r.Ran()
	}
	for _, fd := range b.fds {
		if n := fd.Number(); n < 0 && n != Gone {
			t.Errorf("after a reply a descriptor is %d", n)
		}
	}
	for tag := range 3 {
		b.Opened(tag)
	}
	if b.reply > 0 {
		all := Buf{b.content, 0, b.reply}
		if len(all.Bytes()) != b.reply || len(all.First(1<<62)) != b.reply {
			t.Errorf("the reply's bytes are %d; want %d", len(all.Bytes()), b.reply)
		}
	}
}

func filled(n int, c byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = c
	}
	return p
}

func TestHostileReplies(t *testing.T) {
	for _, tt := range []struct {
		name string
		talk func(size int) []message
		fine bool // accepted, for a batch without SendFile
	}{
		{"nothing", func(int) []message { return nil }, false},
		{"an empty message", func(int) []message { return []message{{}} }, false},
		{"an empty message with a descriptor", func(int) []message { return []message{{nil, 1}} }, false},
		{"a byte too few", func(n int) []message { return []message{{make([]byte, n-1), 0}} }, false},
		{"a byte too many", func(n int) []message { return []message{{make([]byte, n+1), 0}} }, false},
		{"far too many bytes", func(n int) []message { return []message{{make([]byte, n+60000), 0}} }, false},
		{"the right size, zeroes", func(n int) []message { return []message{{make([]byte, n), 0}} }, true},
		{"negative numbers", func(n int) []message { return []message{{filled(n, 0xff), 0}} }, false},
		{"the lowest numbers", func(n int) []message {
			p := make([]byte, n)
			for i := 0; i+8 <= n; i += 8 {
				binary.NativeEndian.PutUint64(p[i:], 1<<63|1)
			}
			return []message{{p, 0}}
		}, true},
		{"the highest numbers", func(n int) []message { return []message{{filled(n, 0x7f), 0}} }, true},
		{"a descriptor with the reply", func(n int) []message { return []message{{make([]byte, n), 1}} }, false},
		{"two descriptors with the reply", func(n int) []message { return []message{{make([]byte, n), 2}} }, false},
		{"253 descriptors with the reply", func(n int) []message { return []message{{make([]byte, n), 253}} }, false},
		{"a descriptor before the reply", func(n int) []message { return []message{{[]byte{0}, 1}, {make([]byte, n), 0}} }, false},
		{"two descriptors before the reply", func(n int) []message { return []message{{[]byte{0}, 2}, {make([]byte, n), 0}} }, false},
		{"many descriptors, no reply", func(int) []message {
			var out []message
			for range 100 {
				out = append(out, message{[]byte{0}, 1})
			}
			return out
		}, false},
		{"many messages", func(n int) []message {
			var out []message
			for range 100 {
				out = append(out, message{make([]byte, n), 0})
			}
			return out
		}, true},
		{"four bytes", func(int) []message { return []message{{[]byte{1, 2, 3, 4}, 0}} }, false},
	} {
		for _, sh := range shapes {
			t.Run(tt.name+", "+sh.name, func(t *testing.T) {
				keepsDescriptors(t)
				b, err := listen(t, sh, false, tt.talk)
				if b.sends == 0 && (err == nil) != tt.fine {
					t.Errorf("Receive = %v; want an error: %v", err, !tt.fine)
				}
				if len(b.Files()) > b.sends {
					t.Errorf("%d files are taken; %d were asked for", len(b.Files()), b.sends)
				}
			})
			t.Run(tt.name+", report, "+sh.name, func(t *testing.T) {
				keepsDescriptors(t)
				if _, err := listen(t, sh, true, tt.talk); (err == nil) != (tt.name == "four bytes") {
					t.Errorf("Report = %v", err)
				}
			})
		}
	}
}

// TestEmptyMessageIsNoDeath: an empty message from a live process must not make the runtime side wait for its end.
func TestEmptyMessageIsNoDeath(t *testing.T) {
	r, _ := pipe(t)
	keepsDescriptors(t)
	s := start(t.Context(), t, r)
	var b Batch
	b.call("sendto", unix.SYS_SENDTO, fdArg(s.Control()), b.str(""), Int(0), Int(0), Int(0), Int(0))
	b.AwaitByte(Inherited(0, "pipe"))
	begin := time.Now()
	err := s.Do(&b)
	var d *DeathError
	if err == nil || errors.As(err, &d) {
		t.Errorf("Do = %v; want what is wrong with the message", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v", took)
	}
	s.Kill()
	if err := unix.Kill(s.Pid, 0); err != unix.ESRCH {
		t.Errorf("kill after Kill = %v; want ESRCH", err)
	}
}

// TestErrnoRange: only results from -4095 to -1 are errnos.
func TestErrnoRange(t *testing.T) {
	b := &Batch{}
	b.Umask(0)
	b.back = make([]byte, 8)
	for v, want := range map[int64]unix.Errno{0: 0, 5: 0, -1: unix.EPERM, -4095: 4095, -4096: 0, stub.NotRun: 0, 1<<63 - 1: 0} {
		binary.NativeEndian.PutUint64(b.back, uint64(v))
		if got := (Result{b.content, 0}).Errno(); got != want {
			t.Errorf("Errno() of %d = %d; want %d", v, got, want)
		}
	}
}

// FuzzReply: no messages of the container side, with any number of descriptors, may cause a panic or leak a descriptor.
func FuzzReply(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	for i := range uint64(20) {
		r := rand.New(rand.NewPCG(i, 3))
		p := make([]byte, 40)
		for j := range p {
			p[j] = byte(r.Uint32())
		}
		f.Add(p)
	}
	startPoller()
	f.Fuzz(func(t *testing.T, p []byte) {
		next := func() byte {
			if len(p) == 0 {
				return 0
			}
			c := p[0]
			p = p[1:]
			return c
		}
		sh := shapes[int(next())%len(shapes)]
		report := next()%2 == 1
		before := openFiles()
		b, err := listen(t, sh, report, func(size int) []message {
			var out []message
			for range next() % 6 {
				m := message{files: int(next() % 5)}
				switch next() % 4 {
				case 0: // the right size
					m.p = make([]byte, size)
				case 1:
					m.p = make([]byte, int(next()))
				case 2:
					m.p = filled(size, next())
				case 3:
					m.p = make([]byte, max(0, size+int(int8(next()))))
				}
				for i := range m.p {
					if len(p) > 0 && i%8 == 0 {
						m.p[i] ^= next()
					}
				}
				out = append(out, m)
			}
			return out
		})
		if err == nil && !report && len(b.back) != b.base+b.reply+1 {
			t.Errorf("a reply of %d bytes is taken", len(b.back))
		}
		if len(b.files) > b.sends {
			t.Errorf("%d files are taken; %d were asked for", len(b.files), b.sends)
		}
		if after := openFiles(); after != before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
}

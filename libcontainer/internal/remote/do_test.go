package remote

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

// memfd returns an anonymous file that contains text.
func memfd(t testing.TB, text string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFilesThatNobodyTakes: a batch fails before it receives the descriptors sent for it. The stub must not take their
// message for a batch, although the arena still contains the last one.
func TestFilesThatNobodyTakes(t *testing.T) {
	s := start(t.Context(), t)
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b Batch
	b.Close(Inherited(900, "none")) // EBADF
	b.ReceiveFiles(s.Control(), []string{"null"})
	if err := s.Send(&b); err != nil {
		t.Fatal(err)
	}
	if err := s.SendFiles(&b, []int{int(f.Fd())}); err != nil {
		t.Fatal(err)
	}
	if err := s.Receive(&b); !errors.Is(err, unix.EBADF) {
		t.Fatalf("the batch ended with %v; want EBADF", err)
	}
	var next Batch
	next.Umask(0o22)
	r := next.Umask(0o22)
	if err := s.Do(&next); err != nil || r.Value() != 0o22 {
		t.Errorf("the next batch: %v, umask() = %#o; want 022", err, r.Value())
	}
}

func TestReceiveFiles(t *testing.T) {
	for _, n := range []int{0, 1, 253, 254, 300} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			keepsDescriptors(t)
			s := start(t.Context(), t)
			var files []int
			var names []string
			for i := range n {
				f := memfd(t, fmt.Sprintf("%03d", i))
				defer f.Close()
				files = append(files, int(f.Fd()))
				names = append(names, fmt.Sprintf("file %d", i))
			}
			var b Batch
			fds := b.ReceiveFiles(s.Control(), names)
			b.Umask(0)
			if err := s.Send(&b); err != nil {
				t.Fatal(err)
			}
			if err := s.SendFiles(&b, files); err != nil {
				t.Fatal(err)
			}
			if err := s.Receive(&b); err != nil {
				t.Fatal(err)
			}
			if len(fds) != n {
				t.Fatalf("%d descriptors for %d files", len(fds), n)
			}
			readBack(t, s, fds)
		})
	}
}

// readBack checks that each file contains its number, and closes it.
func readBack(t *testing.T, s *Stub, fds []*FD) {
	t.Helper()
	for i, fd := range fds {
		var b Batch
		_, buf := b.Pread(fd, 3, 0)
		b.Close(fd)
		do(t, s, &b)
		if got, want := string(buf.Bytes()), fmt.Sprintf("%03d", i); got != want {
			t.Errorf("file %d holds %q; want %q", i, got, want)
		}
	}
}

// TestReceivedFileInTheSameBatch uses files in the batch that receives them.
func TestReceivedFileInTheSameBatch(t *testing.T) {
	keepsDescriptors(t)
	s := start(t.Context(), t)
	f := memfd(t, "hello")
	defer f.Close()
	var b Batch
	fd := b.ReceiveFiles(s.Control(), []string{"hello"})[0]
	_, buf := b.Pread(fd, 5, 0)
	b.Close(fd)
	err := s.Send(&b)
	if err == nil {
		err = s.SendFiles(&b, []int{int(f.Fd())})
	}
	if err == nil {
		err = s.Receive(&b)
	}
	if err != nil || string(buf.Bytes()) != "hello" || fd.Number() != Gone {
		t.Errorf("%v; read %q; the number is %d", err, buf.Bytes(), fd.Number())
	}
}

func TestSendFile(t *testing.T) {
	many := 300
	if stub.LowHalf != 0 {
		many = 200 // each file takes two calls more, and a batch has 128 KiB
	}
	for _, n := range []int{0, 1, 2, many} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			keepsDescriptors(t)
			s := start(t.Context(), t)
			var b Batch
			var fds []*FD
			for i := range n {
				fd := b.Open([]string{"/dev/null", "/dev/zero"}[i%2], unix.O_RDONLY)
				b.SendFile(s.Control(), fd)
				b.Pread(fd, 1, 0) // the stub can still use it
				b.Close(fd)
				fds = append(fds, fd)
			}
			b.Umask(0)
			do(t, s, &b)
			if len(b.Files()) != n {
				t.Fatalf("%d files arrived; want %d", len(b.Files()), n)
			}
			for i, f := range b.Files() {
				var st unix.Stat_t
				if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Rdev != unix.Mkdev(1, []uint32{3, 5}[i%2]) {
					t.Errorf("file %d is device %d, %v", i, st.Rdev, err)
				}
				f.Close()
				if fds[i].Number() != Gone {
					t.Errorf("descriptor %d is %d; want %d", i, fds[i].Number(), Gone)
				}
			}
		})
	}
}

// TestSendFileOfAFailedBatch: files that arrived before a call failed belong to the caller.
func TestSendFileOfAFailedBatch(t *testing.T) {
	keepsDescriptors(t)
	s := start(t.Context(), t)
	var b Batch
	fd := b.Open("/dev/null", unix.O_RDONLY)
	b.SendFile(s.Control(), fd)
	b.Close(fd)
	b.Fchdir(Inherited(500, "nothing"))
	b.SendFile(s.Control(), b.Open("/dev/null", unix.O_RDONLY))
	if err := s.Do(&b); !errors.Is(err, unix.EBADF) {
		t.Errorf("Do = %v; want EBADF", err)
	}
	if len(b.Files()) != 1 {
		t.Fatalf("%d files arrived; want 1", len(b.Files()))
	}
	b.Files()[0].Close()
}

func TestFork(t *testing.T) {
	keepsDescriptors(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := start(t.Context(), t, nil, w)
	var b Batch
	root := b.Open("/", unix.O_PATH)
	b.Chdir("/proc")
	do(t, s, &b)

	child, err := s.Fork(&Batch{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Kill()
	if child.Pid == s.Pid {
		t.Error("the child has its parent's pid")
	}
	for _, stub := range []*Stub{child, s} {
		var b Batch
		_, buf := b.Readlinkat(Cwd(), "self")
		b.Fchdir(root) // the child's copy of the descriptor
		do(t, stub, &b)
		if got, _, _ := bytes.Cut(buf.Bytes(), []byte{0}); string(got) != itoa(stub.Pid) {
			t.Errorf("/proc/self is %q; want %d", got, stub.Pid)
		}
	}
	// Parent and child do not need each other.
	s.Dismiss()
	var c Batch
	c.Write(Inherited(1, "stdout"), "alive")
	do(t, child, &c)
	got := make([]byte, 5)
	if _, err := r.Read(got); err != nil || string(got) != "alive" {
		t.Errorf("the child wrote %q, %v", got, err)
	}
	child.Dismiss()
	child.Reap()
	s.Reap()
	if err := unix.Kill(child.Pid, 0); err != unix.ESRCH {
		t.Errorf("kill of the dismissed child = %v; want ESRCH", err)
	}
}

// TestForkThatFails: a failed fork leaves no child. Nobody could control a child without a socket.
func TestForkThatFails(t *testing.T) {
	r, _ := pipe(t)
	for _, tt := range []struct {
		name  string
		limit uint64
		want  string
	}{
		{"no room for the socket", 9, "fcntl(<the child's control socket>, F_GETFD): bad file descriptor"},
		{"no room for its number", 4, "exited with status 111"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keepsDescriptors(t)
			files := make([]*os.File, 8)
			if tt.limit == 9 {
				for i := range files {
					files[i] = r
				}
			}
			s, err := Start(t.Context(), Spawn{Files: files, Control: 8, Timeout: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Kill()
			isUp(t, s)
			if err := unix.Prlimit(s.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: tt.limit, Max: tt.limit}, nil); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			child, err := s.Fork(&Batch{}, nil)
			if err == nil {
				child.Kill()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || time.Since(begin) > 5*time.Second {
				t.Errorf("Fork = %v after %v; want %v", err, time.Since(begin), tt.want)
			}
			s.Kill()
			if pid, err := unix.Wait4(-1, nil, 0, nil); err != unix.ECHILD {
				t.Errorf("a child is left: wait4 = %d, %v", pid, err)
			}
		})
	}
}

// TestCloneShared: the child opens descriptors for the stub, and its results are stored like the stub's.
func TestCloneShared(t *testing.T) {
	keepsDescriptors(t)
	s := start(t.Context(), t)
	var b Batch
	child := b.CloneShared()
	fd := b.Open("/dev/zero", unix.O_RDONLY)
	b.Exit(0)
	child.OnPositiveSkip()
	reaped := b.Reap(child)
	_, buf := b.Pread(fd, 4, 0)
	b.Close(fd)
	do(t, s, &b)
	if reaped.Value() != child.Value() || child.Value() <= 0 {
		t.Errorf("clone = %d, wait4 = %d; want the same pid", child.Value(), reaped.Value())
	}
	if !bytes.Equal(buf.Bytes(), make([]byte, 4)) || fd.Number() != Gone {
		t.Errorf("read %q through the child's descriptor, whose number is %d", buf.Bytes(), fd.Number())
	}
}

func TestDeath(t *testing.T) {
	for _, tt := range []struct {
		name   string
		die    func(*Stub, *Batch)
		want   unix.WaitStatus
		silent bool
	}{
		{"by a signal", func(s *Stub, b *Batch) {
			b.AwaitByte(Inherited(0, "pipe"))
			time.AfterFunc(20*time.Millisecond, func() { _ = unix.Kill(s.Pid, unix.SIGKILL) })
		}, unix.WaitStatus(unix.SIGKILL), true},
		{"by an exit", func(_ *Stub, b *Batch) { b.Exit(7) }, 7 << 8, true},
		{"after an answer", func(s *Stub, b *Batch) {
			var first Batch
			first.Umask(0)
			_ = s.Do(&first)
			b.Exit(7)
		}, 7 << 8, false},
		{"before the batch", func(s *Stub, b *Batch) {
			b.Umask(0)
			_ = unix.Kill(s.Pid, unix.SIGKILL)
			s.endsWithin(reapTime)
		}, unix.WaitStatus(unix.SIGKILL), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := pipe(t)
			keepsDescriptors(t)
			s := start(t.Context(), t, r)
			var b Batch
			tt.die(s, &b)
			err := s.Do(&b)
			var d *DeathError
			if !errors.As(err, &d) || d.Status != tt.want || d.During != b.format(0) || d.Silent != tt.silent {
				t.Fatalf("Do = %#v; want a death with status %#x during %s, silent %v", err, int(tt.want), b.format(0), tt.silent)
			}
			if err := s.Do(&b); err == nil {
				t.Error("Do on a dead stub succeeds")
			}
		})
	}
}

// TestStopped: waiting for a stopped stub ends at the deadline, and the stub can still be killed.
func TestStopped(t *testing.T) {
	keepsDescriptors(t)
	s, err := Start(t.Context(), Spawn{Control: 3, Timeout: 60 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(s.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Umask(0)
	begin := time.Now()
	if err := s.Do(&b); err != ErrTimeout {
		t.Errorf("Do = %v; want %v", err, ErrTimeout)
	}
	s.Kill()
	if took := time.Since(begin); took < 50*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := unix.Kill(s.Pid, 0); err != unix.ESRCH {
		t.Errorf("kill after Kill = %v; want ESRCH", err)
	}
}

// TestFullSocket: sending to a stub that reads nothing ends at the deadline too.
func TestFullSocket(t *testing.T) {
	keepsDescriptors(t)
	s, err := Start(t.Context(), Spawn{Control: 3, Timeout: 60 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	if err := unix.Kill(s.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		var b Batch
		b.Write(Inherited(500, "nothing"), string(make([]byte, 60<<10)))
		if err := s.Send(&b); err != nil {
			if err != ErrTimeout {
				t.Errorf("Send = %v; want %v", err, ErrTimeout)
			}
			return
		}
	}
	t.Error("a thousand batches fit the socket")
}

func TestReport(t *testing.T) {
	r, w := pipe(t)
	keepsDescriptors(t)
	s := start(t.Context(), t, r)
	var b Batch
	b.Tag(3)
	fd := b.Open("/dev/null", unix.O_RDONLY)
	b.WriteResult(s.Control(), b.Result(fd))
	b.AwaitByte(Inherited(0, "pipe"))
	pid := b.Setsid().TolerateAll()
	b.WriteResult(s.Control(), pid)
	b.Fchdir(Inherited(500, "nothing"))
	if err := s.Send(&b); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Report(&b); err != nil || n < 1 {
		t.Errorf("Report = %d, %v; want a descriptor", n, err)
	}
	if _, err := w.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Report(&b); err != nil || n != s.Pid && n != -int(unix.EPERM) {
		t.Errorf("Report = %d, %v; want %d", n, err, s.Pid)
	}
	// Then the batch fails, and the stub sends a reply.
	var ce *CallError
	if _, err := s.Report(&b); !errors.As(err, &ce) || ce.Errno != unix.EBADF || ce.Tag != 3 {
		t.Errorf("Report of a failure = %v; want EBADF", err)
	}
	var c Batch
	c.Close(fd)
	c.Exit(0)
	if err := s.Send(&c); err != nil {
		t.Fatal(err)
	}
	var d *DeathError
	if _, err := s.Report(&c); !errors.As(err, &d) || !d.Status.Exited() {
		t.Errorf("Report of an exit = %v; want a death", err)
	}
}

// beginClone makes the stub clone a process, which waits for a byte on descriptor 0, reports itself, leaves the stub's session and
// waits for another byte. The stub exits. beginClone returns the batch.
func beginClone(t *testing.T, s *Stub) *Batch {
	t.Helper()
	var first, b Batch
	first.Setsid()
	do(t, s, &first)
	if err := s.WillClone(); err != nil {
		t.Fatal(err)
	}
	child := b.Clone(unix.CLONE_PARENT)
	b.AwaitByte(Inherited(0, "pipe"))
	b.WriteResult(s.Control(), child)
	b.Setsid()
	b.AwaitByte(Inherited(0, "pipe"))
	b.Exit(7)
	child.OnPositiveSkipTo(b.Len())
	b.Exit(0)
	if err := s.SendLast(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestReportOfClone(t *testing.T) {
	r, w := pipe(t)
	keepsDescriptors(t)
	s := start(t.Context(), t, r)
	b := beginClone(t, s)
	if !s.endsWithin(10 * time.Second) {
		t.Fatal("control: the stub is alive")
	}
	if _, err := w.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	pid, err := s.ReportOfClone(b)
	if err != nil || pid <= 0 || pid == s.Pid {
		t.Fatalf("ReportOfClone of a dead stub = %d, %v; want the clone, not %d", pid, err, s.Pid)
	}
	s.Kill()
	if _, err := w.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if ws, err := waitFor(pid); err != nil || ws.ExitStatus() != 7 {
		t.Errorf("the clone ends with %v, %v; want 7", ws, err)
	}
}

// TestUnreportedClone: the end of the stub is also the end of a clone about which nobody has heard.
func TestUnreportedClone(t *testing.T) {
	for name, reported := range map[string]bool{"in the stub's group": false, "report in the socket": true} {
		t.Run(name, func(t *testing.T) {
			r, w := pipe(t)
			keepsDescriptors(t)
			s := start(t.Context(), t, r)
			beginClone(t, s)
			pid := s.Pid
			if !s.endsWithin(10 * time.Second) {
				t.Fatal("control: the stub is alive")
			}
			if reported {
				if _, err := w.Write([]byte{0}); err != nil {
					t.Fatal(err)
				}
				fds := []unix.PollFd{{Fd: int32(s.sock), Events: unix.POLLIN}}
				if n, err := unix.Poll(fds, 10_000); n != 1 || err != nil {
					t.Fatal("control: there is no report")
				}
			}
			left := children(t, pid)
			if len(left) != 1 {
				t.Fatalf("control: children besides the stub: %v; want the clone", left)
			}
			s.Kill()
			for deadline := time.Now().Add(10 * time.Second); unix.Kill(left[0], 0) != unix.ESRCH; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the clone is left")
				}
			}
		})
	}
}

// children returns the children of this process without one of them.
func children(t *testing.T, without int) (pids []int) {
	t.Helper()
	files, _ := filepath.Glob("/proc/self/task/*/children")
	if len(files) == 0 {
		t.Skip("the kernel lists no children (CONFIG_PROC_CHILDREN)")
	}
	for _, f := range files {
		data, _ := os.ReadFile(f)
		for _, word := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil && pid != without {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func TestReportInVain(t *testing.T) {
	keepsDescriptors(t)
	s, err := Start(t.Context(), Spawn{Control: 3, Timeout: 60 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var b Batch
	b.Umask(0)
	if _, err := s.Report(&b); err != ErrTimeout {
		t.Errorf("Report of nothing = %v; want %v", err, ErrTimeout)
	}
}

// TestReportOfAReply: the reply of a batch without WriteResult is an error of Report.
func TestReportOfAReply(t *testing.T) {
	keepsDescriptors(t)
	s := start(t.Context(), t)
	var b Batch
	b.Umask(0)
	if err := s.Send(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Report(&b); err != errReply {
		t.Errorf("Report of a reply = %v; want %v", err, errReply)
	}
}

func TestEmptyBatch(t *testing.T) {
	s := start(t.Context(), t)
	var b Batch
	if err := s.Do(&b); err != nil {
		t.Errorf("Do of nothing = %v", err)
	}
	b.Umask(0)
	do(t, s, &b)
}

func TestTakePidfd(t *testing.T) {
	keepsDescriptors(t)
	s, err := Start(t.Context(), Spawn{Control: 3})
	if err != nil {
		t.Fatal(err)
	}
	pidfd := s.TakePidfd()
	defer pidfd.Close()
	pid := s.Pid
	s.Close() // the stub exits, because it waits for a batch
	if err := unix.Waitid(unix.P_PIDFD, int(pidfd.Fd()), nil, unix.WEXITED, nil); err != nil {
		t.Errorf("wait for pidfd of %d = %v", pid, err)
	}
}

// TestStartLaysDescriptorsOut: the numbers of the caller's descriptors do not matter, neither those of the files nor that
// of the control socket.
func TestStartLaysDescriptorsOut(t *testing.T) {
	keepsDescriptors(t)
	high := memfd(t, "high")
	defer high.Close()
	moved, err := unix.FcntlInt(high.Fd(), unix.F_DUPFD_CLOEXEC, 700)
	if err != nil {
		t.Fatal(err)
	}
	far := os.NewFile(uintptr(moved), "far")
	defer far.Close()
	low := memfd(t, "low!")
	defer low.Close()
	for _, control := range []int{0, 3, 4, 9, 40} {
		files := make([]*os.File, 8)
		files[1], files[5], files[7] = low, far, low
		if control < len(files) && files[control] != nil {
			t.Fatal("the control socket's number is taken")
		}
		s, err := Start(t.Context(), Spawn{Files: files, Control: control, Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		isUp(t, s)
		var open []string
		entries, err := os.ReadDir("/proc/" + itoa(s.Pid) + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			open = append(open, e.Name())
		}
		var b Batch
		_, a := b.Pread(Inherited(5, "far"), 4, 0)
		_, c := b.Pread(Inherited(7, "low"), 4, 0)
		do(t, s, &b)
		if string(a.Bytes()) != "high" || string(c.Bytes()) != "low!" || len(open) != 4 {
			t.Errorf("control %d: descriptors %v; 5 is %q, 7 is %q", control, open, a.Bytes(), c.Bytes())
		}
		s.Dismiss()
		s.Reap()
	}
}

func TestReportedNumbersAreSigned(t *testing.T) {
	s := newFakeStub(t)
	p := make([]byte, 4)
	minusOne := int32(-1)
	binary.NativeEndian.PutUint32(p, uint32(minusOne))
	if _, err := unix.Write(s.other, p); err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Umask(0)
	replySize(t, &b)
	if n, err := s.Report(&b); n != -1 || err != nil {
		t.Errorf("Report = %d, %v; want -1", n, err)
	}
}

// TestDecisionsAreOnTypes: neither the name of a descriptor nor the text of a call decides anything.
func TestDecisionsAreOnTypes(t *testing.T) {
	var b Batch
	if !b.Fsopen("tmpfs").IsContext() || !b.Fspick(Inherited(5, "/dev")).IsContext() {
		t.Error("fsopen and fspick return no context")
	}
	if b.Openat2(Inherited(5, "/"), "a", unix.O_PATH, 0, InRoot).IsContext() || Inherited(6, "a context").IsContext() {
		t.Error("a file whose name ends like a context's is one")
	}
	b = Batch{}
	b.Umask(0)
	b.Open("/", unix.O_PATH)
	b.back = make([]byte, 16)
	binary.NativeEndian.PutUint64(b.back[8:], ^uint64(unix.ENOENT)+1)
	if ce := (*CallError)(nil); !errors.As(b.failure(), &ce) || ce.Nr != unix.SYS_OPENAT || ce.Errno != unix.ENOENT {
		t.Errorf("failure = %+v; want openat and ENOENT", ce)
	}
}

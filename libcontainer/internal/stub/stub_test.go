package stub

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestImageIsAnExecutableWithoutWritableCode(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(Image(3, Untimed)))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_EXEC || f.Entry != ImageBase+codeOffset {
		t.Errorf("type %v, entry %#x; want ET_EXEC, %#x", f.Type, f.Entry, ImageBase+codeOffset)
	}
	for _, p := range f.Progs {
		if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
			t.Errorf("segment at %#x is writable and executable", p.Vaddr)
		}
	}
}

// TestImageFitsOnePage checks that the image is smaller than a page: a container then pays for one page of text.
func TestImageFitsOnePage(t *testing.T) {
	if n := len(Image(3, Untimed)); n > 1024 {
		t.Errorf("len(Image) = %d bytes; want at most 1024", n)
	}
}

// batch encodes calls and the data behind them. read is the number of bytes sent back after the results.
func batch(calls []Call, data []byte, read int) []byte {
	replyOff := (HeaderSize + CallSize*len(calls) + len(data) + 7) &^ 7
	b := make([]byte, replyOff+8*len(calls)+read)
	PutHeader(b, uint32(len(calls)), replyOff, 8*len(calls)+read, 0)
	for i := range calls {
		c := calls[i]
		c.Result = uint32(ArenaBase + replyOff + 8*i)
		c.Put(b[HeaderSize+CallSize*i:])
		ne.PutUint64(b[replyOff+8*i:], 1<<63)
	}
	copy(b[HeaderSize+CallSize*len(calls):], data)
	return b
}

func resultAddr(calls, data, i int) uint64 {
	return uint64(ArenaBase + (HeaderSize+CallSize*calls+data+7)&^7 + 8*i)
}

// loadAddr is the address from which result i is loaded.
func loadAddr(calls, data, i int) uint64 { return resultAddr(calls, data, i) + LowHalf }

func fork() (args [6]uint64) {
	args[CloneFlags] = uint64(unix.SIGCHLD)
	return args
}

type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	sock int
}

// start runs an image on the machine's kernel. If the test itself runs in an emulator, start uses the same emulator
// (binfmt_misc or -exec).
func start(t *testing.T) *process { return startTimed(t, Untimed) }

func startTimed(t *testing.T, timing Timing) *process {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/stub"
	if err := os.WriteFile(path, Image(3, timing), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{path}
	if emu := os.Getenv("STUB_EMULATOR"); emu != "" {
		args = []string{emu, path}
	}
	end := os.NewFile(uintptr(fds[1]), "control")
	cmd := &exec.Cmd{Path: args[0], Args: args, ExtraFiles: []*os.File{end}, Stderr: os.Stderr}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end.Close()
	p := &process{t: t, cmd: cmd, sock: fds[0]}
	t.Cleanup(func() {
		unix.Close(p.sock)
		_ = cmd.Wait()
	})
	return p
}

func (p *process) send(batch []byte) {
	p.t.Helper()
	if err := unix.Send(p.sock, batch, 0); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) do(calls []Call, data []byte, read int) ([]int64, []byte) {
	p.t.Helper()
	p.send(batch(calls, data, read))
	return p.answer(calls, read)
}

func (p *process) answer(calls []Call, read int) ([]int64, []byte) {
	p.t.Helper()
	reply := make([]byte, 8*len(calls)+read+1)
	n, _, err := unix.Recvfrom(p.sock, reply, 0)
	if err != nil || n != len(reply)-1 {
		p.t.Fatalf("reply of %d bytes, %v; want %d", n, err, len(reply)-1)
	}
	results := make([]int64, len(calls))
	for i := range results {
		results[i] = int64(ne.Uint64(reply[8*i:]))
	}
	return results, reply[8*len(calls) : n]
}

func TestStubExecutesCallsInOrder(t *testing.T) {
	p := start(t)
	for range 3 {
		got, _ := p.do([]Call{{Nr: unix.SYS_GETPID}, {Nr: unix.SYS_GETUID}}, nil, 0)
		if got[0] != int64(p.cmd.Process.Pid) || got[1] != int64(os.Getuid()) {
			t.Fatalf("getpid, getuid = %v; want %d, %d", got, p.cmd.Process.Pid, os.Getuid())
		}
	}
}

func TestStubStopsAtTheFirstUntoleratedFailure(t *testing.T) {
	p := start(t)
	bad := Call{Nr: unix.SYS_CLOSE, Args: [6]uint64{1 << 20}}
	tolerated, any := bad, bad
	tolerated.Errno1, tolerated.Errno2 = uint16(unix.ENOENT), uint16(unix.EBADF)
	any.Errno1 = AnyErrno
	got, _ := p.do([]Call{tolerated, any, bad, {Nr: unix.SYS_GETPID}}, nil, 0)
	want := []int64{-int64(unix.EBADF), -int64(unix.EBADF), -int64(unix.EBADF), NotRun}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("result %d = %d; want %d", i, got[i], want[i])
		}
	}
}

func TestStubLeavesOutWhatIsBehindAFailure(t *testing.T) {
	failing := []Call{{Nr: unix.SYS_CLOSE, Args: [6]uint64{1 << 20}}}
	umask := func(mask uint64) []Call { return []Call{{Nr: unix.SYS_UMASK, Args: [6]uint64{mask}}} }
	behind := func(calls []Call) []byte {
		b := batch(calls, nil, 0)
		ne.PutUint32(b, uint32(len(calls))|Behind)
		return b
	}
	p := start(t)
	p.do(umask(0o11), nil, 0)
	p.send(batch(umask(0o22), nil, 0))
	p.send(behind(umask(0o33)))
	for i, want := range []int64{0o11, 0o22} {
		if got, _ := p.answer(umask(0), 0); got[0] != want {
			t.Errorf("umask of batch %d, behind none that fails = %#o; want %#o", i, got[0], want)
		}
	}
	p.send(batch(failing, nil, 0))
	p.send(behind(umask(0o44)))
	p.send([]byte{0}) // stands for a message with descriptors
	p.send(behind(umask(0o55)))
	if got, _ := p.answer(failing, 0); got[0] != -int64(unix.EBADF) {
		t.Errorf("close = %d; want EBADF", got[0])
	}
	if got, _ := p.do(umask(0), nil, 0); got[0] != 0o33 {
		t.Errorf("umask behind a failure = %#o; want %#o", got[0], 0o33)
	}
	p.send(behind(umask(0o66))) // the failure is forgotten
	if got, _ := p.answer(umask(0), 0); got[0] != 0 {
		t.Errorf("umask = %#o; want 0", got[0])
	}
}

func TestStubSkips(t *testing.T) {
	pid := Call{Nr: unix.SYS_GETPID}
	for _, tt := range []struct {
		name string
		call Call
		runs bool // the call after it
	}{
		{"a positive result", Call{Nr: unix.SYS_GETPID, OnPos: 1}, false},
		{"not on zero", Call{Nr: unix.SYS_GETPID, OnZero: 1, OnFail: 1}, true},
		{"zero", Call{Nr: unix.SYS_UMASK, OnZero: 1}, false},
		{"a tolerated failure", Call{Nr: unix.SYS_CLOSE, Args: [6]uint64{1 << 20}, Errno1: AnyErrno, OnFail: 1}, false},
		{"past the end", Call{Nr: unix.SYS_GETPID, OnPos: 200}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t)
			p.do([]Call{{Nr: unix.SYS_UMASK}}, nil, 0)
			got, _ := p.do([]Call{tt.call, pid}, nil, 0)
			if runs := got[1] != NotRun; runs != tt.runs {
				t.Errorf("the next call ran: %v; want %v", runs, tt.runs)
			}
		})
	}
}

func TestStubUsesEarlierResults(t *testing.T) {
	p := start(t)
	data := []byte("/proc/self/comm\x00")
	calls := []Call{
		{Nr: unix.SYS_OPENAT, Args: [6]uint64{^uint64(99), ArenaBase + HeaderSize + 3*CallSize, unix.O_RDONLY}},
		{Nr: unix.SYS_READ, Loads: 1, Args: [6]uint64{loadAddr(3, len(data), 0), resultAddr(3, len(data), 3), 16}},
		{Nr: unix.SYS_CLOSE, Loads: 1, Args: [6]uint64{loadAddr(3, len(data), 0)}},
	}
	got, back := p.do(calls, data, 16)
	if got[0] < 3 || got[1] < 1 || got[2] != 0 {
		t.Fatalf("openat, read, close = %v", got)
	}
	if runtime.GOARCH == "amd64" && string(back[:got[1]]) != "stub\n" {
		t.Errorf("read %q; want %q", back[:got[1]], "stub\n")
	}
}

func TestStubForkedChildGoesOnInTheSameBatch(t *testing.T) {
	p := start(t)
	calls := []Call{
		{Nr: unix.SYS_CLONE, OnPos: 1, Args: fork()},
		{Nr: unix.SYS_EXIT_GROUP, Args: [6]uint64{42}},
		{Nr: unix.SYS_WAIT4, Loads: 1, Args: [6]uint64{loadAddr(3, 0, 0), resultAddr(3, 0, 3)}},
	}
	got, back := p.do(calls, nil, 8)
	if got[0] <= 0 || got[2] != got[0] {
		t.Fatalf("clone, wait4 = %v", got)
	}
	if ws := syscall.WaitStatus(ne.Uint32(back)); ws.ExitStatus() != 42 {
		t.Errorf("exit status of the child = %d; want 42", ws.ExitStatus())
	}
}

func TestStubExitsWithItsSocket(t *testing.T) {
	p := start(t)
	unix.Shutdown(p.sock, unix.SHUT_RDWR)
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != ExitLost {
		t.Errorf("exit status = %d; want %d", got, ExitLost)
	}
}

// TestStubWithoutSocketExits: a program in the container may execute the image again from /proc/self/exe. The image must
// then exit at once.
func TestStubWithoutSocketExits(t *testing.T) {
	path := t.TempDir() + "/stub"
	if err := os.WriteFile(path, Image(0, Untimed), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{path}
	if emu := os.Getenv("STUB_EMULATOR"); emu != "" {
		args = []string{emu, path}
	}
	cmd := exec.Command(args[0], args[1:]...)
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != ExitLost {
		t.Errorf("exit status = %d; want %d", got, ExitLost)
	}
}

package remote

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

func do(t *testing.T, s *Stub, b *Batch) {
	t.Helper()
	if err := s.Do(b); err != nil {
		t.Fatal(err)
	}
}

func TestEncodeIsBounded(t *testing.T) {
	s := start(t.Context(), t)
	var fits, tooMuch Batch
	for _, b := range []*Batch{&fits, &tooMuch} {
		null := b.Open("/dev/null", unix.O_WRONLY)
		size := stub.ArenaSize - stub.HeaderSize - 2*(stub.CallSize+8) - len("/dev/null\x00") - 1
		if b == &tooMuch {
			size += 8
		}
		b.Write(null, strings.Repeat("x", size&^7))
	}
	msg, err := fits.encode(nil, false, false)
	if err != nil || len(msg) < stub.ArenaSize-16 || len(msg) > stub.ArenaSize {
		t.Fatalf("encode = %d bytes, %v; want nearly %d", len(msg), err, stub.ArenaSize)
	}
	do(t, s, &fits)
	if got := fits.Last().Value(); got < stub.ArenaSize-1024 {
		t.Errorf("write of nearly the arena = %d", got)
	}
	if err := s.Do(&tooMuch); err == nil || !strings.Contains(err.Error(), "a batch of 2 calls takes") {
		t.Errorf("Do of a batch larger than the arena = %v; want an error that says so", err)
	}
	var b Batch // the stub still works
	b.Umask(0)
	do(t, s, &b)
}

// TestSizeIsAnUpperBound: callers split work into batches by Size, so it must never be less than the encoded size.
func TestSizeIsAnUpperBound(t *testing.T) {
	for seed := range uint64(200) {
		b := randomBatch(rand.New(rand.NewPCG(seed, 1)))
		msg, err := b.encode(nil, false, false)
		if err != nil {
			t.Fatal(err)
		}
		if b.Size() < len(msg) || b.Size() > len(msg)+16 {
			t.Errorf("Size() = %d; %d bytes are sent", b.Size(), len(msg))
		}
	}
}

// randomBatch returns a batch with arguments of every kind.
func randomBatch(r *rand.Rand) *Batch {
	b := &Batch{}
	control := Inherited(8, "control")
	fd := b.Open("/", unix.O_PATH)
	for range r.IntN(30) {
		switch r.IntN(9) {
		case 0:
			fd = b.Openat2(fd, strings.Repeat("d/", r.IntN(50))+"x", unix.O_PATH, 0, InRoot)
		case 1:
			b.Statx(fd, "", 0)
		case 2:
			b.Readlinkat(fd, "link")
		case 3:
			b.Execve("/bin/true", make([]string, r.IntN(9)), []string{"A=b"})
		case 4:
			b.Seccomp(make([]byte, 8*r.IntN(30)), 0)
		case 5:
			b.ReceiveFiles(control, make([]string, r.IntN(300)))
		case 6:
			b.SendFile(control, b.Open("/dev/null", 0))
		case 7:
			b.Reap(b.CloneShared())
		case 8:
			b.Setgroups(make([]uint32, r.IntN(9)))
		}
	}
	return b
}

// TestAddressesAreInTheArena: every address in an encoded batch must be in the stub's arena.
func TestAddressesAreInTheArena(t *testing.T) {
	for seed := range uint64(100) {
		b := randomBatch(rand.New(rand.NewPCG(seed, 2)))
		msg, err := b.encode(nil, false, false)
		if err != nil {
			t.Fatal(err)
		}
		inside := func(what string, addr uint64, n int) {
			if addr < stub.ArenaBase || addr+uint64(n) > stub.ArenaBase+uint64(len(msg)) {
				t.Errorf("seed %d: %s is at %#x; the arena's part is %#x to %#x", seed, what, addr, stub.ArenaBase, stub.ArenaBase+len(msg))
			}
		}
		for i := range b.calls {
			c := &b.calls[i]
			p := msg[stub.HeaderSize+stub.CallSize*i:]
			inside("the result of "+c.name, uint64(binary.NativeEndian.Uint32(p[12:])), 8)
			for j := range int(c.n) {
				v := binary.NativeEndian.Uint64(p[16+8*j:])
				switch a := &b.args[int(c.first)+j]; {
				case p[4]&(1<<j) != 0:
					inside("what "+c.name+" loads", v, 4)
				case a.kind == argData, a.kind == argReply, a.kind == argResult:
					inside("an argument of "+c.name, v, 0)
				}
			}
		}
	}
}

func TestResultReferences(t *testing.T) {
	keepsDescriptors(t)
	s := start(t.Context(), t)
	var b Batch
	dir := b.Open("/proc/self", unix.O_PATH|unix.O_DIRECTORY)
	file := b.Openat2(dir, "status", unix.O_RDONLY, 0, Beneath)
	copied := b.Dup3(file, 20, true)
	_, buf := b.Read(Inherited(20, "copy"), 5)
	b.Fchdir(dir)
	st := b.Statx(file, "", 0)
	b.Close(file)
	unused := b.Open("/", unix.O_PATH)
	if file.Number() != -1 || dir.Number() != -1 {
		t.Errorf("before Do the numbers are %d, %d; want -1", dir.Number(), file.Number())
	}
	do(t, s, &b)
	if copied.Value() != 20 || string(buf.Bytes()) != "Name:" {
		t.Errorf("dup3 = %d, read %q; want 20, %q", copied.Value(), buf.Bytes(), "Name:")
	}
	if st.Get().Mode&unix.S_IFMT != unix.S_IFREG {
		t.Errorf("statx gives mode %o", st.Get().Mode)
	}
	if dir.Number() < 0 || unused.Number() < 0 || file.Number() != Gone {
		t.Errorf("after Do the numbers are %d, %d, and %d of the closed one; want two and %d", dir.Number(), unused.Number(), file.Number(), Gone)
	}
	// The next batch knows the numbers.
	var c Batch
	again := c.Openat2(dir, "comm", unix.O_RDONLY, 0, Beneath)
	c.Close(dir)
	c.Close(unused)
	c.Close(again)
	do(t, s, &c)
	for _, fd := range []*FD{dir, unused, again} {
		if fd.Number() != Gone {
			t.Errorf("the number of a closed descriptor is %d; want %d", fd.Number(), Gone)
		}
	}
}

func TestDescriptorsThatAreNotOpened(t *testing.T) {
	s := start(t.Context(), t)
	var b Batch
	b.Tag(1)
	failed := b.Open("/nowhere", unix.O_RDONLY)
	b.Last().Tolerate(unix.ENOENT, unix.ENOTDIR)
	b.Tag(2)
	opened := b.Open("/", unix.O_PATH)
	zero := b.Umask(0o22)
	b.Tag(3)
	skipped := b.Open("/", unix.O_PATH)
	zero.OnPositiveSkip()
	zero.OnZeroSkip()
	do(t, s, &b)
	for _, fd := range []*FD{failed, skipped} {
		if fd.Number() != Gone {
			t.Errorf("%s: the number is %d; want %d", fd.name, fd.Number(), Gone)
		}
	}
	if b.Result(skipped).Ran() || !b.Result(failed).Ran() || b.Result(failed).Errno() != unix.ENOENT {
		t.Errorf("skipped ran: %v; failed ran: %v, %v", b.Result(skipped).Ran(), b.Result(failed).Ran(), b.Result(failed).Errno())
	}
	for tag, want := range map[int]int{1: 0, 2: 1, 3: 0} {
		if got := b.Opened(tag); len(got) != want {
			t.Errorf("Opened(%d) = %d descriptors; want %d", tag, len(got), want)
		}
	}
	var c Batch
	c.Fchdir(failed)
	if err := s.Do(&c); !errors.Is(err, unix.EBADF) {
		t.Errorf("use of a descriptor that was never opened = %v; want EBADF", err)
	}
	c = Batch{}
	c.Close(opened)
	do(t, s, &c)
}

// TestDescriptorsOfAFailedBatch: after a failure, the descriptors opened before it have numbers.
func TestDescriptorsOfAFailedBatch(t *testing.T) {
	s := start(t.Context(), t)
	var b Batch
	b.Tag(5)
	opened := b.Open("/", unix.O_PATH)
	closed := b.Open("/", unix.O_PATH)
	b.Close(closed)
	b.Tag(7)
	b.Fchdir(Inherited(500, "nothing"))
	never := b.Open("/", unix.O_PATH)
	b.Close(opened)
	err := s.Do(&b)
	var ce *CallError
	if !errors.As(err, &ce) || ce.Tag != 7 || ce.Index != 3 || ce.Errno != unix.EBADF {
		t.Fatalf("Do = %#v; want the call with tag 7", err)
	}
	if opened.Number() < 0 || closed.Number() != Gone || never.Number() != Gone {
		t.Errorf("the numbers are %d, %d, %d; want one, %d, %d", opened.Number(), closed.Number(), never.Number(), Gone, Gone)
	}
	if got := b.Opened(5); len(got) != 1 || got[0] != opened {
		t.Errorf("Opened(5) = %v", got)
	}
}

func TestDescriptorOfAnotherBatchIsABug(t *testing.T) {
	var a, b Batch
	fd := a.Open("/", unix.O_PATH)
	b.Fchdir(fd)
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "BUG: ") {
			t.Errorf("encode panicked with %q; want BUG: …", text)
		}
	}()
	_, _ = b.encode(nil, false, false)
}

func TestSkipsAreBounded(t *testing.T) {
	var b Batch
	r := b.Umask(0)
	for range stub.MaxSkip {
		b.Umask(0)
	}
	r.OnFailSkip()
	b.Umask(0)
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "BUG: ") {
			t.Errorf("OnFailSkip over %d calls panicked with %q; want BUG: …", stub.MaxSkip+1, text)
		}
	}()
	r.OnFailSkip()
}

func TestTolerance(t *testing.T) {
	s := start(t.Context(), t)
	nowhere := Inherited(500, "nothing")
	for _, tt := range []struct {
		name     string
		tolerate func(Result)
		fails    bool
	}{
		{"nothing", func(Result) {}, true},
		{"another errno", func(r Result) { r.Tolerate(unix.ENOENT) }, true},
		{"the errno", func(r Result) { r.Tolerate(unix.EBADF) }, false},
		{"as the second", func(r Result) { r.Tolerate(unix.ENOENT, unix.EBADF) }, false},
		{"all", func(r Result) { r.TolerateAll() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b Batch
			r := b.Fchdir(nowhere)
			tt.tolerate(r)
			next := b.Umask(0)
			if err := s.Do(&b); (err != nil) != tt.fails {
				t.Errorf("Do = %v; want an error: %v", err, tt.fails)
			}
			if next.Ran() == tt.fails || r.Errno() != unix.EBADF {
				t.Errorf("the next call ran: %v; the errno is %v", next.Ran(), r.Errno())
			}
		})
	}
}

func TestVectors(t *testing.T) {
	r, w := pipe(t)
	keepsDescriptors(t)
	s := start(t.Context(), t, nil, w)
	var b Batch
	b.Execve("/bin/echo", []string{"echo", "", "a b", strings.Repeat("x", 5000)}, nil).TolerateAll()
	b.Exit(1)
	if err := s.Send(&b); err != nil {
		t.Fatal(err)
	}
	want := " a b " + strings.Repeat("x", 5000) + "\n"
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		m, err := r.Read(got[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("echo wrote %.40q; want %.40q", got, want)
	}
}

// TestSeccompProgram checks program and arguments of a seccomp filter that allows all calls.
func TestSeccompProgram(t *testing.T) {
	s := start(t.Context(), t)
	var b Batch
	b.Prctl("PR_SET_NO_NEW_PRIVS", unix.PR_SET_NO_NEW_PRIVS, 1)
	allow := append(binary.NativeEndian.AppendUint16(nil, unix.BPF_RET), 0, 0)
	allow = binary.NativeEndian.AppendUint32(allow, 0x7fff0000) // SECCOMP_RET_ALLOW
	b.Seccomp(allow, 0)
	do(t, s, &b)
	status, err := os.ReadFile("/proc/" + itoa(s.Pid) + "/status")
	if err != nil || !bytes.Contains(status, []byte("Seccomp:\t2\n")) {
		t.Errorf("no filter is loaded: %v\n%s", err, status)
	}
}

// TestResultsBelongToTheirBatch uses one variable for several batches. Each result must belong to the batch to which its
// call was added.
func TestResultsBelongToTheirBatch(t *testing.T) {
	s := start(t.Context(), t)
	var q Batch
	var got []Result
	for n := range 3 {
		for range 1 + n {
			got = append(got, q.Umask(uint32(n)))
		}
		do(t, s, &q)
		q = Batch{}
	}
	q.Umask(7)
	do(t, s, &q)
	for i, want := range []int64{0, 1, 1, 2, 2} { // the first is the mask inherited from this process
		if v := got[1+i].Value(); v != want {
			t.Errorf("result %d = %d; want %d", 1+i, v, want)
		}
	}
}

// TestResultsBeforeTheyCame: asking for results before the reply must panic, not return zeros.
func TestResultsBeforeTheyCame(t *testing.T) {
	var b Batch
	r, buf := b.Read(Inherited(0, ""), 8)
	for name, ask := range map[string]func(){"a value": func() { r.Value() }, "bytes": func() { buf.Bytes() }} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "BUG: ") {
					t.Errorf("%s of a batch that was not done: recover() = %q; want a BUG", name, text)
				}
			}()
			ask()
		}()
	}
}

// TestNext builds a batch in the unused rest of another one's memory, and checks the calls of both.
func TestNext(t *testing.T) {
	var first Batch
	first.Expect(2 * firstCalls)
	first.Chdir("/first")
	second := first.Next()
	if cap(second.calls) < firstCalls || len(second.calls) != 0 {
		t.Fatalf("Next() has room for %d calls and %d calls; want at least %d and none", cap(second.calls), len(second.calls), firstCalls)
	}
	second.Chdir("/second")
	first.Chdir("/late") // grows into memory of its own
	for _, test := range []struct {
		b    *Batch
		want []string
	}{{&first, []string{`chdir("/first")`, `chdir("/late")`}}, {&second, []string{`chdir("/second")`}}} {
		for i, want := range test.want {
			if got := test.b.format(i); got != want {
				t.Errorf("call %d is %s; want %s", i, got, want)
			}
		}
	}
	if rest := second.Next(); rest.content == nil {
		t.Error("Next() of a batch with much room has none")
	}
	var small Batch
	small.Chdir("/")
	if rest := small.Next(); rest.content != nil {
		t.Errorf("Next() of a batch of %d calls with room for %d takes the rest", small.Len(), cap(small.calls))
	}
}

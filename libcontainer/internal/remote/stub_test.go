package remote

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func start(ctx context.Context, t *testing.T, files ...*os.File) *Stub {
	t.Helper()
	s, err := Start(ctx, Spawn{Files: files, Control: 8, Timeout: 10 * time.Second, Argv0: "stub"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// TestTheEndOfTheContextEndsAWait: a stub that waits for something in the container must not block the runtime side.
func TestTheEndOfTheContextEndsAWait(t *testing.T) {
	r, _ := pipe(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	s := start(ctx, t, r)
	cause := errors.New("the caller went away")
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	var b Batch
	b.AwaitByte(Inherited(0, "pipe"))
	begin := time.Now()
	if err := s.Do(&b); !errors.Is(err, cause) || time.Since(begin) > 5*time.Second {
		t.Errorf("Do = %v after %v; want %v at once", err, time.Since(begin), cause)
	}
}

func TestAStubThatDoesNotAnswerIsGivenUp(t *testing.T) {
	r, _ := pipe(t)
	s, err := Start(t.Context(), Spawn{Files: []*os.File{r}, Control: 8, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var b Batch
	b.AwaitByte(Inherited(0, "pipe"))
	if err := s.Do(&b); !errors.Is(err, ErrTimeout) {
		t.Errorf("Do = %v; want %v", err, ErrTimeout)
	}
}

// TestDescriptorsThatDidNotFit: a descriptor that RLIMIT_NOFILE removed from a message must not become descriptor 0.
func TestDescriptorsThatDidNotFit(t *testing.T) {
	r, _ := pipe(t)
	s := start(t.Context(), t, r)
	isUp(t, s)
	if err := unix.Prlimit(s.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 10, Max: 10}, nil); err != nil {
		t.Fatal(err)
	}
	var b Batch
	fds := b.ReceiveFiles(s.Control(), []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"})
	b.Fchdir(fds[9])
	err := s.Send(&b)
	if err == nil {
		err = s.SendFiles(&b, slices.Repeat([]int{int(r.Fd())}, 10))
	}
	if err == nil {
		err = s.Receive(&b)
	}
	if !errors.Is(err, unix.EBADF) || fds[9].Number() != Gone {
		t.Errorf("use of a descriptor that did not fit = %v, number %d; want EBADF, %d", err, fds[9].Number(), Gone)
	}
}

// TestFirstStaysInTheBuffer: the container side may lie about the number of bytes that it has stored.
func TestFirstStaysInTheBuffer(t *testing.T) {
	b := content{back: []byte("0123456789")}
	m := Buf{&b, 2, 3}
	for n, want := range map[int64]string{0: "", 2: "23", 3: "234", 4: "234", 1 << 40: "234", -1: "", -1 << 63: ""} {
		if got := string(m.First(n)); got != want {
			t.Errorf("First(%d) = %q; want %q", n, got, want)
		}
	}
}

// TestAPreparedStub: batches sent before the launch wait for it.
func TestAPreparedStub(t *testing.T) {
	s, err := Prepare(t.Context(), Spawn{Control: 8, Timeout: 10 * time.Second, Argv0: "stub"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var b Batch
	_, buf := b.Readlinkat(Cwd(), "/proc/self")
	if err := s.Send(&b); err != nil {
		t.Fatal(err)
	}
	if s.Launched() {
		t.Error("launched before Launch")
	}
	if err := s.Launch(); err != nil {
		t.Fatal(err)
	}
	err = s.Receive(&b)
	if got, _, _ := bytes.Cut(buf.Bytes(), []byte{0}); err != nil || string(got) != itoa(s.Pid) {
		t.Errorf("/proc/self -> %s, %v; want %d", got, err, s.Pid)
	}
}

func TestAPreparedStubThatIsNotLaunched(t *testing.T) {
	keepsDescriptors(t)
	s, err := Prepare(t.Context(), Spawn{Control: 8})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Umask(0)
	if err := s.Do(&b); err == nil {
		t.Error("a stub that was not launched has answered")
	}
	s.Kill()
}

// TestSendBehind: after a batch that fails, the stub neither executes nor answers batches until the next independent one.
func TestSendBehind(t *testing.T) {
	s := start(t.Context(), t)
	r, w := pipe(t)
	umask := func(mask uint32) *Batch {
		b := &Batch{}
		b.Umask(mask)
		return b
	}
	var fails Batch
	fails.Chdir("/nothing/there")
	first, second, third := umask(0o11), umask(0o22), umask(0o33)
	third.ReceiveFiles(s.Control(), []string{"r", "w"})
	for _, step := range []func() error{
		func() error { return s.Send(first) },
		func() error { return s.SendBehind(second, first) },
		func() error { return s.Receive(first) },
		func() error { return s.Receive(second) },
		func() error { return s.Send(&fails) },
		func() error { return s.SendBehind(third, &fails) },
		func() error { return s.SendFiles(third, []int{int(r.Fd()), int(w.Fd())}) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Receive(&fails); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Receive = %v; want ENOENT", err)
	}
	last := umask(0)
	do(t, s, last)
	if got := last.Last().Value(); got != 0o22 {
		t.Errorf("umask behind a failure = %#o; want %#o", got, 0o22)
	}
}

func TestCanFollow(t *testing.T) {
	s := start(t.Context(), t)
	var opens, uses, other, sends Batch
	fd := opens.Open("/", unix.O_RDONLY)
	uses.Fchdir(fd)
	other.Fchdir(other.Open("/", unix.O_RDONLY))
	sends.SendFile(s.Control(), sends.Open("/", unix.O_RDONLY))
	for _, tt := range []struct {
		name        string
		back, front *Batch
		want        bool
	}{
		{"what uses a descriptor of the batch in front", &uses, &opens, false},
		{"what uses its own", &other, &opens, true},
		{"what would come between files", &other, &sends, false},
	} {
		if got := tt.back.CanFollow(tt.front); got != tt.want {
			t.Errorf("%s can follow: %v; want %v", tt.name, got, tt.want)
		}
	}
}

// TestDeathBeforeWhatIsBehind: the error of a dead stub does not name the queued batch that it had not begun.
func TestDeathBeforeWhatIsBehind(t *testing.T) {
	s := start(t.Context(), t)
	var dies, behind Batch
	dies.Exit(1)
	behind.Umask(0)
	if err := s.Send(&dies); err != nil {
		t.Fatal(err)
	}
	waitForEnd(t, s)
	err := s.SendBehind(&behind, &dies)
	if death := (*DeathError)(nil); !errors.As(err, &death) || death.During != "exit_group(1)" {
		t.Errorf("SendBehind = %v; want that it died during exit_group(1)", err)
	}
}

func waitForEnd(t *testing.T, s *Stub) {
	t.Helper()
	if !s.endsWithin(10 * time.Second) {
		t.Fatal("the stub does not end")
	}
}

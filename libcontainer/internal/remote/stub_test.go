package remote

import (
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

// A stub that waits for something of the container must not keep anybody.
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

// What a limit on descriptors leaves out of a message must not become
// descriptor 0.
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

// The container side says how much it has stored, and may lie.
func TestFirstStaysInTheBuffer(t *testing.T) {
	b := Batch{back: []byte("0123456789")}
	m := Buf{&b, 2, 3}
	for n, want := range map[int64]string{0: "", 2: "23", 3: "234", 4: "234", 1 << 40: "234", -1: "", -1 << 63: ""} {
		if got := string(m.First(n)); got != want {
			t.Errorf("First(%d) = %q; want %q", n, got, want)
		}
	}
}

package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func format(st Stat) []byte {
	return fmt.Appendf(nil, "%d (%s) %c %d 0 0 0 0 %d %s%d %s%d", st.Pid, st.Comm, st.State, st.PPid, st.Flags,
		strings.Repeat("0 ", 12), st.StartTime, strings.Repeat("0 ", 29), st.Exit)
}

// child starts a shell and returns its pid and a pidfd. The cleanup kills and
// reaps it if necessary.
func child(t *testing.T, script string) (int, *os.File) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := OpenPid(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		Signal(pidfd, unix.SIGKILL)
		Reap(context.Background(), pidfd)
		pidfd.Close()
		cmd.Process.Release()
	})
	return cmd.Process.Pid, pidfd
}

func TestIdentity(t *testing.T) {
	pid, pidfd := child(t, "exec sleep 1000")
	id, err := Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	if alive, err := id.Alive(); !alive || err != nil {
		t.Errorf("Alive() of a live process = %v, %v; want true", alive, err)
	}
	same, err := id.Open()
	if err != nil {
		t.Fatalf("Open() of a live process: %v", err)
	}
	same.Close()
	wrong := map[string]Identity{
		"zero":       {},
		"other boot": {pid, id.PidfdInode, id.StartTime, "another"},
		"other one":  {pid, id.PidfdInode + 1, id.StartTime, id.BootID},
		"other time": {pid, id.PidfdInode, id.StartTime + 1, id.BootID},
		"other pid":  {os.Getpid(), id.PidfdInode, id.StartTime + 1, id.BootID},
		"negative":   {-1, id.PidfdInode, id.StartTime, id.BootID},
	}
	for name, w := range wrong {
		if f, err := w.Open(); !errors.Is(err, ErrGone) {
			t.Errorf("Open() of %s = %v, %v; want ErrGone", name, f, err)
		}
	}
	start, err := startTime(pid, int(pidfd.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	// An identity without an inode: its writer could not ask for one, or the kernel had none.
	byTime := Identity{pid, 0, start, id.BootID}
	if alive, err := byTime.Alive(); !alive || err != nil {
		t.Errorf("Alive() of a live process, by its start time = %v, %v; want true", alive, err)
	}
	byTime.StartTime++
	if alive, err := byTime.Alive(); alive || err != nil {
		t.Errorf("Alive() of another process, by its start time = %v, %v; want false", alive, err)
	}
	Signal(pidfd, unix.SIGKILL)
	if err := Wait(t.Context(), pidfd); err != nil {
		t.Fatal(err)
	}
	if alive, err := id.Alive(); alive || err != nil {
		t.Errorf("Alive() of a zombie = %v, %v; want false", alive, err)
	}
	if code, err := Reap(t.Context(), pidfd); code != 128+9 || err != nil {
		t.Errorf("Reap() = %d, %v; want %d", code, err, 128+9)
	}
	if _, err := id.Open(); !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "no such process") {
		t.Errorf("Open() of a reaped process = %v; want ErrGone", err)
	}
	if err := Signal(pidfd, unix.SIGTERM); !errors.Is(err, ErrGone) {
		t.Errorf("Signal() of a reaped process = %v; want ErrGone", err)
	}
	if _, err := startTime(os.Getpid(), int(pidfd.Fd())); !errors.Is(err, ErrGone) {
		t.Errorf("startTime() with the pid of another process = %v; want ErrGone", err)
	}
}

// Kernels before pidfs compare start times.
func TestStartTime(t *testing.T) {
	self, err := OpenPid(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	st, _ := ReadStat(os.Getpid())
	if got, err := startTime(os.Getpid(), int(self.Fd())); got != st.StartTime || err != nil {
		t.Errorf("startTime(self) = %d, %v; want %d", got, err, st.StartTime)
	}
}

func TestReap(t *testing.T) {
	tests := []struct {
		script string
		want   int
	}{
		{"exit 0", 0},
		{"exit 7", 7},
		{"exit 255", 255},
		{"kill -TERM $$", 128 + 15},
		{"kill -SEGV $$", 128 + 11},
	}
	for _, tt := range tests {
		_, pidfd := child(t, "ulimit -c 0; "+tt.script)
		if got, err := Reap(t.Context(), pidfd); got != tt.want || err != nil {
			t.Errorf("Reap(%q) = %d, %v; want %d", tt.script, got, err, tt.want)
		}
		if got, err := Reap(t.Context(), pidfd); (got != tt.want || err != nil) && !errors.Is(err, ErrNoStatus) {
			t.Errorf("second Reap(%q) = %d, %v; want %d or %v", tt.script, got, err, tt.want, ErrNoStatus)
		}
	}
}

func TestWaitIsInterruptible(t *testing.T) {
	_, pidfd := child(t, "exec sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := Wait(ctx, pidfd); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait() of a live process = %v; want DeadlineExceeded", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("Wait() with a deadline of 20ms took %v", d)
	}
	because := errors.New("because")
	ctx2, cancel2 := context.WithCancelCause(t.Context())
	cancel2(because)
	if err := Wait(ctx2, pidfd); err != because {
		t.Errorf("Wait() with a cancelled context = %v; want its cause", err)
	}
}

func TestPollPrefersReady(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	fds := []unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}
	go w.Write([]byte{1})
	if err := Poll(ctx, fds); err != nil || fds[0].Revents != unix.POLLIN {
		t.Errorf("Poll() = %v, revents %#x; want POLLIN", err, fds[0].Revents)
	}
	cancel()
	if err := Poll(ctx, fds); err != nil {
		t.Errorf("Poll() of a ready descriptor with a cancelled context = %v; want nil", err)
	}
}

func TestNoLeak(t *testing.T) {
	before := openFiles(t)
	for range 50 {
		id, err := Identify(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		id.Alive()
		id.BootID = "another"
		id.Alive()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		self, _ := OpenPid(os.Getpid())
		Wait(ctx, self)
		self.Close()
		cancel()
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open; want %d", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func BenchmarkIdentity(b *testing.B) {
	id, err := Identify(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Identify", func(b *testing.B) {
		for b.Loop() {
			Identify(os.Getpid())
		}
	})
	b.Run("Alive", func(b *testing.B) {
		for b.Loop() {
			id.Alive()
		}
	})
}

package hooks

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// stdio has the hook's three descriptors, and the runtime's ends of their pipes.
type stdio struct {
	stdin, stdout, stderr *os.File // the hook's; stdout and stderr may be the caller's
	theirs                []*os.File
	in                    int // the runtime's end, non-blocking; -1 when closed
	out, err              output
}

// output is the runtime's end of a pipe to which the hook prints, and the last
// bytes that came out of it.
type output struct {
	fd   int // non-blocking; -1 when closed
	tail tail
}

func openStdio(o Options) (*stdio, error) {
	s := &stdio{in: -1, out: output{fd: -1}, err: output{fd: -1}}
	for _, p := range [...]struct {
		ours, theirs int // index of the end
		fd           *int
		file         **os.File
	}{
		{1, 0, &s.in, &s.stdin},
		{0, 1, &s.out.fd, &s.stdout},
		{0, 1, &s.err.fd, &s.stderr},
	} {
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			s.close()
			return nil, fmt.Errorf("pipe2: %w", err)
		}
		*p.fd = ends[p.ours]
		*p.file = os.NewFile(uintptr(ends[p.theirs]), "pipe of a hook")
		s.theirs = append(s.theirs, *p.file)
		// No other process has this end of the pipe, so the hook does not see
		// the flag.
		unix.SetNonblock(*p.fd, true)
	}
	if o.Stdout != nil {
		s.stdout = o.Stdout
	}
	if o.Stderr != nil {
		s.stderr = o.Stderr
	}
	return s, nil
}

func (s *stdio) closeTheirs() {
	for _, f := range s.theirs {
		f.Close()
	}
	s.theirs = nil
}

func (s *stdio) close() {
	s.closeTheirs()
	closeFd(&s.in)
	closeFd(&s.out.fd)
	closeFd(&s.err.fd)
}

func closeFd(fd *int) {
	if *fd >= 0 {
		unix.Close(*fd)
		*fd = -1
	}
}

// watch writes the state to a hook, reads its output and waits for its end, in
// one poll loop. A hook that does not read cannot block it. Neither can a child
// that the hook leaves behind with the output open.
type watch struct {
	*Process
	*stdio
	state []byte // the part that is not yet written
}

func (w *watch) loop(ctx context.Context) error {
	for {
		// poll(2) ignores negative descriptors.
		fds := []unix.PollFd{
			{Fd: int32(w.Pidfd.Fd()), Events: unix.POLLIN},
			{Fd: int32(w.in), Events: unix.POLLOUT},
			{Fd: int32(w.out.fd), Events: unix.POLLIN},
			{Fd: int32(w.err.fd), Events: unix.POLLIN},
		}
		if err := proc.Poll(ctx, fds); err != nil {
			return err
		}
		if fds[1].Revents != 0 {
			w.feed()
		}
		// At the end of the hook, read the rest of its output too.
		if ended := fds[0].Revents != 0; ended || fds[2].Revents != 0 || fds[3].Revents != 0 {
			w.listen()
		}
		if fds[0].Revents != 0 {
			return nil
		}
	}
}

// feed writes as much of the state as the pipe takes. A hook may close its
// standard input without reading it, so EPIPE is no error. (The Go runtime ignores
// SIGPIPE for descriptors other than 1 and 2.)
func (w *watch) feed() {
	n, err := unix.Write(w.in, w.state)
	if n > 0 {
		w.state = w.state[n:]
	}
	if len(w.state) == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
		closeFd(&w.in)
	}
}

func (w *watch) listen() {
	w.out.read()
	w.err.read()
}

// read reads the available output. The loop is bounded because a hook may print
// without end.
func (o *output) read() {
	var buf [4096]byte
	for range 2 * tailSize / len(buf) {
		if o.fd < 0 {
			return
		}
		n, err := unix.Read(o.fd, buf[:])
		switch {
		case n > 0:
			o.tail.add(buf[:n])
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		default:
			closeFd(&o.fd)
		}
	}
}

// killWait bounds the wait for a killed hook. A hook in an uninterruptible system
// call may never end; all others end at once.
const killWait = 5 * time.Second

// kill kills the hook and its process group. The hook is not reaped yet, so no
// other process or group can have its pid: the group is the hook's, or there is
// none.
func (w *watch) kill() error {
	// Both calls fail if the hook has just ended by itself.
	_ = unix.Kill(-w.Pid, unix.SIGKILL)
	_ = proc.Signal(w.Pidfd, unix.SIGKILL)
	ctx, cancel := context.WithTimeout(context.Background(), killWait)
	defer cancel()
	if _, err := proc.Reap(ctx, w.Pidfd); err != nil {
		return fmt.Errorf("process %d did not end within %v of SIGKILL", w.Pid, killWait)
	}
	w.listen()
	return nil
}

package hooks

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// stdio is the three descriptors of the hook and our ends of their pipes.
type stdio struct {
	stdin, stdout, stderr *os.File // the hook's; stdout and stderr may be the caller's
	theirs                []*os.File
	in                    int // ours, non-blocking; -1 when closed
	out, err              output
}

// output is our end of a pipe that the hook prints to, and the end of what
// came out of it.
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
		// The description of our end is ours alone: the hook does not see this.
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

// watch feeds a hook, listens to it and waits for its end, in one poll loop.
// A hook that does not read, and one that leaves a child behind with its
// output open, cannot hold it up.
type watch struct {
	*Process
	*stdio
	state []byte // what is still to be written
}

func (w *watch) loop(ctx context.Context) error {
	for {
		// poll(2) passes over negative descriptors.
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
		// After its end, everything is read that came between the two.
		if ended := fds[0].Revents != 0; ended || fds[2].Revents != 0 || fds[3].Revents != 0 {
			w.listen()
		}
		if fds[0].Revents != 0 {
			return nil
		}
	}
}

// feed writes as much of the state as fits. A hook may close its standard
// input without reading: EPIPE is no error. (The Go runtime ignores SIGPIPE
// for descriptors other than 1 and 2.)
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

// read reads what there is, but not for ever from a hook that never stops.
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

// killWait is how long a killed hook may take to end. Only one in an
// uninterruptible system call takes more than an instant, and that one may
// take for ever.
const killWait = 5 * time.Second

// kill ends the hook and all of its process group. The pid is not reaped yet,
// so the group is that of this process or does not exist.
func (w *watch) kill() error {
	// Either may find nothing: it ends by itself.
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

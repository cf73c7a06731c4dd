package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openFlags are the flags for every FIFO. With O_NONBLOCK, open(2) does not wait for the
// other end.
const openFlags = unix.O_CLOEXEC | unix.O_NONBLOCK

// openOutput opens the write end of a FIFO for the process. It also opens a read end, reads
// nothing from it, and keeps it open: the process gets no SIGPIPE while containerd restarts.
//
// The write end must come first: its open(2) succeeds only if the client has opened its read
// end. With the shim's read end first, a short-lived container could write and end before
// the client opens the FIFO. The output would be lost, and the client would wait in open(2)
// for ever. O_RDWR for the process is no alternative: the client would never see the end of
// the output.
func (s *Streams) openOutput(ctx context.Context, path string) (*os.File, error) {
	w, err := openWriter(ctx, path)
	if err != nil {
		return nil, err
	}
	r, err := openFIFO(path, unix.O_RDONLY)
	if err != nil {
		w.Close()
		return nil, err
	}
	s.held = append(s.held, r)
	return w, nil
}

// waitForReader bounds the wait for the client to open a FIFO.
const waitForReader = 30 * time.Second

// openWriter waits until the FIFO has a reader, and opens the write end.
func openWriter(ctx context.Context, path string) (*os.File, error) {
	ctx, stop := context.WithTimeout(ctx, waitForReader)
	defer stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		w, err := openFIFO(path, unix.O_WRONLY)
		if !errors.Is(err, unix.ENXIO) { // ENXIO: there is no reader yet (fifo(7))
			return w, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("nobody reads the FIFO %s: %w", path, context.Cause(ctx))
		}
	}
}

// openFIFO opens one end of a FIFO. It refuses other files: the process would get access to
// a file of the host.
func openFIFO(path string, mode int) (*os.File, error) {
	fd, err := unix.Open(path, mode|openFlags|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("fstat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		unix.Close(fd)
		return nil, fmt.Errorf("%s is not a FIFO", path)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openInput opens the read end of the stdin FIFO for the process. It keeps the write end
// open until CloseStdin, so a client that disconnects does not end the input.
func (s *Streams) openInput(t target) (*os.File, error) {
	if t.scheme == "" {
		return nil, nil
	}
	r, err := openFIFO(t.path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if s.input, err = openFIFO(t.path, unix.O_WRONLY); err == nil {
		err = s.own(r)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// block puts a file of the process into blocking mode, which programs expect of their
// standard streams. The mode belongs to the open file description. The shim does not use
// this description itself.
func block(f *os.File) error {
	if f == nil {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = os.NewSyscallError("fcntl(F_SETFL)", unix.SetNonblock(int(fd), false)) })
	return errors.Join(err, failed)
}

package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTerminal opens the FIFOs for the copies from and to the terminal. A terminal has no
// stderr.
func (s *Streams) openTerminal(ctx context.Context, in, out target) (err error) {
	switch out.scheme {
	case "":
	case "file":
		if s.to, err = s.relayToLog(out.path); err != nil {
			return fmt.Errorf("stdout: %w", err)
		}
	default:
		if s.to, err = s.openOutput(ctx, out.path); err != nil {
			return fmt.Errorf("stdout: %w", err)
		}
	}
	if s.from, err = s.openInput(in); err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	return nil
}

// Console receives the master side of the process's terminal and starts the copies. It reads
// the output even without a reader: a full terminal would block the process.
func (s *Streams) Console(master *os.File) error {
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(fd, true) // Go's poller needs non-blocking files
	}
	if err != nil {
		return errors.Join(os.NewSyscallError("fcntl", err), master.Close())
	}
	file := os.NewFile(uintptr(fd), master.Name())
	master.Close()
	s.mu.Lock()
	s.master = file
	to, from := s.to, s.from
	s.to, s.from = nil, nil
	s.mu.Unlock()
	if to == nil {
		if to, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0); err != nil {
			return err
		}
	}
	s.copy(to, file, func() { to.Close() })
	if from != nil {
		s.typed(file, from)
	}
	return nil
}

// typed copies the client's input to the terminal. It ends with Close or with the terminal.
// Drain does not wait for it.
func (s *Streams) typed(master, from *os.File) {
	s.mu.Lock()
	s.held = append(s.held, from)
	s.mu.Unlock()
	go func() {
		buffer := make([]byte, 4<<10)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				if _, err := master.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
}

// Resize sets the size of the terminal in characters. Without a terminal it does nothing.
func (s *Streams) Resize(width, height uint16) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master == nil {
		return nil
	}
	conn, err := s.master.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = os.NewSyscallError("ioctl(TIOCSWINSZ)", unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width}))
	})
	return errors.Join(err, failed)
}

package main

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// screen is a terminal that a full-screen view has to itself for a while: what
// was on it and how it behaved come back with leave.
type screen struct {
	in, out *os.File
	saved   *unix.Termios
}

// Control sequences of xterm(1) that all terminals of today know. The last two
// keep a frame from being shown in parts; who does not know them skips them.
const (
	alternateScreen = "\x1b[?1049h\x1b[?25l" // a screen of its own, without a cursor
	normalScreen    = "\x1b[?25h\x1b[?1049l" //
	topLeft         = "\x1b[H"               //
	clearLine       = "\x1b[K"               // from here to its end
	clearBelow      = "\x1b[J"               //
	reverse, plain  = "\x1b[7m", "\x1b[m"    //
	beginFrame      = "\x1b[?2026h"          //
	endFrame        = "\x1b[?2026l"          //
)

// enter takes the terminal: keys come one by one and are not shown. Ctrl-C and
// its like stay signals.
func (s *screen) enter() error {
	saved, err := unix.IoctlGetTermios(fd(s.in), unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("ioctl(terminal, TCGETS)", err)
	}
	keys := *saved
	keys.Lflag &^= unix.ICANON | unix.ECHO
	keys.Cc[unix.VMIN], keys.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd(s.in), unix.TCSETS, &keys); err != nil {
		return os.NewSyscallError("ioctl(terminal, TCSETS)", err)
	}
	s.saved = saved
	_, err = s.out.WriteString(alternateScreen)
	return err
}

// leave gives the terminal back. Without an enter before it does nothing.
func (s *screen) leave() error {
	if s.saved == nil {
		return nil
	}
	_, err := s.out.WriteString(normalScreen)
	if err2 := unix.IoctlSetTermios(fd(s.in), unix.TCSETS, s.saved); err2 != nil {
		return os.NewSyscallError("restore the terminal: ioctl(TCSETS)", err2)
	}
	s.saved = nil
	return err
}

// size is the terminal's now.
func (s *screen) size() (width, height int) {
	if size, err := unix.IoctlGetWinsize(fd(s.out), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		return int(size.Col), int(size.Row)
	}
	return 80, 24 // what a terminal that does not tell is taken for
}

// show draws over the frame before, in one write: nothing is blank in between.
func (s *screen) show(lines []string) error {
	var b bytes.Buffer
	b.WriteString(beginFrame + topLeft)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + clearLine)
	}
	b.WriteString(clearBelow + endFrame)
	_, err := s.out.Write(b.Bytes())
	return err
}

// keys sends what is typed until the terminal is gone. It cannot be stopped,
// and ends with the program.
func (s *screen) keys() <-chan byte {
	keys := make(chan byte)
	go func() {
		defer close(keys)
		var key [1]byte
		for {
			if n, err := s.in.Read(key[:]); n < 1 || err != nil {
				return
			}
			keys <- key[0]
		}
	}()
	return keys
}

func fd(f *os.File) int { return int(f.Fd()) }

package main

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// screen is a terminal during a full-screen view. restore gives back its contents and its settings.
type screen struct {
	in, out *os.File
	saved   *unix.Termios
}

// Control sequences of xterm(1) that all terminals of today know. The last two keep a terminal
// from showing a part of a frame; terminals that do not know them ignore them.
const (
	alternateScreen = "\x1b[?1049h\x1b[?25l" // a separate screen, without a cursor
	normalScreen    = "\x1b[?25h\x1b[?1049l" //
	topLeft         = "\x1b[H"               //
	clearLine       = "\x1b[K"               // from the cursor to the end of the line
	clearBelow      = "\x1b[J"               //
	reverse, plain  = "\x1b[7m", "\x1b[m"    //
	beginFrame      = "\x1b[?2026h"          //
	endFrame        = "\x1b[?2026l"          //
)

// prepare sets up the terminal: it delivers keys one by one and does not show them. Ctrl-C and
// similar keys stay signals.
func (s *screen) prepare() error {
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

// restore undoes prepare. Without a previous prepare it does nothing.
func (s *screen) restore() error {
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

// size returns the present size of the terminal.
func (s *screen) size() (width, height int) {
	if size, err := unix.IoctlGetWinsize(fd(s.out), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		return int(size.Col), int(size.Row)
	}
	return 80, 24 // the usual size, for a terminal that does not tell its own
}

// show draws over the previous frame in one write, so nothing flickers.
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

// keys sends the typed keys until the terminal is gone. It cannot be stopped, and ends with the
// program.
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

package hooks

import (
	"strings"
	"time"
	"unicode"
)

// tailSize bounds what a hook that prints without end makes us keep.
const tailSize = 64 << 10

// tail keeps the end of what is added to it.
type tail struct{ buf []byte }

func (t *tail) add(p []byte) {
	t.buf = append(t.buf, p...)
	// Shift rarely: once for each tailSize bytes.
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
}

func (t *tail) bytes() []byte {
	return t.buf[max(0, len(t.buf)-tailSize):]
}

// Of the output, so much is shown in the error: it is for one line of a log.
const (
	shownLines = 3
	shownBytes = 512
)

// lastLines puts the last lines that are not blank on one, without control
// characters, which would act on the terminal that shows it.
func lastLines(output []byte) string {
	end := output[max(0, len(output)-4*shownBytes):]
	var lines []string
	for line := range strings.Lines(string(end)) {
		if line = strings.TrimSpace(strings.Map(printable, line)); line != "" {
			lines = append(lines, line)
		}
	}
	s := strings.Join(lines[max(0, len(lines)-shownLines):], "; ")
	return strings.ToValidUTF8(s[max(0, len(s)-shownBytes):], "")
}

func printable(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsPrint(r):
		return r
	}
	return -1
}

// round keeps about three digits.
func round(d time.Duration) time.Duration {
	for unit := time.Microsecond; ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}

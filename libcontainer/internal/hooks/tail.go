package hooks

import (
	"strings"
	"time"
	"unicode"
)

// tailSize bounds the output that the runtime keeps of a hook.
const tailSize = 64 << 10

// tail keeps the end of the bytes that are added to it.
type tail struct{ buf []byte }

func (t *tail) add(p []byte) {
	t.buf = append(t.buf, p...)
	// Shift rarely, only once for each tailSize bytes.
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
}

func (t *tail) bytes() []byte {
	return t.buf[max(0, len(t.buf)-tailSize):]
}

// The error shows this much of the output. It has to fit on one line of a log.
const (
	shownLines = 3
	shownBytes = 512
)

// lastLines joins the last lines that are not blank into one. It removes control
// characters, which would act on the terminal that shows the error.
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

// round keeps about three digits of a duration.
func round(d time.Duration) time.Duration {
	for unit := time.Microsecond; ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}

package libcontainer

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]unix.Signal{
		"KILL": unix.SIGKILL, "SIGKILL": unix.SIGKILL, "sigkill": unix.SIGKILL, "9": unix.SIGKILL,
		"TERM": unix.SIGTERM, "WINCH": unix.SIGWINCH, "CLD": unix.SIGCHLD, "IOT": unix.SIGABRT, "POLL": unix.SIGIO,
		"0": 0, "64": 64, "RTMIN": 34, "SIGRTMIN+3": 37, "rtmin+30": 64, "RTMAX": 64, "RTMAX-14": 50, "RTMAX-30": 34,
	} {
		got, err := ParseSignal(in)
		if got != want || err != nil {
			t.Errorf("ParseSignal(%q) = %d, %v; want %d, nil", in, got, err, want)
		}
	}
}

func TestParseSignalErrors(t *testing.T) {
	for _, in := range []string{
		"", "SIG", "SIGSIGKILL", "KILLX", "-9", "+9", "65", "4294967305", "18446744073709551625", "0x9", " 9",
		"RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMAX-31", "RTMIN+", "RTMIN+-1", "RTMIN++1", "RTMIN+256",
	} {
		if got, err := ParseSignal(in); err == nil {
			t.Errorf("ParseSignal(%q) = %d; want an error", in, got)
		}
	}
}

func FuzzParseSignal(f *testing.F) {
	for _, s := range []string{"KILL", "9", "RTMIN+3", "RTMAX-1", "65", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sig, err := ParseSignal(s)
		if err == nil && (sig < 0 || sig > 64) || err != nil && sig != 0 {
			t.Errorf("ParseSignal(%q) = %d, %v; want a signal from 0 to 64, or 0 and an error", s, sig, err)
		}
	})
}

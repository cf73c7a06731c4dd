package libcontainer

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The range of real-time signals of signal(7) and kill(1). The C library uses the kernel's
// first two itself.
const (
	sigRTMin unix.Signal = 34
	sigRTMax unix.Signal = 64 // the kernel's last signal
)

// ParseSignal parses a signal in the forms of kill(1): a number from 0 to 64, or a name in
// any case, with or without SIG (KILL, SIGKILL, 9, RTMIN+3, RTMAX-1). Signal 0 only tests
// whether the process exists.
func ParseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		if n > uint64(sigRTMax) {
			return 0, fmt.Errorf("signal %d is out of range: the last one is %d", n, sigRTMax)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig, ok := realTimeSignal(name); ok {
		return sig, nil
	}
	if sig := unix.SignalNum("SIG" + canonicalSignal(name)); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

// realTimeSignal parses RTMIN, RTMIN+n, RTMAX and RTMAX-n.
func realTimeSignal(name string) (unix.Signal, bool) {
	base, offset := sigRTMin, "+0"
	switch {
	case name == "RTMIN":
	case name == "RTMAX":
		base = sigRTMax
	case strings.HasPrefix(name, "RTMIN+"):
		offset = name[len("RTMIN"):]
	case strings.HasPrefix(name, "RTMAX-"):
		base, offset = sigRTMax, name[len("RTMAX"):]
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(offset[1:], 10, 8)
	if err != nil || n > uint64(sigRTMax-sigRTMin) {
		return 0, false
	}
	if offset[0] == '-' {
		return base - unix.Signal(n), true
	}
	return base + unix.Signal(n), true
}

// canonicalSignal returns the first of the names that signal(7) calls synonyms.
func canonicalSignal(name string) string {
	switch name {
	case "CLD":
		return "CHLD"
	case "IOT":
		return "ABRT"
	case "POLL":
		return "IO"
	}
	return name
}

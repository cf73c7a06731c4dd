package engine

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ignoredSignals are those that we ignore, because we were started so (nohup,
// say): execve(2) passes that on. What is handled here is not handled there.
// One file tells for less than a system call for each signal.
func ignoredSignals() []unix.Signal {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	return parseIgnored(status)
}

func parseIgnored(status []byte) (ignored []unix.Signal) {
	_, rest, _ := bytes.Cut(status, []byte("\nSigIgn:\t"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	mask, err := strconv.ParseUint(string(line), 16, 64)
	if err != nil {
		return nil
	}
	for sig := unix.Signal(1); mask != 0; sig, mask = sig+1, mask>>1 {
		if mask&1 != 0 {
			ignored = append(ignored, sig)
		}
	}
	return ignored
}

package engine

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"
)

// ignoredSignals are those that we ignore, because we were started so (nohup,
// say): execve(2) passes that on. What is handled here is not handled there.
// One file tells for less than a system call for each signal.
func ignoredSignals() []unix.Signal {
	fd, err := unix.Open("/proc/self/status", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	status := make([]byte, 4096) // some 1500 bytes, in one piece
	n, err := unix.Read(fd, status)
	if err != nil {
		return nil
	}
	return parseIgnored(status[:n])
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

// Package slack finds the timer slack that a new process must inherit.
//
// A child has the slack of the thread that makes it (prctl(2), PR_SET_TIMERSLACK).
// A program may let its threads start with a large one, to keep the Go runtime's
// monitor from waking up, and give its main thread the caller's again. The slack
// of a container's program must not depend on the thread that happens to run.
package slack

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// large is the slack from which a thread may be one that started with it, in
	// nanoseconds. Callers rarely have one above 50 µs.
	large = 10_000_000
	// usual is the kernel's default (init_task).
	usual = 50_000
)

// OfCaller returns the slack, in nanoseconds. It is that of the calling thread, or
// that of the main thread if the former is large.
func OfCaller() uint64 {
	own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && own < large {
		return uint64(own)
	}
	return ofMain("/proc/self/timerslack_ns")
}

// ofMain reads the main thread's slack. Another thread may read it with CAP_SYS_NICE.
//
// An os.File would be the first one of a create. Go then makes an epoll instance and an
// eventfd, and ends the program with a trace if it is out of descriptors.
func ofMain(path string) uint64 {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return usual
	}
	defer unix.Close(fd)
	var data [24]byte // more than the longest number and its line end
	n, err := unix.Read(fd, data[:])
	if err != nil {
		return usual
	}
	v, err := strconv.ParseUint(strings.TrimSpace(string(data[:n])), 10, 64)
	if err != nil {
		return usual
	}
	return v
}

// Set gives the calling thread a slack. prctl(2) cannot fail for one.
func Set(ns uint64) { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0) }

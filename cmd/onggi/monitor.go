package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// entry is the entry point of the binary that make links (-E main.entry). It gives the process a
// timer slack of 10 ms and jumps to the Go runtime, whose monitor thread inherits the slack.
//
// The monitor would wake up every 20 µs to look for long system calls. That takes a seventh of the
// processor time of a run and of an exec, and more on a busy machine. It gains nothing, because two
// processors are enough for onggi. The monitor itself sleeps 10 ms when it has nothing to do.
func entry()

// callersSlack is the timer slack before, in nanoseconds. It is 0 in a binary with another entry point.
var callersSlack uint64

// restoreSlack gives the main thread the slack of the caller again. Package slack of libcontainer
// takes it from there for new processes.
func restoreSlack() {
	if callersSlack == 0 {
		return
	}
	// prctl(2) cannot fail for a slack.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(callersSlack), 0, 0, 0)
	if unix.Gettid() == os.Getpid() {
		return
	}
	// The goroutine has left the main thread already. A failure leaves a large slack, which package
	// slack does not pass on.
	_ = os.WriteFile("/proc/self/timerslack_ns", strconv.AppendUint(nil, callersSlack, 10), 0)
}

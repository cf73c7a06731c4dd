package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// monitorSlack is the delay, in nanoseconds, with which the kernel may wake the Go runtime's
// monitor thread up. The thread itself sleeps at most that long (10 ms) when it has nothing to
// do.
const monitorSlack = "10000000"

// calmMonitor slows Go's monitor thread down. A verb lives a few milliseconds, and during this
// time the thread would wake up every 20 µs to look for long system calls. That takes a seventh
// of the CPU time of a run and of an exec. It gains nothing, because two processors are enough
// for onggi.
//
// The monitor is the first thread that the Go runtime starts, so its thread id is usually the
// pid plus 1. If that thread is not one of this process, nothing is changed.
func calmMonitor() {
	pid := os.Getpid()
	monitor := pid + 1
	if unix.Tgkill(pid, monitor, 0) != nil {
		return
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(monitor)+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, []byte(monitorSlack)) // a failure changes nothing
	unix.Close(fd)
}

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
func calmMonitor() {
	monitor := firstThread(os.Getpid())
	if monitor == 0 {
		return
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(monitor)+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, []byte(monitorSlack)) // a failure changes nothing
	unix.Close(fd)
}

// firstThread returns the id of the thread that the Go runtime has started first, the monitor, or
// 0. The kernel assigns ids in ascending order. On a busy machine other processes take some
// between the id of the process and that of its thread, so a look at the next id alone finds
// the monitor on an idle machine only. One question costs 0.1 µs. If the ids have begun anew in
// between, none is found.
func firstThread(pid int) int {
	const farthest = 64
	for id := pid + 1; id <= pid+farthest; id++ {
		if unix.Tgkill(pid, id, 0) == nil {
			return id
		}
	}
	return 0
}

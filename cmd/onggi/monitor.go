package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// monitorSlack is how late the Go runtime's monitor thread may wake up, in
// nanoseconds: as late as it lets itself be when there is nothing to do.
const monitorSlack = "10000000"

// calmMonitor keeps Go's monitor thread from waking up every 20 µs for the few
// milliseconds that a verb lives, to look whether a system call takes long: a
// seventh of the CPU time of a run and of an exec. What it looks for there is
// nothing to be done about, as two processors are enough for us.
//
// The monitor is the first thread that the runtime starts, so it has the
// number after ours; if that one is not ours, things stay as they are.
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
	_, _ = unix.Write(fd, []byte(monitorSlack)) // it is as well as it was
	unix.Close(fd)
}
